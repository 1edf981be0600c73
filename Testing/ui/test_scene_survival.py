"""The saved scene keeps the review, also where the files beside it are gone; several segmentations keep theirs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from panel_steps import label_of, step
from slicer_window import click, click_row, press, states, wait_until


def saved_and_opened(widget, folder: Path) -> None:
    """As on another day: the temporary files are gone, the scene alone is there."""
    import slicer

    from DALESegmentLib.mrml.scene_file import loadScene, saveScene

    saved = saveScene(folder / "kept.mrb")
    slicer.mrmlScene.Clear(False)
    shutil.rmtree(Path(slicer.app.temporaryPath) / "DALESegment")
    loadScene(saved)


def test_the_review_goes_on_where_only_the_scene_is_left(reviewed, tmp_path):
    ui = reviewed.ui
    ui.reviewerEdit.text = "A. Reader"
    press(reviewed, "C")
    press(reviewed, "U")
    ui.opacitySlider.value, ui.thresholdSlider.value = 0.35, 0.55
    click(ui.refreshCheckBox)
    click(ui.auditButton)
    click(ui.auditWrongButton)
    before = states(reviewed)
    place = reviewed.logic.workflow.review.regionMap() == 1
    saved_and_opened(reviewed, tmp_path)

    assert states(reviewed) == before
    assert before[:3] == ["confirmed", "unsure", "open"]
    assert ui.reviewerEdit.text == "A. Reader"
    assert (ui.opacitySlider.value, ui.thresholdSlider.value) == (0.35, 0.55)
    assert not ui.refreshCheckBox.checked
    assert "Place 2 of 20" in ui.auditLabel.text
    assert not reviewed.logic.workflow.state.heatMap.GetHideFromEditors()
    workflow = reviewed.logic.workflow
    trusted = workflow.review.decided(workflow.session.sceneCase())
    assert trusted[place].all()
    assert not trusted.all()
    press(reviewed, "Z")
    press(reviewed, "Z")
    assert set(states(reviewed)) == {"open"}


def test_a_model_that_is_gone_is_reported_in_a_sentence(reviewed, tmp_path, caplog):
    saved_and_opened(reviewed, tmp_path)
    click(reviewed.ui.regionsButton)
    assert "Train a model, or choose one under Learn, first." in caplog.text


def test_the_hidden_volumes_are_offered_nowhere(reviewed):
    import standin

    for selector in (reviewed.ui.imageSelector, reviewed.ui.targetSelector):
        combo = standin.unwrap(selector)._combo
        assert {combo.itemText(i) for i in range(combo.count())} <= {"None", "The image under Data", "Ball"}


def test_each_segmentation_of_a_scene_keeps_its_own_list(reviewed):
    import slicer

    image, first = reviewed.case
    press(reviewed, "C")
    second = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Another reader")
    second.SetReferenceImageGeometryParameterFromVolumeNode(image)
    second.GetSegmentation().AddEmptySegment("ball", "ball")
    label = label_of(first, image)
    label[:, :, 30:] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(label, second, "ball", image)
    reviewed.ui.segmentationSelector.setCurrentNode(second)
    assert reviewed.ui.reviewNote.isVisible()
    step(reviewed, reviewed.ui.regionsButton)
    assert set(states(reviewed)) == {"open"}
    click_row(reviewed.ui.regionsTable, 1)
    press(reviewed, "U")
    reviewed.ui.segmentationSelector.setCurrentNode(first)
    assert states(reviewed)[:2] == ["confirmed", "open"]
    reviewed.ui.segmentationSelector.setCurrentNode(second)
    assert states(reviewed)[:2] == ["open", "unsure"]


def test_one_segment_alone_can_be_judged(widget):
    import slicer
    from panel_steps import choose

    image, segmentation = widget.case
    segmentation.GetSegmentation().AddEmptySegment("other", "other")
    other = np.zeros((16, 48, 48), np.uint8)
    other[2:5, 2:5, 2:5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(other, segmentation, "other", image)
    widget.refresh()
    choose(widget.ui.segmentComboBox, "ball")
    case = widget.logic.workflow.session.sceneCase()
    assert case.class_names == {1: "ball"}
    assert not case.label[3, 3, 3]
    choose(widget.ui.segmentComboBox, "All segments")
    assert widget.logic.workflow.session.sceneCase().class_names == {1: "ball", 2: "other"}


def test_a_cancelled_step_leaves_the_scene_as_it_was(reviewed):
    import slicer

    def nodes():
        scene = slicer.mrmlScene
        return sorted(scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes()))

    before, drawn = nodes(), label_of(reviewed.case[1], reviewed.case[0])
    model = reviewed.logic.workflow.state.model
    click(reviewed.ui.trainButton)
    click(reviewed.ui.cancelButton)
    assert wait_until(lambda: not reviewed.logic.workflow.busy)
    assert reviewed.ui.statusLabel.text == "Cancelled."
    assert nodes() == before
    assert reviewed.logic.workflow.state.model == model
    assert np.array_equal(label_of(reviewed.case[1], reviewed.case[0]), drawn)
