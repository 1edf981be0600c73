"""The Segment Editor is made ready for one region, and everything is as before afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.mrml.correction import brushMm, endCorrection, openCorrection, segmentEditorNode, undoCorrection
from DALESegmentLib.mrml.segmentations import labelFromSegmentation, updateSegments


@pytest.fixture
def a_place(a_label) -> np.ndarray:
    place = np.zeros(a_label.shape, bool)
    place[8:11, 25:31, 30:40] = True
    return place


@pytest.fixture
def a_correction(a_volume_node, a_segmentation_node, a_place, a_geometry):
    lesion = a_segmentation_node.GetSegmentation().GetNthSegmentID(0)
    return openCorrection(a_volume_node, a_segmentation_node, lesion, a_place, a_geometry)


def label_of(segmentation, volume) -> np.ndarray:
    return labelFromSegmentation(segmentation, volume)[0]


def test_editing_is_limited_to_the_region(a_correction, a_segmentation_node, a_volume_node, a_place):
    import slicer

    editor = segmentEditorNode()
    assert editor.GetSegmentationNode().GetID() == a_segmentation_node.GetID()
    assert editor.GetSourceVolumeNode().GetID() == a_volume_node.GetID()
    assert editor.GetSelectedSegmentID() == a_segmentation_node.GetSegmentation().GetNthSegmentID(0)
    assert editor.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment
    mask = label_of_segment(a_segmentation_node, editor.GetMaskSegmentID(), a_volume_node)
    np.testing.assert_array_equal(mask > 0, a_place)


def label_of_segment(segmentation, segment_id, volume) -> np.ndarray:
    return labelFromSegmentation(segmentation, volume, [segment_id])[0]


def test_the_mask_is_hidden_so_that_painting_does_not_eat_it(a_correction, a_segmentation_node):
    editor = segmentEditorNode()
    assert editor.GetOverwriteMode() == editor.OverwriteVisibleSegments
    assert not a_segmentation_node.GetDisplayNode().GetSegmentVisibility(editor.GetMaskSegmentID())


def test_the_mask_is_no_part_of_the_label(a_correction, a_segmentation_node, a_volume_node, a_label):
    label, names, _ids, overlap = labelFromSegmentation(a_segmentation_node, a_volume_node)
    np.testing.assert_array_equal(label, a_label)
    assert (names, overlap) == ({1: "lesion", 2: "oedema"}, 0)


def test_all_is_as_before_once_it_ends(a_volume_node, a_segmentation_node, a_place, a_geometry, a_label):
    editor = segmentEditorNode()
    editor.SetMaskMode(2)
    editor.SetOverwriteMode(editor.OverwriteNone)
    editor.SetAttribute("BrushAbsoluteDiameter", "7")
    kept = openCorrection(a_volume_node, a_segmentation_node, "", a_place, a_geometry)
    endCorrection(kept)
    assert a_segmentation_node.GetSegmentation().GetNumberOfSegments() == 2
    assert (editor.GetMaskMode(), editor.GetOverwriteMode()) == (2, editor.OverwriteNone)
    assert editor.GetAttribute("BrushAbsoluteDiameter") == "7"
    assert editor.GetAttribute("BrushSphere") is None
    np.testing.assert_array_equal(label_of(a_segmentation_node, a_volume_node), a_label)


def test_one_that_was_left_open_goes_with_the_next(
    a_correction, a_volume_node, a_segmentation_node, a_place, a_geometry
):
    endCorrection(openCorrection(a_volume_node, a_segmentation_node, "", a_place, a_geometry))
    assert a_segmentation_node.GetSegmentation().GetNumberOfSegments() == 2


def test_what_was_drawn_can_be_taken_back(a_correction, a_segmentation_node, a_volume_node, a_geometry, a_label):
    lesion = a_segmentation_node.GetSegmentation().GetNthSegmentID(0)
    updateSegments(a_segmentation_node, np.zeros_like(a_label), a_geometry, {1: lesion})
    endCorrection(a_correction)
    assert not (label_of(a_segmentation_node, a_volume_node) == 1).any()
    assert undoCorrection(a_correction)
    np.testing.assert_array_equal(label_of(a_segmentation_node, a_volume_node), a_label)


def masks_of(segmentation, volume) -> list[np.ndarray]:
    """Of each segment alone, so that what overlaps is seen."""
    ids = segmentation.GetSegmentation().GetSegmentIDs()
    return [label_of_segment(segmentation, segment, volume) > 0 for segment in ids]


def test_segments_that_overlap_are_taken_back_each_for_itself(
    a_volume_node, a_segmentation_node, a_label, a_geometry, a_place
):
    lesion, oedema = a_segmentation_node.GetSegmentation().GetSegmentIDs()
    grown = np.where(a_label > 0, 1, 0).astype(np.uint8)  # the lesion lies under all of the oedema
    updateSegments(a_segmentation_node, grown, a_geometry, {1: lesion})
    before = masks_of(a_segmentation_node, a_volume_node)
    assert (before[0] & before[1]).any()
    kept = openCorrection(a_volume_node, a_segmentation_node, lesion, a_place, a_geometry)
    for segment, part in ((lesion, slice(6, 10)), (oedema, slice(9, 15))):
        drawn = np.zeros_like(a_label)
        drawn[part, 10:50, 12:60] = 1
        updateSegments(a_segmentation_node, drawn, a_geometry, {1: segment})
    endCorrection(kept)
    assert undoCorrection(kept)
    for was, now in zip(before, masks_of(a_segmentation_node, a_volume_node), strict=True):
        np.testing.assert_array_equal(now, was)


@pytest.mark.parametrize("moved", [(0.3, 0.0, 0.0), (-20.0, 8.0, 3.0)])
def test_what_reaches_beyond_the_image_or_lies_between_its_voxels_is_taken_back(
    a_volume_node, a_label, a_geometry, a_place, moved
):
    import slicer

    from DALESegmentLib.engine.geometry.grid import Geometry
    from DALESegmentLib.mrml.segmentations import addSegmentation

    origin = tuple(np.add(a_geometry.origin, np.multiply(moved, a_geometry.spacing)))
    there = Geometry(a_geometry.size, a_geometry.spacing, origin, a_geometry.direction)
    node = addSegmentation(a_label, there, {1: "lesion", 2: "oedema"}, a_volume_node, "elsewhere")
    lesion = node.GetSegmentation().GetNthSegmentID(0)
    whole = slicer.util.addVolumeFromArray(np.zeros_like(a_label), there.ijk_to_ras())
    before = masks_of(node, whole)
    kept = openCorrection(a_volume_node, node, lesion, a_place, a_geometry)
    updateSegments(node, np.zeros_like(a_label), there, {1: lesion})
    endCorrection(kept)
    assert undoCorrection(kept)
    for was, now in zip(before, masks_of(node, whole), strict=True):
        np.testing.assert_array_equal(now, was)


def test_nothing_is_taken_back_where_a_segment_came_since(a_correction, a_segmentation_node):
    endCorrection(a_correction)
    a_segmentation_node.GetSegmentation().AddEmptySegment("new", "new")
    assert not undoCorrection(a_correction)
    assert a_segmentation_node.GetSegmentation().GetNumberOfSegments() == 3


def test_the_brush_fits_the_region(a_place, a_geometry):
    assert brushMm(a_place, a_geometry) == pytest.approx(10 * 0.8 / 3)  # the longest side: 10 voxels of 0.8 mm
    assert brushMm(np.ones_like(a_place), a_geometry) == pytest.approx(50 / 3, abs=0.5)
    assert brushMm(np.zeros_like(a_place), a_geometry) == 1.0
