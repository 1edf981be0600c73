"""A and Z where segments overlap, lie on fewer voxels than the image, or at its edge: each segment as it was, voxel for
voxel."""

from __future__ import annotations

import numpy as np
import pytest
from panel_steps import label_of, step
from slicer_window import click_row, enter, leave, press, states


def mask_of(widget, segment: str) -> np.ndarray:
    import slicer

    return np.array(slicer.util.arrayFromSegmentBinaryLabelmap(widget.case[1], segment, widget.case[0])) > 0


def overlapping(widget) -> None:
    """Another segment lies over all of the ball's upper half, and a third lies where there is nothing."""
    import slicer

    image, segmentation = widget.case
    ball = mask_of(widget, "ball")
    half, corner = ball.copy(), np.zeros_like(ball)
    half[:8] = False
    half[9:12, 20:28, 8:40] = True
    corner[:3, :5, :5] = True
    for name, mask in (("other", half), ("corner", corner)):
        segmentation.GetSegmentation().AddEmptySegment(name, name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, name, image)


def on_fewer_voxels(widget) -> None:
    """The segmentation's own grid holds no more than the ball, and counts its voxels from there."""
    import slicer

    image, segmentation = widget.case
    ball = mask_of(widget, "ball").astype(np.uint8)
    box = tuple(slice(int(w.min()), int(w.max()) + 1) for w in np.nonzero(ball))
    small = slicer.util.addVolumeFromArray(ball[box], name="small")
    small.SetSpacing(*image.GetSpacing())
    small.SetOrigin(*(part.start * s for part, s in zip(reversed(box), image.GetSpacing(), strict=True)))
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(small)
    slicer.util.updateSegmentBinaryLabelmapFromArray(ball[box], segmentation, "ball", small)
    slicer.mrmlScene.RemoveNode(small)


def at_the_edge(widget) -> None:
    """The ball's label reaches the image's last column, and its first slice."""
    import slicer

    image, segmentation = widget.case
    ball = mask_of(widget, "ball")
    ball[:10, 20:30, 30:] = True
    slicer.util.updateSegmentBinaryLabelmapFromArray(ball.astype(np.uint8), segmentation, "ball", image)


@pytest.fixture(params=[overlapping, on_fewer_voxels, at_the_edge])
def unusual(widget, request):
    request.param(widget)
    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.regionsButton)
    widget.logic.workflow.state.refreshAtOnce = False
    widget.ui.regionsTable.setCurrentCell(0, 0)
    click_row(widget.ui.regionsTable, 0)
    ids = widget.case[1].GetSegmentation().GetSegmentIDs()
    widget.masks = {segment: mask_of(widget, segment) for segment in ids}
    assert widget.masks["ball"].any()
    return widget


def unchanged(widget) -> bool:
    return all(np.array_equal(mask_of(widget, segment), mask) for segment, mask in widget.masks.items())


def test_one_key_and_back(unusual):
    segment = unusual.logic.workflow.review.regions()[0].class_name
    press(unusual, "A")
    assert states(unusual)[0] == "accepted"
    now = {name: mask_of(unusual, name) for name in unusual.masks}
    assert {name for name in now if not np.array_equal(now[name], unusual.masks[name])} == {segment}
    press(unusual, "A")  # of the next row
    press(unusual, "Z")
    press(unusual, "Z")
    assert set(states(unusual)) == {"open"}
    assert unchanged(unusual)
    press(unusual, "Z")  # nothing is left to take back
    assert unchanged(unusual)


def test_a_correction_and_back(unusual):
    import slicer

    image, segmentation = unusual.case
    press(unusual, "E")
    leave(unusual)
    place = unusual.logic.workflow.review.regionMap() == unusual.logic.workflow.review.regions()[0].region_id
    for segment, drawn in unusual.masks.items():  # the editor may change every segment that is seen
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            (drawn & ~place).astype(np.uint8), segmentation, segment, image
        )
    enter(unusual)
    assert states(unusual)[0] == "corrected"
    click_row(unusual.ui.regionsTable, 0)
    press(unusual, "Z")
    assert unchanged(unusual)
    assert not (label_of(segmentation, image) > len(unusual.masks)).any()
