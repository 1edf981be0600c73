from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.io.terminology import CONFIDENCE_RAMP
from DALESegmentLib.mrml.charts import updateCurves
from DALESegmentLib.mrml.heat_map import COLOURS, HEAT_MAP, showConfidence
from DALESegmentLib.mrml.regions import (
    regionsFromTable,
    regionStates,
    setRegionState,
    updateRegionMarkups,
    updateRegionTable,
)
from DALESegmentLib.mrml.scene import nodeWithRole
from DALESegmentLib.mrml.scene_file import loadScene, saveScene
from DALESegmentLib.mrml.segmentations import labelFromSegmentation
from DALESegmentLib.mrml.volumes import geometryFromVolume, imageFromVolumes


@pytest.fixture
def a_confidence(a_label) -> np.ndarray:
    return np.random.default_rng(1).random(a_label.shape).astype(np.float32)


@pytest.fixture
def a_saved_scene(tmp_path, a_scene, a_volume_node, a_segmentation_node, a_confidence, a_geometry, some_regions):
    a_segmentation_node.GetSegmentation().GetNthSegment(0).SetColor(0.1, 0.2, 0.3)
    showConfidence(a_confidence, a_geometry, "confidence")
    setRegionState(updateRegionTable(some_regions), some_regions[0], "confirmed")
    updateRegionMarkups(some_regions)
    updateCurves([{"epoch": e, "loss": 0.9 / e, "validation_dice": 0.2 * e} for e in (1, 2)])
    return saveScene(tmp_path / "größe review.mrb")


def test_everything_comes_back(a_saved_scene, a_scene, an_image, a_label, a_confidence, a_geometry, some_regions):
    a_scene.Clear(0)
    assert a_scene.GetFirstNodeByName("CT") is None
    loadScene(a_saved_scene)

    volume = a_scene.GetFirstNodeByName("CT")
    np.testing.assert_array_equal(imageFromVolumes(volume)[0], an_image)
    assert geometryFromVolume(volume).difference(a_geometry) is None
    segmentation = a_scene.GetFirstNodeByName("drawn")
    label, names, _, _ = labelFromSegmentation(segmentation, volume)
    np.testing.assert_array_equal(label, a_label)
    assert names == {1: "lesion", 2: "oedema"}
    colour = segmentation.GetSegmentation().GetNthSegment(0).GetColor()
    np.testing.assert_allclose(colour, (0.1, 0.2, 0.3), atol=1e-3)

    heat = nodeWithRole("vtkMRMLScalarVolumeNode", HEAT_MAP)
    np.testing.assert_array_equal(imageFromVolumes(heat)[0], a_confidence)
    colours = nodeWithRole("vtkMRMLColorTableNode", COLOURS)
    assert heat.GetDisplayNode().GetColorNodeID() == colours.GetID()
    rgba = [0.0] * 4
    colours.GetColor(0, rgba)
    np.testing.assert_allclose(rgba, [*CONFIDENCE_RAMP[0, 1:], 1], atol=1 / 255)
    assert heat.GetDisplayNode().GetUpperThreshold() == pytest.approx(0.9)

    table = nodeWithRole("vtkMRMLTableNode", "regionTable")
    assert regionsFromTable(table) == some_regions
    assert list(regionStates(table).values()) == ["confirmed", "open"]
    assert table.GetNumberOfRows() == 2
    marks = nodeWithRole("vtkMRMLMarkupsFiducialNode", "regionMarkups")
    assert marks.GetNthControlPointLabel(1) == "2"
    np.testing.assert_allclose(marks.GetNthControlPointPositionWorld(1), some_regions[1].centre_ras, atol=1e-3)
    assert nodeWithRole("vtkMRMLPlotChartNode", "curveChart").GetNumberOfPlotSeriesNodes() == 2


def test_work_goes_on_with_a_loaded_scene(a_saved_scene, a_scene, some_regions):
    loadScene(a_saved_scene)
    table = nodeWithRole("vtkMRMLTableNode", "regionTable")
    assert updateRegionTable(some_regions[:1]) is table
    assert list(regionStates(table).values()) == ["confirmed"]


def test_the_file_is_what_slicer_opens(a_saved_scene):
    names = zipfile.ZipFile(a_saved_scene).namelist()
    assert len({name.split("/")[0] for name in names}) == 1
    assert sum(name.count("/") == 1 and name.endswith(".mrml") for name in names) == 1
    data = {name.split("/Data/")[1].rsplit(".", 1)[1] for name in names if "/Data/" in name and "." in name}
    assert {"nrrd", "tsv", "json"} <= data


def test_saving_again_replaces_the_file_and_leaves_no_other(a_saved_scene, a_scene):
    before = a_saved_scene.stat().st_size
    a_scene.Clear(0)
    saveScene(a_saved_scene)
    assert a_saved_scene.stat().st_size < before
    assert list(a_saved_scene.parent.iterdir()) == [a_saved_scene]


def test_a_file_that_is_no_scene_costs_nothing(a_volume_node, a_saved_scene, tmp_path):
    folder = Path.cwd()
    with pytest.raises(EngineError, match="no file"):
        loadScene(tmp_path / "missing.mrb")
    wrong = tmp_path / "wrong.mrb"
    wrong.write_text("not a zip file")
    with pytest.raises(EngineError, match="not a Slicer scene"):
        loadScene(wrong)
    wrong.write_bytes(a_saved_scene.read_bytes()[:-200])  # a download that broke off
    with pytest.raises(EngineError, match="not a Slicer scene"):
        loadScene(wrong)
    assert a_volume_node.GetScene() is not None
    assert Path.cwd() == folder


def test_a_folder_where_nothing_can_be_written(a_saved_scene, tmp_path):
    with pytest.raises(EngineError, match="could not be saved"):
        saveScene(a_saved_scene / "below a file.mrb")
