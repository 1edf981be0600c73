from __future__ import annotations

import numpy as np
import pytest
from scene_helpers import node_counts

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.array_cases import load_array_case, save_array_case
from DALESegmentLib.mrml.cases import caseFromNodes
from DALESegmentLib.mrml.segmentations import addSegmentation, labelFromSegmentation, updateSegments

TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^49755003^Morphologically Altered Structure~SCT^4147007^Mass~^^"
    "~Anatomic codes - DICOM master list~^^~^^"
)


def ids_of(node) -> list[str]:
    return list(node.GetSegmentation().GetSegmentIDs())


def mask_of(node, volume, segmentId) -> np.ndarray:
    return labelFromSegmentation(node, volume, [segmentId])[0] > 0


def test_segments_are_numbered_in_the_order_asked_for(a_segmentation_node, a_volume_node, a_label):
    lesion, oedema = ids_of(a_segmentation_node)
    label, names, ids, overlap = labelFromSegmentation(a_segmentation_node, a_volume_node, [oedema, lesion])
    np.testing.assert_array_equal(label, np.array([0, 2, 1], np.uint8)[a_label])
    assert (names, ids, overlap) == ({1: "oedema", 2: "lesion"}, [oedema, lesion], 0)


def test_a_model_knows_segments_of_another_order_by_their_names(
    a_segmentation_node, a_volume_node, a_label, a_geometry, tmp_path
):
    """Scene -> files -> engine: what is called oedema has the model's value of oedema."""
    swapped = np.array([0, 2, 1], np.uint8)[a_label]
    other = addSegmentation(swapped, a_geometry, {1: "oedema", 2: "lesion"}, a_volume_node, "another patient")
    for number, node in enumerate((a_segmentation_node, other)):
        save_array_case(caseFromNodes(a_volume_node, node), tmp_path / str(number))
        case = load_array_case(tmp_path / str(number), known_names={1: "lesion", 2: "oedema"})
        np.testing.assert_array_equal(case.label, a_label)
        assert case.class_names == {1: "lesion", 2: "oedema"}


def test_reading_leaves_nothing_behind(a_segmentation_node, a_volume_node, a_scene):
    before = node_counts(a_scene)
    labelFromSegmentation(a_segmentation_node, a_volume_node)
    assert node_counts(a_scene) == before


def test_a_written_segment_cuts_no_neighbour(a_segmentation_node, a_volume_node, a_label, a_geometry):
    """Both share one labelmap at first, and the new lesion reaches into the oedema."""
    lesion, oedema = ids_of(a_segmentation_node)
    assert a_segmentation_node.GetSegmentation().GetNumberOfLayers() == 1
    grown = np.zeros_like(a_label)
    grown[5:15, 18:42, 10:45] = 1
    updateSegments(a_segmentation_node, grown, a_geometry, {1: lesion})
    np.testing.assert_array_equal(mask_of(a_segmentation_node, a_volume_node, lesion), grown == 1)
    np.testing.assert_array_equal(mask_of(a_segmentation_node, a_volume_node, oedema), a_label == 2)

    label, _, _, overlap = labelFromSegmentation(a_segmentation_node, a_volume_node)
    assert overlap == np.count_nonzero((grown == 1) & (a_label == 2)) > 0
    np.testing.assert_array_equal(label, np.where(a_label == 2, 2, grown))  # the later segment wins


def test_a_segment_written_on_a_finer_grid_leaves_its_neighbour_on_the_old_one(
    a_segmentation_node, a_volume_node, a_label, a_geometry
):
    lesion, oedema = ids_of(a_segmentation_node)
    spacing = tuple(s / 3 for s in a_geometry.spacing)
    origin = tuple(o - s for o, s in zip(a_geometry.origin, spacing, strict=True))
    part = Geometry((30, 30, 30), spacing, origin, a_geometry.direction)
    updateSegments(a_segmentation_node, np.ones(part.array_shape, np.uint8), part, {1: lesion})
    np.testing.assert_array_equal(mask_of(a_segmentation_node, a_volume_node, oedema), a_label == 2)
    spacing = a_segmentation_node.GetBinaryLabelmapInternalRepresentation(oedema).GetSpacing()
    np.testing.assert_allclose(spacing, a_geometry.spacing)
    assert mask_of(a_segmentation_node, a_volume_node, lesion).sum() == 10**3


