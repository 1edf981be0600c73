"""Data: what is in the scene or in a folder, before anything is learned from it."""

from __future__ import annotations

from panel_steps import step
from slicer_window import click


def test_check_data_lists_the_cases(widget):
    step(widget, widget.ui.checkButton)
    assert "Cases: 1. Segments: ball." in widget.ui.dataLabel.text


def test_test_images_without_a_label_are_not_trained_on(widget, tmp_path):
    from DALESegmentLib.engine.commands.parameters import CasesParameter

    for name in ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "imagesTs/b_0000.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    sent = {}
    widget.logic.workflow.request = lambda command, parameters, onDone, writeCase: sent.update({command: writeCase()})
    widget.ui.sourceComboBox.currentIndex = 1
    widget.ui.casesFolderEdit.currentPath = str(tmp_path)
    click(widget.ui.trainButton)
    click(widget.ui.checkButton)
    assert [s.name for s in CasesParameter(**sent["train"]).find_to_learn()] == ["a"]
    assert [s.name for s in CasesParameter(**sent["inspect"]).find()] == ["a", "b"]


def test_checking_a_folder_names_the_empty_labels(widget, tmp_path):
    import numpy as np

    from DALESegmentLib.engine.commands import inspect
    from DALESegmentLib.engine.core.progress import Progress
    from DALESegmentLib.engine.geometry.grid import Geometry
    from DALESegmentLib.engine.io.images import write_image

    place = Geometry((20, 16), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    pixels = np.arange(320, dtype=np.uint8).reshape(16, 20) % 250
    for name, label in (("a", pixels > 200), ("b", pixels > 255)):
        write_image(tmp_path / name / "image.png", pixels, place)
        write_image(tmp_path / name / "label.png", label.astype(np.uint8), place)
    widget.ui.sourceComboBox.currentIndex = 1
    widget.ui.casesFolderEdit.currentPath = str(tmp_path)

    def request(_command, _parameters, onDone, writeCase):  # the stand-in for the engine knows no folders
        onDone(inspect.run({"cases": writeCase()}, Progress()))

    widget.logic.workflow.request = request
    click(widget.ui.checkButton)
    assert "nothing to be labelled: 1 (b)" in widget.ui.dataLabel.text


def test_overlapping_segments_are_told_aloud_before_and_after_a_step(widget):
    import numpy as np
    import slicer

    image, segmentation = widget.case
    whole = np.zeros((16, 48, 48), np.uint8)
    whole[:, 10:40, 24:] = 1
    segmentation.GetSegmentation().AddEmptySegment("whole", "whole")
    slicer.util.updateSegmentBinaryLabelmapFromArray(whole, segmentation, "whole", image)
    segmentation.GetSegmentation().SeparateSegmentLabelmap("whole")
    ball = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "ball", image) > 0
    lost, claimed = ((ball & (whole > 0)).sum() * 0.002, ball.sum() * 0.002)
    assert lost > 1
    said = f"“ball” counts {lost:.2f} of its {claimed:.2f} ml less, because “whole” lies over it"
    widget.refresh()
    assert said in widget.ui.factsLabel.text
    assert "ATTENTION" in widget.ui.factsLabel.text
    assert said in step(widget, widget.ui.trainButton)
    assert said in step(widget, widget.ui.confidenceButton)
    widget.logic.workflow.state.segment = "ball"
    assert "ATTENTION" not in widget.ui.factsLabel.text
    assert "ATTENTION" not in step(widget, widget.ui.confidenceButton)
