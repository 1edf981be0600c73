"""Correct: the Segment Editor on that segment, limited to the region; what changed counts when the reader is back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from panel_steps import label_of
from slicer_window import click, click_row, enter, leave, press, wait_until

from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.geometry.grid import Geometry


def erase_region(widget, region):
    """What the reader does in the Segment Editor; returns the voxels, (k, j, i)."""
    import slicer

    image, segmentation = widget.case
    place = widget.logic.workflow.review.regionMap() == region.region_id
    label = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "ball", image).copy()
    changed = place & (label > 0)
    label[place] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(label, segmentation, "ball", image)
    return changed


def state_of_first(widget) -> str:
    return widget.ui.regionsTable.item(0, 5).text()


@pytest.fixture
def corrected(reviewed):
    """The first region was corrected, without learning from it at once, and the reader is back."""
    click(reviewed.ui.refreshCheckBox)
    reviewed.before = label_of(reviewed.case[1], reviewed.case[0])
    press(reviewed, "E")
    leave(reviewed)
    reviewed.changed = erase_region(reviewed, reviewed.logic.workflow.review.regions()[0])
    enter(reviewed)
    return reviewed


def test_the_key_opens_the_editor_limited_to_the_region(reviewed):
    import slicer

    from DALESegmentLib.mrml.correction import segmentEditorNode
    from DALESegmentLib.mrml.segmentations import labelFromSegmentation

    press(reviewed, "E")
    assert slicer.app.selected == ["SegmentEditor"]
    editor = segmentEditorNode()
    assert editor.GetSelectedSegmentID() == "ball"
    image, segmentation = reviewed.case
    mask = labelFromSegmentation(segmentation, image, [editor.GetMaskSegmentID()])[0] > 0
    place = reviewed.logic.workflow.review.regionMap() == 1
    assert mask[place].all()
    assert not mask.all()
    where = np.argwhere(place)
    far = np.argwhere(mask).max(axis=0) - where.max(axis=0)
    assert (far <= (5 // 2, 5, 5)).all()  # 5 mm on voxels of 2, 1, 1 mm


def test_5_mm_around_the_region_can_be_edited_along_each_axis(desktop):
    from DALESegmentLib.ui.region_editing import editableVoxels

    geometry = Geometry((15, 9, 9), (0.9, 2.0, 4.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    regions = np.zeros(geometry.array_shape, int)
    regions[4, 4, 7] = 1
    one = Region(1, "a", 1, 1, "ball", "extra", 0, 1, 7.2, 0.1, 0.1, 1.0, (0,) * 3, (7, 4, 4), (7, 4, 4), (7, 4, 4))
    for known in (regions, None):
        part, there = editableVoxels(one, known, geometry)
        first = [round(n) for n in np.linalg.solve(geometry.ijk_to_ras(), there.ijk_to_ras())[:3, 3]][::-1]
        place = np.zeros(geometry.array_shape, bool)
        place[tuple(slice(a, a + n) for a, n in zip(first, part.shape, strict=True))] = part
        assert np.flatnonzero(place[4, 4, :]).tolist() == list(range(2, 13))
        assert np.flatnonzero(place[4, :, 7]).tolist() == [2, 3, 4, 5, 6]
        assert np.flatnonzero(place[:, 4, 7]).tolist() == [3, 4, 5]


def test_what_was_changed_is_corrected_and_trusted(corrected):
    assert state_of_first(corrected) == "corrected"
    assert f"{int(corrected.changed.sum())} voxels were changed" in corrected.ui.statusLabel.text
    workflow = corrected.logic.workflow
    trusted = workflow.review.decided(workflow.session.sceneCase())
    assert trusted[corrected.changed].all()
    assert not trusted.all()
    assert corrected.case[1].GetSegmentation().GetNumberOfSegments() == 1


def test_a_correction_without_a_change_decides_nothing(reviewed):
    press(reviewed, "E")
    leave(reviewed)
    enter(reviewed)
    assert state_of_first(reviewed) == "open"
    assert "Nothing was changed in region 1" in reviewed.ui.statusLabel.text
    assert reviewed.case[1].GetSegmentation().GetNumberOfSegments() == 1


def test_undo_takes_back_what_was_drawn(corrected):
    press(corrected, "Z")
    assert state_of_first(corrected) == "open"
    assert "was taken back" in corrected.ui.statusLabel.text
    assert np.array_equal(label_of(corrected.case[1], corrected.case[0]), corrected.before)


def test_undo_leaves_alone_what_was_drawn_later(corrected):
    import slicer

    image, segmentation = corrected.case
    label = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "ball", image).copy()
    label[0, 0, 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(label, segmentation, "ball", image)
    press(corrected, "Z")
    assert state_of_first(corrected) == "open"
    assert "was changed since" in corrected.ui.statusLabel.text
    assert np.array_equal(label_of(segmentation, image), label)


def test_undoing_another_decision_draws_nothing_back(corrected):
    now = label_of(corrected.case[1], corrected.case[0])
    click_row(corrected.ui.regionsTable, 0)
    press(corrected, "U")
    press(corrected, "Z")
    assert state_of_first(corrected) == "corrected"
    assert np.array_equal(label_of(corrected.case[1], corrected.case[0]), now)


def test_one_key_leads_back(reviewed):
    import slicer

    press(reviewed, "D")
    press(reviewed, "E")
    leave(reviewed)
    press(reviewed, "D")
    assert slicer.app.selected == ["SegmentEditor", "DALESegment"]
    enter(reviewed)
    press(reviewed, "D")
    assert slicer.app.selected == ["SegmentEditor", "DALESegment"]


def test_it_is_learned_from_at_once(reviewed):
    workflow, ui = reviewed.logic.workflow, reviewed.ui
    heat_map = workflow.state.heatMap.GetID()
    press(reviewed, "E")
    leave(reviewed)
    changed = erase_region(reviewed, workflow.review.regions()[0])
    drawn = label_of(reviewed.case[1], reviewed.case[0])
    enter(reviewed)
    assert workflow.busy
    assert wait_until(lambda: not workflow.busy)
    assert "confirmed voxels are followed" in ui.statusLabel.text
    assert workflow.state.heatMap.GetID() != heat_map
    assert workflow.state.model != workflow.state.previousModel
    result = workflow.state.result
    assert result.GetName() == "Ball refreshed"
    assert np.array_equal(label_of(reviewed.case[1], reviewed.case[0]), drawn)
    assert changed.any()

    workflow.refresh()
    assert wait_until(lambda: not workflow.busy)
    assert workflow.state.result.GetID() == result.GetID(), "a second refresh renews our own segmentation"


def test_the_corrected_region_is_coloured_before_the_rest_and_as_before_where_that_is_cancelled(reviewed):
    import slicer

    workflow = reviewed.logic.workflow
    heat_map = workflow.state.heatMap
    first = workflow.review.regions()[0]
    box = zip(reversed(first.first_voxel), reversed(first.last_voxel), strict=True)
    place = tuple(slice(a, b + 1) for a, b in box)
    (Path(workflow.state.model) / "stop-after-region").touch()
    press(reviewed, "E")
    leave(reviewed)
    erase_region(reviewed, first)
    enter(reviewed)
    before = slicer.util.arrayFromVolume(heat_map).copy()  # what was corrected is drawn as trusted already
    assert not (before[place] == 1).all(), "the region's box has other voxels, too"

    told = []
    inform = workflow.onProgress

    def informed(event: dict) -> None:
        inform(event)
        told.extend([event["values"]["region"]] if "region" in event.get("values", {}) else [])

    workflow.onProgress = informed

    def coloured() -> bool:
        return len(told) == 2 and not np.array_equal(slicer.util.arrayFromVolume(heat_map)[place], before[place])

    assert wait_until(coloured)
    now = slicer.util.arrayFromVolume(heat_map)
    elsewhere = np.ones(before.shape, bool)
    elsewhere[place] = False
    assert np.array_equal(now[elsewhere], before[elsewhere])
    click(reviewed.ui.cancelButton)
    assert wait_until(lambda: not workflow.busy)
    assert workflow.state.heatMap.GetID() == heat_map.GetID()
    assert np.array_equal(slicer.util.arrayFromVolume(heat_map), before)


def test_a_refresh_never_writes_into_another_segmentation(reviewed):
    workflow = reviewed.logic.workflow
    drawn = label_of(reviewed.case[1], reviewed.case[0])
    reviewed.ui.resultSelector.setCurrentNode(reviewed.case[1])
    press(reviewed, "C")
    workflow.refresh()
    assert wait_until(lambda: not workflow.busy)
    assert workflow.state.result.GetID() != reviewed.case[1].GetID()
    assert np.array_equal(label_of(reviewed.case[1], reviewed.case[0]), drawn)


def test_a_scene_closed_during_a_correction_leaves_nothing_behind(reviewed):
    import slicer

    press(reviewed, "E")
    leave(reviewed)
    slicer.mrmlScene.Clear(False)
    enter(reviewed)
    assert not reviewed.logic.workflow.busy
    assert reviewed.ui.regionsTable.rowCount == 0


def test_a_scene_saved_during_a_correction_is_clean_when_it_is_opened(reviewed, tmp_path):
    import slicer

    from DALESegmentLib.mrml.scene_file import loadScene, saveScene

    press(reviewed, "E")
    leave(reviewed)
    saved = saveScene(tmp_path / "during.mrb")
    slicer.mrmlScene.Clear(False)
    enter(reviewed)
    loadScene(saved)
    segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    assert segmentation.GetSegmentation().GetSegmentIDs() == ("ball",)


@pytest.fixture
def left_meanwhile(reviewed):
    """A correction was left while another step runs."""
    workflow = reviewed.logic.workflow
    press(reviewed, "E")
    leave(reviewed)
    erase_region(reviewed, workflow.review.regions()[0])
    workflow.request("slow", {}, lambda answer: None)
    enter(reviewed)
    return reviewed


def test_a_correction_left_during_another_step_is_learned_from_after_it(left_meanwhile):
    workflow = left_meanwhile.logic.workflow
    assert state_of_first(left_meanwhile) == "corrected"
    assert workflow.command == "slow"
    model = workflow.state.model
    click(left_meanwhile.ui.cancelButton)
    assert wait_until(lambda: workflow.command == "refresh")
    assert wait_until(lambda: not workflow.busy)
    assert workflow.state.model != model


def test_one_that_was_undone_meanwhile_is_not_learned_from(left_meanwhile):
    workflow = left_meanwhile.logic.workflow
    press(left_meanwhile, "Z")
    assert state_of_first(left_meanwhile) == "open"
    model = workflow.state.model
    click(left_meanwhile.ui.cancelButton)
    assert wait_until(lambda: not workflow.busy)
    assert not wait_until(lambda: workflow.busy, 1)
    assert workflow.state.model == model


def test_where_another_image_was_chosen_meanwhile_a_sentence_is_shown(left_meanwhile):
    import slicer

    workflow = left_meanwhile.logic.workflow
    other = slicer.util.addVolumeFromArray(slicer.util.arrayFromVolume(left_meanwhile.case[0]).copy(), name="Other")
    workflow.state.image = other
    click(left_meanwhile.ui.cancelButton)
    assert wait_until(lambda: not workflow.busy)
    assert "belongs to another image" in left_meanwhile.ui.statusLabel.text
