"""The practice case is offered by Slicer's Sample Data module, and is what it says."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest


@pytest.fixture
def sample_data(desktop, monkeypatch):
    """Slicer's module, as far as it is asked: what was registered, by category."""
    import slicer

    registered = {}

    def register(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileType="VolumeFile",
        loadFiles=None,
    ):
        assert (
            len(list(zip(uris, fileNames, nodeNames, strict=True))) == 0
        )  # Slicer goes through them, whoever downloads
        registered.setdefault(category, []).append((sampleName, customDownloader, thumbnailFileName))

    module = types.ModuleType("SampleData")
    module.SampleDataLogic = types.SimpleNamespace(registerCustomSampleDataSource=register)
    monkeypatch.setitem(sys.modules, "SampleData", module)
    slicer.mrmlScene.Clear(True)
    yield registered
    slicer.mrmlScene.Clear(True)


def test_it_is_registered_once_slicer_has_started(sample_data):
    import slicer

    import DALESegment

    DALESegment.DALESegment(types.SimpleNamespace(path=DALESegment.__file__))
    assert not sample_data
    slicer.app.start()
    ((name, download, thumbnail),) = sample_data["DALESegment"][-1:]
    assert "practice" in name
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    assert thumbnail.endswith("DALESegment.png")
    image, segmentation = download(object())
    assert image.GetName() == "Practice case"
    assert view.GetBackgroundVolumeID() == image.GetID()
    assert segmentation.GetSegmentation().GetNthSegment(0).GetName() == "lesion"


def test_a_slicer_without_the_module_starts_all_the_same(desktop, monkeypatch):
    from DALESegmentLib.ui.sample_data import registerSampleData

    monkeypatch.setitem(sys.modules, "SampleData", None)
    assert registerSampleData("icon.png") is False


def test_the_label_has_the_four_errors_that_the_tutorial_names(sample_data):
    import slicer

    from DALESegmentLib.mrml.practice_case import MISSED, addPracticeCase, practiceLabels
    from DALESegmentLib.mrml.segmentations import labelFromSegmentation

    image, segmentation = addPracticeCase()
    truth, drawn = practiceLabels()
    label = labelFromSegmentation(segmentation, image)[0]
    assert np.array_equal(label > 0, drawn)
    extra, lacking = drawn & ~truth, truth & ~drawn
    assert extra[14, 50, 12]  # spills over
    assert lacking[13, 34, 38]  # the bite
    i, j, k = (round(c / s) for c, s in zip(MISSED[0], (1.0, 1.0, 2.5), strict=True))
    assert lacking[k, j, i]  # missed
    assert extra[8, 66, 30]  # nothing there
    values = slicer.util.arrayFromVolume(image)
    assert values[truth].mean() - values[drawn & ~truth].mean() > 50
