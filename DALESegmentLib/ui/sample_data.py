"""The practice case in Slicer's Sample Data module."""

from __future__ import annotations

from slicer.i18n import tr as _

from DALESegmentLib.mrml.practice_case import addPracticeCase


def registerSampleData(thumbnail: str) -> bool:
    """Offer the practice case; False where this Slicer has no Sample Data module. Nothing is downloaded for it."""
    try:
        import SampleData
    except ImportError:
        return False
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="DALESegment",
        sampleName=_("DALESegment practice case"),
        customDownloader=addPracticeCase,
        thumbnailFileName=thumbnail,
    )
    return True
