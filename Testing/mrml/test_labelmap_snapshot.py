"""What is drawn, copied box by box, is the label that Slicer itself would export."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.mrml.labelmap_snapshot import _resampled, takeLabelmapSnapshot
from DALESegmentLib.mrml.segmentations import (
    addSegmentation,
    labelFromSegmentation,
    segmentationSnapshot,
    updateSegments,
)


def exported(node, volume):
    """By Slicer, segment by segment."""
    label = None
    for value, segmentId in enumerate(node.GetSegmentation().GetSegmentIDs(), 1):
        piece = _resampled(node, volume, {segmentId: value}).voxels
        label = piece if label is None else np.maximum(label, piece)
    return label


def test_it_is_what_slicer_exports(a_segmentation_node, a_volume_node, a_label, a_geometry):
    ids = a_segmentation_node.GetSegmentation().GetSegmentIDs()
    np.testing.assert_array_equal(labelFromSegmentation(a_segmentation_node, a_volume_node)[0], a_label)
    grown = np.zeros_like(a_label)
    grown[5:15, 18:42, 10:45] = 1
    updateSegments(a_segmentation_node, grown, a_geometry, {1: ids[0]})  # the two overlap now
    label = labelFromSegmentation(a_segmentation_node, a_volume_node)[0]
    np.testing.assert_array_equal(label, exported(a_segmentation_node, a_volume_node))


@pytest.mark.parametrize("shift", [(0, 0, 0), (-3, 5, 2), (70, 0, 0), (0.3, 0, 0)])
def test_segments_that_reach_out_of_the_image_or_lie_between_its_voxels(a_volume_node, a_geometry, shift):
    origin = np.array(a_geometry.origin) + np.reshape(a_geometry.direction, (3, 3)) @ np.multiply(
        shift, a_geometry.spacing
    )
    there = Geometry(a_geometry.size, a_geometry.spacing, tuple(origin), a_geometry.direction)
    label = np.zeros(there.array_shape, np.uint8)
    label[:6, 3:20, 2:60] = 1
    label[6:9, 3:20, 2:60] = 2
    node = addSegmentation(label, there, {1: "a", 2: "b"}, a_volume_node, "shifted")
    np.testing.assert_array_equal(labelFromSegmentation(node, a_volume_node)[0], exported(node, a_volume_node))


def test_a_copy_does_not_follow_the_scene_and_counts_what_changed(
    a_segmentation_node, a_volume_node, a_label, a_geometry
):
    lesion = a_segmentation_node.GetSegmentation().GetSegmentIDs()[0]
    before = segmentationSnapshot(a_segmentation_node, a_volume_node)
    edited = np.array(a_label)
    edited[0, 0, :7] = 1
    updateSegments(a_segmentation_node, edited, a_geometry, {1: lesion})
    now = segmentationSnapshot(a_segmentation_node, a_volume_node)
    np.testing.assert_array_equal(before.label()[0], a_label)
    assert now.changedVoxels(before) == before.changedVoxels(now) == 7
    assert now.changedVoxels(now) == 0
    assert takeLabelmapSnapshot(a_segmentation_node, a_volume_node, [lesion]).changedVoxels(before) is None


def test_the_label_is_made_on_another_thread(a_segmentation_node, a_volume_node, a_label):
    drawn, made = segmentationSnapshot(a_segmentation_node, a_volume_node), []
    thread = threading.Thread(target=lambda: made.append(drawn.label()[0]))
    thread.start()
    thread.join(20)
    np.testing.assert_array_equal(made[0], a_label)


def test_a_segment_that_came_or_left_its_layer_is_counted_too(a_segmentation_node, a_volume_node, a_label, a_geometry):
    lesion = a_segmentation_node.GetSegmentation().GetSegmentIDs()[0]
    before = segmentationSnapshot(a_segmentation_node, a_volume_node)
    a_segmentation_node.GetSegmentation().SeparateSegmentLabelmap(lesion)
    now = segmentationSnapshot(a_segmentation_node, a_volume_node)
    assert len(now.pieces) == 2
    assert now.changedVoxels(before) == 0
    updateSegments(a_segmentation_node, np.zeros_like(a_label), a_geometry, {1: lesion})
    emptied = segmentationSnapshot(a_segmentation_node, a_volume_node)
    assert emptied.changedVoxels(before) == emptied.changedVoxels(now) == np.count_nonzero(a_label == 1)


def test_an_image_is_not_copied_at_once_but_with_its_case(a_volume_node, a_segmentation_node):
    import slicer

    from DALESegmentLib.mrml.cases import takeSnapshot

    voxels = slicer.util.arrayFromVolume(a_volume_node)
    taken = takeSnapshot(a_volume_node, a_segmentation_node)
    assert np.shares_memory(taken.volumes[0], voxels)
    case = taken.case()
    assert not np.shares_memory(case.image, voxels)
    np.testing.assert_array_equal(case.image[0], voxels)


def test_the_voxels_outlive_their_node(a_volume_node, an_image, a_scene):
    from DALESegmentLib.mrml.cases import takeSnapshot

    taken = takeSnapshot(a_volume_node)
    a_scene.RemoveNode(a_volume_node)
    np.testing.assert_array_equal(taken.case().image[0], an_image)


def test_what_did_not_change_is_copied_once(a_segmentation_node, a_volume_node, a_label):
    from vtk.util.numpy_support import vtk_to_numpy

    first, again = (segmentationSnapshot(a_segmentation_node, a_volume_node) for _ in range(2))
    assert again.pieces[0].voxels is first.pieces[0].voxels
    lesion = a_segmentation_node.GetSegmentation().GetNthSegmentID(0)
    labelmap = a_segmentation_node.GetBinaryLabelmapInternalRepresentation(lesion)
    vtk_to_numpy(labelmap.GetPointData().GetScalars())[0] = 2
    labelmap.Modified()
    now = segmentationSnapshot(a_segmentation_node, a_volume_node)
    place = tuple(int(axis.min()) for axis in np.nonzero(a_label))  # where the labelmap begins
    assert (now.label()[0][place], again.label()[0][place]) == (2, a_label[place]) == (2, 1)
    assert now.changedVoxels(first) == 1


@pytest.mark.parametrize("size", [(5, 7, 3), (8, 8, 4)])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32])
def test_only_the_box_that_holds_something_is_copied(size, kind):
    from DALESegmentLib.mrml.labelmap_snapshot import filledBox

    random = np.random.default_rng(0)
    for count in (0, 1, 2, 3, 30):
        voxels = np.zeros(size[::-1], kind)
        for place in zip(*(random.integers(0, n, count) for n in voxels.shape), strict=True):
            voxels[place] = random.integers(1, 100)
        where = np.nonzero(voxels)
        box = tuple(slice(int(w.min()), int(w.max()) + 1) if len(w) else slice(0, 0) for w in where)
        assert filledBox(voxels) == box
