"""The source of the learned labels in the scene: right voxels, named, and out of the views again."""

from __future__ import annotations

import numpy as np
import pytest
from scene_helpers import node_counts

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.mrml.label_source import (
    addLabelSource,
    hideLabelSource,
    labelSourceArray,
    removeLabelSource,
    showLabelSource,
    sourceNamesOf,
)
from DALESegmentLib.mrml.pictures import renderSlices
from DALESegmentLib.mrml.scene_file import loadScene, saveScene
from DALESegmentLib.mrml.volumes import vtkImage

SOURCES = {0: "given", 1: "reviewed", 3: "annotator_bias", 5: "missed_objects", 6: "another_corrector"}
OBLIQUE = Geometry((6, 5, 4), (0.7, 1.5, 4.0), (3.0, -8.0, 20.0), (0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, -1.0))


@pytest.fixture
def numbers() -> np.ndarray:
    values = np.zeros(OBLIQUE.array_shape, np.uint8)
    values[1, 2, 3], values[3, 4, 5], values[0, 0, 1], values[2, 0, 0] = 5, 3, 1, 6
    return values


@pytest.fixture
def a_source(a_scene, numbers):
    return addLabelSource(vtkImage(numbers, OBLIQUE), OBLIQUE, "CT label source", SOURCES)


def composites(scene) -> list:
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene)


def number_at(node, ras) -> int:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    i, j, k = (round(x) for x in matrix.MultiplyPoint((*ras, 1.0))[:3])
    return int(node.GetImageData().GetScalarComponentAsDouble(i, j, k, 0))


def check_places(node) -> None:
    for (i, j, k), number in {(3, 2, 1): 5, (5, 4, 3): 3, (1, 0, 0): 1, (0, 0, 2): 6, (2, 2, 1): 0}.items():
        assert number_at(node, OBLIQUE.index_to_ras((i, j, k))) == number


def test_the_numbers_lie_where_their_voxels_are_in_the_patient(a_source):
    check_places(a_source)


def test_it_is_read_back_as_it_was_given(a_source, numbers):
    found, geometry = labelSourceArray(a_source)
    assert np.array_equal(found, numbers)
    assert geometry.difference(OBLIQUE) is None


def test_each_number_has_its_name_and_what_was_learned_as_given_no_colour(a_source):
    assert sourceNamesOf(a_source) == {
        0: "given", 1: "reviewed", 3: "annotator bias", 5: "missed objects", 6: "another corrector"
    }  # fmt: skip
    opacity = {}
    for number in SOURCES:
        colour = [0.0] * 4
        a_source.GetDisplayNode().GetColorNode().GetColor(number, colour)
        opacity[number] = colour[3]
    assert opacity == {0: 0, 1: 0, 3: 1, 5: 1, 6: 1}


def test_it_survives_saving_with_its_names(a_source, tmp_path):
    import slicer

    path = saveScene(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear(False)
    loadScene(path)
    node = slicer.util.getNodesByClass("vtkMRMLLabelMapVolumeNode")[0]
    check_places(node)  # Slicer turns a left-handed grid round when it saves it
    assert [name.replace("_", " ") for name in sourceNamesOf(node).values()] == [
        "given", "reviewed", "annotator bias", "missed objects", "another corrector"
    ]  # fmt: skip


@pytest.mark.usefixtures("the_views")
def test_it_is_drawn_in_the_slices_and_what_it_covered_comes_back(a_volume_node, a_geometry, a_scene):
    import slicer

    numbers = np.zeros(a_geometry.array_shape, np.uint8)
    numbers[8:12, 20:40, 15:35] = 5
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "own")
    own.SetAndObserveImageData(vtkImage(np.zeros_like(numbers), a_geometry))
    for view in composites(a_scene):
        view.SetLabelVolumeID(own.GetID())
        view.SetLabelOpacity(0.8)
    centre = a_geometry.index_to_ras((25, 30, 10))
    bare = renderSlices(a_volume_node, ras=centre, size=200)
    node = addLabelSource(vtkImage(numbers, a_geometry), a_geometry, "CT label source", SOURCES)
    showLabelSource(node)
    drawn = renderSlices(a_volume_node, ras=centre, size=200)
    assert {view.GetLabelVolumeID() for view in composites(a_scene)} == {node.GetID()}
    assert 0.02 < (drawn != bare).any(axis=-1).mean() < 0.6
    hideLabelSource(node)
    assert {(v.GetLabelVolumeID(), v.GetLabelOpacity()) for v in composites(a_scene)} == {(own.GetID(), 0.8)}


def test_nothing_is_left_when_it_goes(a_volume_node, numbers, a_scene):
    before = node_counts(a_scene)
    node = addLabelSource(vtkImage(numbers, OBLIQUE), OBLIQUE, "CT label source", SOURCES)
    showLabelSource(node)
    removeLabelSource(node)
    assert node_counts(a_scene) == before
    assert {view.GetLabelVolumeID() for view in composites(a_scene)} <= {None}
