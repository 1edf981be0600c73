"""What belongs to the user stays as it is, and no result is ever shown for what it is not about."""

from __future__ import annotations

import numpy as np
import pytest
from panel_steps import correct, label_of, step
from slicer_window import click, click_row, enter, leave, wait_until


@pytest.fixture
def listed(widget):
    """The panel with a trained model and a region list."""
    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.regionsButton)
    return widget


@pytest.fixture
def another_image(desktop):
    import slicer

    return lambda: slicer.util.addVolumeFromArray(np.zeros((16, 48, 48), np.float32), name="Other")


def names_in(selector) -> set[str]:
    from standin import unwrap

    combo = unwrap(selector)._combo
    return {combo.itemText(i) for i in range(combo.count())}


def test_a_heat_map_or_a_label_map_is_no_image_to_choose(listed):
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    for selector in (listed.ui.imageSelector, listed.ui.secondImageSelector):
        assert names_in(selector) == {"None", "Ball"}


def test_a_heat_map_is_refused_as_an_image_in_a_script_too(listed):
    from DALESegmentLib.engine.core.errors import EngineError

    workflow = listed.logic.workflow
    leave(listed)
    workflow.state.image = workflow.state.heatMap
    with pytest.raises(EngineError) as caught:
        workflow.session.sceneCase()
    assert caught.value.code == "not-an-image"


def test_another_image_takes_heat_map_and_list_away_and_the_first_brings_them_back(
    widget,
    another_image,
    a_slice_view,
):
    view, ui = a_slice_view(), widget.ui
    step(widget, ui.trainButton)
    step(widget, ui.regionsButton)
    state = widget.logic.workflow.state
    rows, heat_map = ui.regionsTable.rowCount, state.heatMap.GetID()
    assert view.GetForegroundVolumeID() == heat_map
    assert "made for" not in ui.reviewNote.text

    ui.imageSelector.setCurrentNode(another_image())
    assert view.GetForegroundVolumeID() is None
    assert ui.regionsTable.rowCount == 0
    assert not state.regionMarkups.GetDisplayVisibility()
    assert "“Ball” / “LabelmapSnapshot”" in ui.reviewNote.text
    assert ui.reviewNote.isVisible()
    for blocked in (ui.fineTuneButton, ui.confirmButton, ui.opacitySlider, ui.thresholdSlider):
        assert not blocked.enabled

    ui.imageSelector.setCurrentNode(widget.case[0])
    assert view.GetForegroundVolumeID() == heat_map
    assert view.GetForegroundOpacity() == pytest.approx(state.heatMapOpacity)
    assert ui.regionsTable.rowCount == rows
    assert state.regionMarkups.GetDisplayVisibility()
    assert ui.fineTuneButton.enabled
    assert "made for" not in ui.reviewNote.text


def test_another_segmentation_takes_the_list_away(listed):
    import slicer

    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other")
    listed.ui.segmentationSelector.setCurrentNode(other)
    assert listed.ui.regionsTable.rowCount == 0


def test_a_list_whose_image_was_deleted_shows_a_sentence(listed):
    import slicer

    slicer.mrmlScene.RemoveNode(listed.case[0])
    assert "no longer here" in listed.ui.reviewNote.text
    assert listed.ui.regionsTable.rowCount == 0


def test_a_heat_map_that_comes_for_another_image_waits_for_its_own(
    widget,
    another_image,
    a_slice_view,
):
    view, ui = a_slice_view(), widget.ui
    step(widget, ui.trainButton)
    click(ui.confidenceButton)
    ui.imageSelector.setCurrentNode(another_image())
    assert wait_until(lambda: not widget.logic.workflow.busy)
    assert widget.logic.workflow.state.heatMap.GetName() == "Ball label confidence"
    assert view.GetForegroundVolumeID() is None
    ui.imageSelector.setCurrentNode(widget.case[0])
    assert view.GetForegroundVolumeID() == widget.logic.workflow.state.heatMap.GetID()


@pytest.mark.parametrize("button", ["predictButton", "confidenceButton", "regionsButton"])
@pytest.mark.parametrize("change", ["removed", "moved"])
def test_a_result_for_an_image_that_was_removed_or_moved_is_left_out(widget, button, change):
    import slicer

    step(widget, widget.ui.trainButton)
    before = slicer.mrmlScene.GetNumberOfNodes() - (change == "removed") * 2  # the image and its display node
    click(getattr(widget.ui, button))
    if change == "removed":
        display = widget.case[0].GetDisplayNode()
        slicer.mrmlScene.RemoveNode(widget.case[0])
        slicer.mrmlScene.RemoveNode(display)
    else:
        widget.case[0].SetOrigin(7.0, 0.0, 0.0)
    assert wait_until(lambda: not widget.logic.workflow.busy)
    assert "removed or moved" in widget.ui.statusLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_scene_closed_after_the_panel_was_left_gets_no_result(widget):
    import slicer

    step(widget, widget.ui.trainButton)
    widget.logic.workflow.cancel = lambda: None  # too late to cancel
    click(widget.ui.predictButton)
    leave(widget)
    slicer.mrmlScene.Clear(False)
    slicer.util.addVolumeFromArray(np.zeros((4, 4, 4), np.float32), name="Next patient")
    assert wait_until(lambda: not widget.logic.workflow.busy)
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None
    enter(widget)
    assert widget.ui.imageSelector.currentNode().GetName() == "Next patient"


