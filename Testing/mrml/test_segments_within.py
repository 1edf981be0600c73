"""A box of a label written into segments: nothing outside it moves, whoever shares the labelmap."""

from __future__ import annotations

import numpy as np
import pytest

SIZE = (40, 36, 20)  # (i, j, k)


@pytest.fixture
def drawn(a_scene):
    """Two segments beside each other in one labelmap, on an image that is turned and shifted."""
    from DALESegmentLib.engine.geometry.grid import Geometry
    from DALESegmentLib.mrml.segmentations import addSegmentation
    from DALESegmentLib.mrml.volumes import addVolume

    turn = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
    geometry = Geometry(SIZE, (1.0, 1.5, 3.0), (10.0, -20.0, 30.0), turn)
    label = np.zeros(SIZE[::-1], np.uint8)
    label[5:15, 8:20, 8:20], label[5:15, 8:20, 20:30] = 1, 2
    image = addVolume(np.zeros(SIZE[::-1], np.float32), geometry, "Image")
    node = addSegmentation(label, geometry, {1: "one", 2: "two"}, image, "Drawn")
    return image, node, geometry, label


def written(drawn, after, box):
    from DALESegmentLib.mrml.segmentations import labelFromSegmentation, updateSegmentsWithin

    image, node, geometry, label = drawn
    ids = {n: node.GetSegmentation().GetNthSegmentID(n - 1) for n in (1, 2)}
    first = tuple(part.start for part in reversed(box))
    updateSegmentsWithin(node, label[box], after[box], first, geometry, ids)
    return labelFromSegmentation(node, image)[0]


BOX = (slice(3, 18), slice(5, 25), slice(4, 34))


def test_what_comes_and_goes_in_the_box(drawn):
    after = drawn[3].copy()
    after[5:15, 8:20, 18:24] = 1  # from two to one
    after[5:7] = 0
    after[15:17, 10:15, 10:15] = 2
    assert np.array_equal(written(drawn, after, BOX), after)


def test_outside_the_box_everything_stays(drawn):
    label, small = drawn[3], (slice(6, 10), slice(9, 15), slice(9, 25))
    wanted = label.copy()
    wanted[small] = 0
    assert np.array_equal(written(drawn, wanted, small), wanted)


def test_an_empty_segment_begins_in_a_box(drawn):
    image, node, _geometry, label = drawn
    import slicer

    nothing = np.zeros(SIZE[::-1], np.uint8)
    for segmentId in node.GetSegmentation().GetSegmentIDs():
        slicer.util.updateSegmentBinaryLabelmapFromArray(nothing, node, segmentId, image)
    label[:] = 0
    after = label.copy()
    after[8:12, 10:14, 10:14] = 2
    assert np.array_equal(written(drawn, after, BOX), after)


def test_a_segment_can_vanish(drawn):
    after = drawn[3].copy()
    after[after == 1] = 0
    assert np.array_equal(written(drawn, after, BOX), after)


def test_a_segment_counts_its_voxels_as_before(drawn):
    """Else Slicer resamples all of it at each box."""
    import slicer
    import vtk

    image, node, _geometry, label = drawn
    mask = (label == 1).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, node.GetSegmentation().GetNthSegmentID(0), image)
    matrices = []
    for wanted in (label, np.where(label == 1, 0, label)):
        wanted = wanted.copy()
        wanted[9:12, 15:22, 6:12] = 1
        assert np.array_equal(written(drawn, wanted, BOX), wanted)
        matrices.append(vtk.vtkMatrix4x4())
        labelmap = node.GetBinaryLabelmapInternalRepresentation(node.GetSegmentation().GetNthSegmentID(0))
        labelmap.GetImageToWorldMatrix(matrices[-1])
        drawn[3][:] = wanted
    whole = vtk.vtkMatrix4x4()
    image.GetIJKToRASMatrix(whole)
    for matrix in matrices:
        np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix), slicer.util.arrayFromVTKMatrix(whole))


@pytest.mark.parametrize("moved", [(0.3, 0.0, 0.0), (-4.0, 3.0, 2.0)])
def test_a_segment_on_other_voxels_takes_the_box_too(drawn, moved):
    """Between the image's voxels it is resampled; whole voxels away it is only counted otherwise."""
    from DALESegmentLib.mrml.segmentations import addSegmentation, labelFromSegmentation, updateSegmentsWithin

    image, _node, geometry, label = drawn
    shift = np.reshape(geometry.direction, (3, 3)) @ np.multiply(moved, geometry.spacing)
    there = type(geometry)(geometry.size, geometry.spacing, tuple(geometry.origin + shift), geometry.direction)
    node = addSegmentation(label, there, {1: "one", 2: "two"}, image, "Elsewhere")
    ids = {n: node.GetSegmentation().GetNthSegmentID(n - 1) for n in (1, 2)}
    before = labelFromSegmentation(node, image)[0]
    after = before.copy()
    after[5:9, 6:14, 6:28] = 1
    after[9:11] = 0
    updateSegmentsWithin(node, before, after, (0, 0, 0), geometry, ids)
    assert np.array_equal(labelFromSegmentation(node, image)[0], after)
