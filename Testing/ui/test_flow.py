"""The whole work in the panel: real clicks, real scene, a real process behind it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from panel_steps import correct, label_of, step
from slicer_window import click, click_row, enter, leave, picture, press, reload, states, wait_until
from standin.module_panel import WIDTH


def test_the_first_volume_and_segmentation_are_chosen(widget):
    image, segmentation = widget.case
    assert widget.ui.imageSelector.currentNodeID == image.GetID()
    assert widget.ui.segmentationSelector.currentNodeID == segmentation.GetID()


def test_only_what_can_be_done_is_enabled(widget):
    ui = widget.ui
    assert ui.trainButton.enabled
    for button in (
        ui.confidenceButton,
        ui.regionsButton,
        ui.fineTuneButton,
        ui.predictButton,
        ui.rollBackButton,
    ):
        assert not button.enabled
    ui.segmentationSelector.setCurrentNode(None)
    assert not ui.trainButton.enabled


def test_the_whole_flow(widget, tmp_path):
    ui, workflow = widget.ui, widget.logic.workflow
    image, segmentation = widget.case
    drawn = label_of(segmentation, image)

    assert "Trained 3 epochs" in step(widget, ui.trainButton)
    assert ui.modelEdit.currentPath.endswith("model-1")

    assert "Mean label confidence" in step(widget, ui.confidenceButton)
    heat_map = workflow.state.heatMap
    assert heat_map.GetName() == "Ball label confidence"

    step(widget, ui.regionsButton)
    assert ui.regionsTable.rowCount >= 2
    picture(widget, tmp_path / "review.png")

    click_row(ui.regionsTable, 0)
    region = workflow.review.regions()[0]
    click(ui.confirmButton)
    assert ui.regionsTable.item(0, 5).text() == "confirmed"
    assert ui.regionsTable.currentRow() == 1
    assert region.rank == 1

    correct(segmentation, image)
    changed = label_of(segmentation, image) != drawn
    assert changed.any()
    assert "confirmed voxels" in step(widget, ui.fineTuneButton)
    trusted = workflow.session.sceneCase().trusted
    assert trusted[changed].all()
    region_map = workflow.review.regionMap()
    assert trusted[region_map == region.region_id].all()
    assert not trusted.all()
    assert ui.modelEdit.currentPath.endswith("model-2")

    corrected = label_of(segmentation, image)
    said = step(widget, ui.predictButton)
    assert "New segmentation" in said
    ml, low, high = map(float, re.search(r": ball ([\d.]+) ml \(90 %: ([\d.]+) to ([\d.]+)\), longest", said).groups())
    assert 0 < low < ml < high
    assert said.endswith("longest diameter 20.0 mm.")
    result = workflow.state.result
    assert result.GetID() != segmentation.GetID()
    assert ui.resultSelector.currentNodeID == result.GetID()
    assert np.array_equal(label_of(segmentation, image), corrected)
    predicted = label_of(result, image)
    assert predicted[8, 24, 24] == 1
    assert predicted[0, 0, 0] == 0

    click(ui.rollBackButton)
    assert ui.modelEdit.currentPath.endswith("model-1")


def test_clicking_a_region_moves_the_slice_views(widget):
    import slicer

    view = slicer.vtkMRMLSliceNode()
    view.SetName("Red")
    view.SetLayoutName("Red")
    view = slicer.mrmlScene.AddNode(view)
    view.SetOrientationToAxial()
    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.regionsButton)
    seen = set()
    for row, region in enumerate(widget.logic.workflow.review.regions()[:2]):
        click_row(widget.ui.regionsTable, row)
        assert view.GetSliceOffset() == pytest.approx(region.centre_ras[2], abs=1.0)
        centre = [view.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)]
        assert centre == pytest.approx(region.centre_ras, abs=1.0)
        seen.add(tuple(centre))
    assert len(seen) == 2


def test_correct_opens_the_segment_editor(widget):
    import slicer

    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.regionsButton)
    click_row(widget.ui.regionsTable, 0)
    click(widget.ui.correctButton)
    assert slicer.app.selected == ["SegmentEditor"]


def test_progress_and_cancel(widget):
    ui, workflow = widget.ui, widget.logic.workflow
    assert not ui.cancelButton.isVisible()
    workflow.request("slow", {}, lambda answer: None)
    assert wait_until(lambda: ui.progressBar.value > 1)
    assert ui.progressBar.isVisible()
    assert "s left" in ui.statusLabel.text
    assert not ui.trainButton.enabled
    click(ui.cancelButton)
    assert wait_until(lambda: not workflow.busy, 5)
    assert ui.statusLabel.text == "Cancelled."
    assert ui.trainButton.enabled
    assert not ui.progressBar.isVisible()


def test_a_step_that_does_not_end_is_stopped_with_the_engine(widget, monkeypatch):
    from DALESegmentLib.ui import progress_panel

    monkeypatch.setattr(progress_panel, "PATIENCE_MS", 200)
    ui, workflow = widget.ui, widget.logic.workflow
    workflow.request("deaf", {}, lambda answer: None)
    assert wait_until(lambda: ui.progressBar.value > 0)
    assert ui.cancelButton.text == "Cancel"
    click(ui.cancelButton)
    assert wait_until(lambda: ui.cancelButton.text == "Stop the engine")
    click(ui.cancelButton)
    assert wait_until(lambda: not workflow.busy, 5)
    assert "Cancelled" in ui.statusLabel.text
    step(widget, ui.trainButton)  # a fresh engine
    assert ui.cancelButton.text == "Cancel"


def test_nothing_is_decided_about_a_list_that_is_being_replaced(reviewed):
    ui = reviewed.ui
    click(ui.regionsButton)
    assert reviewed.logic.workflow.busy
    assert not ui.confirmButton.enabled
    press(reviewed, "C")
    assert "being made anew" in ui.statusLabel.text
    assert wait_until(lambda: not reviewed.logic.workflow.busy)
    assert set(states(reviewed)) == {"open"}
    click_row(ui.regionsTable, 0)
    press(reviewed, "C")
    assert states(reviewed)[0] == "confirmed"


def test_an_engine_that_ended_is_reported_and_the_next_step_works(widget):
    widget.logic.workflow.request("die", {}, lambda answer: None)
    assert wait_until(lambda: not widget.logic.workflow.busy)
    assert "stopped unexpectedly" in widget.ui.statusLabel.text
    assert "Trained" in step(widget, widget.ui.trainButton)


def test_a_users_mistake_is_reported_in_a_sentence_and_nothing_runs(widget, caplog):
    widget.logic.workflow.state.model = "/nowhere"
    click(widget.ui.confidenceButton)
    assert "Train a model, or choose one under Learn, first." in caplog.text
    assert not widget.logic.workflow.busy


def test_the_state_survives_leaving_and_coming_back(widget):
    import slicer

    ui = widget.ui
    step(widget, ui.trainButton)
    ui.minutesSlider.value = 7.5
    ui.methodComboBox.currentIndex = 1
    leave(widget)
    assert {row[0] for row in widget.Observations} == {slicer.mrmlScene}
    ui.minutesSlider.value = 3.0  # nobody listens now
    enter(widget)
    assert ui.minutesSlider.value == 7.5
    assert ui.methodComboBox.currentIndex == 1
    assert ui.modelEdit.currentPath.endswith("model-1")


def test_a_step_started_before_leaving_arrives(widget):
    click(widget.ui.trainButton)
    leave(widget)
    enter(widget)
    assert wait_until(lambda: not widget.logic.workflow.busy)
    assert widget.ui.modelEdit.currentPath.endswith("model-1")


def test_closing_the_scene_forgets_and_starts_anew(widget):
    import slicer

    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.regionsButton)
    before = widget.logic.workflow.state.token
    slicer.mrmlScene.Clear(False)
    assert widget.logic.workflow.state.token != before
    assert widget.ui.imageSelector.currentNode() is None
    assert widget.ui.modelEdit.currentPath == ""
    assert widget.ui.regionsTable.rowCount == 0
    assert not widget.ui.trainButton.enabled


def test_an_answer_for_a_closed_scene_is_dropped(widget):
    import slicer

    click(widget.ui.trainButton)
    slicer.mrmlScene.Clear(False)
    assert wait_until(lambda: not widget.logic.workflow.busy)
    assert widget.ui.modelEdit.currentPath == ""


def test_a_result_that_comes_after_the_scene_was_closed_changes_nothing(widget):
    import slicer

    step(widget, widget.ui.trainButton)
    arrived = []
    widget.logic.workflow.cancel = lambda: arrived.append("too late to cancel")
    click(widget.ui.predictButton)
    slicer.mrmlScene.Clear(False)
    assert wait_until(lambda: not widget.logic.workflow.busy)
    assert arrived
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None
    assert widget.logic.workflow.state.result is None


def test_the_panel_fits_a_narrow_window(widget, tmp_path):
    picture(widget, tmp_path / "panel.png")
    bar = widget.dock.verticalScrollBar().sizeHint().width()
    assert widget.dock.width() == WIDTH
    assert widget.window.minimumSizeHint().width() + bar <= WIDTH


def test_the_sliders_restyle_the_heat_map(widget):
    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.confidenceButton)
    display = widget.logic.workflow.state.heatMap.GetDisplayNode()
    before = display.GetUpperThreshold()
    widget.ui.thresholdSlider.value = 0.3
    assert display.GetUpperThreshold() < before
    assert widget.logic.workflow.state.heatMapThreshold == pytest.approx(0.3)


def test_a_second_heat_map_takes_the_place_of_the_first(widget):
    import slicer

    step(widget, widget.ui.trainButton)
    for _ in range(2):
        step(widget, widget.ui.confidenceButton)
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert [v.GetName() for v in volumes if "label confidence" in v.GetName()] == ["Ball label confidence"]


def test_a_folder_of_cases_needs_no_segmentation(widget, tmp_path):
    ui = widget.ui
    ui.segmentationSelector.setCurrentNode(None)
    assert not ui.casesFolderEdit.enabled
    ui.sourceComboBox.currentIndex = 1
    assert ui.casesFolderEdit.enabled
    ui.casesFolderEdit.currentPath = str(tmp_path)
    assert ui.trainButton.enabled


def test_the_state_survives_in_a_saved_scene(widget, tmp_path):
    import slicer

    from DALESegmentLib.mrml.scene_file import loadScene, saveScene

    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.regionsButton)
    click_row(widget.ui.regionsTable, 0)
    click(widget.ui.confirmButton)
    widget.ui.minutesSlider.value = 7.5
    token = widget.logic.workflow.state.token
    saved = saveScene(tmp_path / "work.mrb")
    slicer.mrmlScene.Clear(False)
    assert widget.ui.minutesSlider.value == 5.0
    loadScene(saved)
    assert widget.logic.workflow.state.token == token
    assert widget.ui.minutesSlider.value == 7.5
    assert widget.ui.imageSelector.currentNode().GetName() == "Ball"
    assert widget.ui.modelEdit.currentPath.endswith("model-1")
    assert widget.ui.regionsTable.item(0, 5).text() == "confirmed"
    assert "confirmed voxels" in step(widget, widget.ui.fineTuneButton)


def test_a_reload_brings_the_library_anew(widget):
    import sys

    before = {n: m for n, m in sys.modules.items() if n.split(".")[0] in ("DALESegment", "DALESegmentLib")}
    try:
        reload(widget).cleanup()
        now = {n: m for n, m in sys.modules.items() if n.startswith("DALESegmentLib.ui")}
        assert now
        assert not [name for name, module in now.items() if before.get(name) is module]
    finally:
        sys.modules.update(before)


def test_cleanup_ends_the_process_and_stops_listening(widget):
    step(widget, widget.ui.trainButton)
    assert widget.logic.workflow.engine.running
    widget.cleanup()
    assert not widget.logic.workflow.engine.running
    assert not widget.Observations


def test_an_erased_segmentation_does_not_block_what_follows(widget):
    import slicer

    image, segmentation = widget.case
    step(widget, widget.ui.trainButton)
    segment = segmentation.GetSegmentation().GetNthSegmentID(0)
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, image).copy()
    for array in (np.zeros_like(drawn), drawn):
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, segment, image)
        step(widget, widget.ui.confidenceButton)
    assert "Mean label confidence" in widget.ui.statusLabel.text


def test_trust_stays_with_the_image_and_prediction_does_not_lose_it(widget):
    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.regionsButton)
    click_row(widget.ui.regionsTable, 0)
    click(widget.ui.confirmButton)
    step(widget, widget.ui.fineTuneButton)
    session = widget.logic.workflow.session
    trusted = session.sceneCase().trusted
    assert trusted.any()
    step(widget, widget.ui.predictButton)
    step(widget, widget.ui.regionsButton)
    assert np.array_equal(session.sceneCase().trusted, trusted)
    widget.case[0].SetSpacing(1.0, 1.0, 3.0)
    assert session.sceneCase().trusted is None