def test_a_segment_can_be_emptied(a_segmentation_node, a_volume_node, a_label, a_geometry):
    lesion, oedema = ids_of(a_segmentation_node)
    updateSegments(a_segmentation_node, np.zeros_like(a_label), a_geometry, {1: lesion})
    assert not mask_of(a_segmentation_node, a_volume_node, lesion).any()
    np.testing.assert_array_equal(mask_of(a_segmentation_node, a_volume_node, oedema), a_label == 2)


def test_writing_can_be_undone(a_segmentation_node, a_volume_node, a_label, a_geometry, a_scene):
    a_segmentation_node.SetUndoEnabled(True)
    a_scene.SetUndoOn()
    try:
        everything = {1: ids_of(a_segmentation_node)[0]}
        updateSegments(a_segmentation_node, np.zeros_like(a_label), a_geometry, everything)
        a_scene.Undo()
    finally:
        a_scene.SetUndoOff()
    np.testing.assert_array_equal(labelFromSegmentation(a_segmentation_node, a_volume_node)[0], a_label)


def test_a_proposal_looks_like_what_it_corrects(a_segmentation_node, a_volume_node, a_label, a_geometry):
    import slicer

    drawn = a_segmentation_node.GetSegmentation().GetNthSegment(0)
    drawn.SetColor(0.1, 0.2, 0.3)
    drawn.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), TERMINOLOGY)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(drawn, logic.Completed)
    names = {1: "lesion", 2: "oedema", 3: "necrosis"}
    node = addSegmentation(a_label, a_geometry, names, a_volume_node, "proposed", a_segmentation_node)
    assert node is not a_segmentation_node
    segmentation = node.GetSegmentation()
    proposed = segmentation.GetNthSegment(0)
    assert [segmentation.GetNthSegment(i).GetName() for i in range(3)] == list(names.values())
    assert ids_of(node)[:2] == ids_of(a_segmentation_node)
    np.testing.assert_allclose(proposed.GetColor(), (0.1, 0.2, 0.3))
    assert slicer.util.toVTKString(TERMINOLOGY) == terminology(proposed)
    assert logic.GetSegmentStatus(proposed) == logic.NotStarted  # nobody has completed a proposal
    np.testing.assert_array_equal(mask_of(a_segmentation_node, a_volume_node, ids_of(node)[0]), a_label == 1)
    assert not mask_of(node, a_volume_node, ids_of(node)[2]).any()


def terminology(segment) -> str:
    import slicer
    import vtk

    value = vtk.reference("")
    segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), value)
    return value.get()


def test_more_than_255_segments_keep_their_numbers(a_volume_node, a_geometry):
    label = np.arange(a_geometry.size[0] * 5, dtype=np.int32).reshape(5, -1)
    label = np.broadcast_to(label[None].repeat(12, 1), a_geometry.array_shape).copy()
    node = addSegmentation(label, a_geometry, {v: f"s{v}" for v in range(1, 320)}, a_volume_node, "many")
    back, names, _, _ = labelFromSegmentation(node, a_volume_node)
    np.testing.assert_array_equal(back, label)
    assert names[319] == "s319"


def test_an_unknown_segment_and_an_empty_segmentation(a_segmentation_node, a_volume_node, a_scene, a_label):
    with pytest.raises(EngineError, match="no segment “liver”"):
        labelFromSegmentation(a_segmentation_node, a_volume_node, ["liver"])
    empty = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    with pytest.raises(EngineError, match="holds no segments"):
        labelFromSegmentation(empty, a_volume_node)


def test_a_label_that_does_not_fit_is_refused(a_segmentation_node, a_label, a_geometry):
    with pytest.raises(EngineError) as error:
        updateSegments(a_segmentation_node, a_label[1:], a_geometry, {1: ids_of(a_segmentation_node)[0]})
    assert error.value.code == "geometry-mismatch"


def test_a_label_that_does_not_fit_leaves_no_node_behind(a_scene, a_volume_node, a_geometry):
    from DALESegmentLib.engine.core.errors import EngineError

    before = a_scene.GetNumberOfNodes()
    with pytest.raises(EngineError) as caught:
        addSegmentation(np.zeros((2, 2, 2), np.uint8), a_geometry, {1: "lesion"}, a_volume_node, "new")
    assert caught.value.code == "geometry-mismatch"
    assert a_scene.GetNumberOfNodes() == before