def test_a_result_that_cannot_be_read_leaves_the_old_one_and_the_panel_usable(widget, monkeypatch):
    from DALESegmentLib.ui import review

    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.confidenceButton)
    before = widget.logic.workflow.state.heatMap.GetID()

    def broken(path):
        raise OSError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(review.np, "load", broken)
        step(widget, widget.ui.confidenceButton)
    assert "could not be put into the scene" in widget.ui.statusLabel.text
    assert widget.logic.workflow.state.heatMap.GetID() == before
    assert widget.ui.confidenceButton.enabled
    assert "Mean label confidence" in step(widget, widget.ui.confidenceButton)


def test_no_array_is_replaced_that_a_process_may_have_mapped(listed, monkeypatch):
    """Windows refuses to replace a file that is mapped; here every array counts as mapped once it is written."""
    from DALESegmentLib.engine.core import files as atomic

    replace = atomic.os.replace

    def as_windows_would(source, target):
        if target.suffix == ".npy" and target.exists():
            raise PermissionError(13, "Access is denied", str(target))
        replace(source, target)

    monkeypatch.setattr(atomic.os, "replace", as_windows_would)
    click_row(listed.ui.regionsTable, 0)
    click(listed.ui.confirmButton)
    ui = listed.ui
    for button in (ui.trainButton, ui.confidenceButton, ui.fineTuneButton, ui.regionsButton, ui.predictButton):
        step(listed, button)
    assert "New segmentation" in ui.statusLabel.text


def test_decisions_survive_a_new_list(listed):
    image, segmentation = listed.case
    workflow = listed.logic.workflow
    click_row(listed.ui.regionsTable, 0)
    click(listed.ui.confirmButton)
    region = workflow.review.regions()[0]
    confirmed = workflow.review.regionMap() == region.region_id
    before = label_of(segmentation, image)
    correct(segmentation, image)
    corrected = label_of(segmentation, image) != before
    step(listed, listed.ui.regionsButton)
    trusted = workflow.session.sceneCase().trusted
    assert trusted[confirmed].all()
    assert trusted[corrected].all()
    assert not trusted.all()


def test_a_deleted_heat_map_and_table_are_no_obstacle(listed):
    import slicer

    state = listed.logic.workflow.state
    for node in (state.heatMap, state.regionTable, state.regionMarkups):
        slicer.mrmlScene.RemoveNode(node)
    assert (state.heatMap, state.regionTable, state.regionMarkups) == (None, None, None)
    assert not listed.ui.opacitySlider.enabled
    assert listed.ui.regionsTable.rowCount == 0
    assert "doubtful regions" in step(listed, listed.ui.regionsButton)


def test_clicking_the_selected_region_jumps_again(listed):
    import slicer

    view = slicer.vtkMRMLSliceNode()
    view.SetName("Red")
    view.SetLayoutName("Red")
    view = slicer.mrmlScene.AddNode(view)
    view.SetOrientationToAxial()
    region = listed.logic.workflow.review.regions()[0]
    click_row(listed.ui.regionsTable, 0)
    view.SetSliceOffset(-100.0)
    click_row(listed.ui.regionsTable, 0)
    assert view.GetSliceOffset() == pytest.approx(region.centre_ras[2], abs=1.0)


@pytest.fixture
def editor_calls(desktop, monkeypatch):
    """What is asked of the Segment Editor."""
    from types import SimpleNamespace

    import slicer
    from standin import api

    calls = []

    class Editor:
        def __getattr__(self, name):
            assert name in api.slot_names("qMRMLSegmentEditorWidget"), name
            return lambda value: calls.append((name, value))

    monkeypatch.setattr(slicer.modules, "SegmentEditorWidget", SimpleNamespace(editor=Editor()), raising=False)
    return calls


def test_correct_opens_the_reviewed_segment_in_the_segment_editor(listed, editor_calls):
    """By its name: the model's value 1 is `ball`, whatever place that has in this segmentation."""
    image, segmentation = listed.case
    segmentation.GetSegmentation().AddEmptySegment("other", "other")
    assert segmentation.GetSegmentation().SetSegmentIndex("other", 0)
    click_row(listed.ui.regionsTable, 0)
    click(listed.ui.correctButton)
    assert editor_calls == [
        ("setSegmentationNode", segmentation),
        ("setSourceVolumeNode", image),
        ("setCurrentSegmentID", "ball"),
        ("setActiveEffectByName", "Erase"),
    ]


def test_a_segment_that_was_renamed_meanwhile_is_left_for_the_reader_to_choose(listed, editor_calls):
    listed.case[1].GetSegmentation().GetSegment("ball").SetName("renamed")
    click_row(listed.ui.regionsTable, 0)
    click(listed.ui.correctButton)
    assert [name for name, _value in editor_calls] == ["setSegmentationNode", "setSourceVolumeNode"]
    assert "No segment is called “ball” any more" in listed.ui.statusLabel.text


def test_cases_are_written_with_the_names_of_their_segments(widget):
    from DALESegmentLib.engine.io.array_cases import load_array_case

    session = widget.logic.workflow.session
    segmentation = widget.case[1].GetSegmentation()
    segmentation.AddEmptySegment("other", "other")
    assert segmentation.SetSegmentIndex("other", 0)
    folder = session.takeScene().writeCase()["items"][0]["arrays"]
    assert load_array_case(folder).class_names == {1: "other", 2: "ball"}
    label = load_array_case(folder, known_names={1: "ball"}).label
    assert np.array_equal(label, label_of(widget.case[1], widget.case[0]) > 0)
