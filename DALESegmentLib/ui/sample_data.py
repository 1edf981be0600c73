"""The practice case in Slicer's Sample Data module."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _


def registerSampleData(thumbnail: str) -> bool:
    """Offer the practice case; False where this Slicer has no Sample Data module. Nothing is downloaded for it."""
    try:
        import SampleData
    except ImportError:
        return False
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="DALESegment",
        sampleName=_("DALESegment practice case"),
        uris=[],  # without these lists Slicer takes the source for a broken one
        fileNames=[],
        nodeNames=[],
        customDownloader=showPracticeCase,
        thumbnailFileName=thumbnail,
    )
    return True


def showPracticeCase(_source: Any = None) -> list[Any]:
    """Make it and bring its image into the slice views, as Slicer does with what it downloads."""
    from DALESegmentLib.mrml.practice_case import addPracticeCase  # not at each start of Slicer

    image, segmentation = addPracticeCase()
    slicer.util.setSliceViewerLayers(background=image, fit=True)
    return [image, segmentation]
