"""Overlapping segments: what each loses is told, in ml."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.mrml.overlaps import overlaps, overlapSentence
from DALESegmentLib.mrml.segmentations import labelFromSegmentation, segmentationSnapshot


def drawn_over_each_other(image, **masks):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    node.SetReferenceImageGeometryParameterFromVolumeNode(image)
    for name, mask in masks.items():
        segment = node.GetSegmentation().AddEmptySegment(name, name)
        labelmap = mask.astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(labelmap, node, segment, image)
        node.GetSegmentation().SeparateSegmentLabelmap(segment)
    return node


def box(shape, *sides) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


def test_a_segment_under_a_later_one_loses_what_both_claim(a_volume_node, a_label):
    lesion = box(a_label.shape, (5, 10), (10, 20), (10, 20))  # 500 voxels
    whole = box(a_label.shape, (5, 10), (10, 20), (13, 40))  # 350 of them, and more
    node = drawn_over_each_other(a_volume_node, lesion=lesion, whole=whole)
    (found,) = overlaps(segmentationSnapshot(node, a_volume_node), 1000.0)
    assert (found.segment, found.over) == ("lesion", "whole")
    assert (found.lost, found.all) == pytest.approx((350.0, 500.0))
    label = labelFromSegmentation(node, a_volume_node)[0]
    assert (label == 1).sum() == 150
    said = overlapSentence([found])
    assert said.startswith("ATTENTION")
    assert "“lesion” counts 350.00 of its 500.00 ml less, because “whole” lies over it" in said


def test_the_mask_of_a_segment_is_whole_under_another_one(a_volume_node, a_label):
    lesion = box(a_label.shape, (5, 10), (10, 20), (10, 20))
    whole = box(a_label.shape, (5, 10), (10, 20), (13, 40))
    drawn = segmentationSnapshot(drawn_over_each_other(a_volume_node, lesion=lesion, whole=whole), a_volume_node)
    np.testing.assert_array_equal(drawn.maskOf(1), lesion)
    np.testing.assert_array_equal(drawn.maskOf(2), whole)


def test_three_segments_are_told_apart_the_largest_loss_first(a_volume_node, a_label):
    shape = a_label.shape
    node = drawn_over_each_other(
        a_volume_node,
        a=box(shape, (0, 4), (0, 10), (0, 10)),
        b=box(shape, (0, 4), (0, 10), (9, 12)),
        c=box(shape, (0, 2), (0, 10), (0, 5)),
    )
    found = overlaps(segmentationSnapshot(node, a_volume_node), 1000.0)
    assert [(o.segment, o.over, round(o.lost)) for o in found] == [("a", "c", 100), ("a", "b", 40)]


def test_neighbours_do_not_overlap(a_volume_node, a_segmentation_node, a_label):
    assert overlaps(segmentationSnapshot(a_segmentation_node, a_volume_node), 1.0) == []
    apart = drawn_over_each_other(a_volume_node, lesion=a_label == 1, oedema=a_label == 2)
    assert overlaps(segmentationSnapshot(apart, a_volume_node), 1.0) == []
    assert overlapSentence([]) == ""
