"""Prediction on more than the chosen image."""

from __future__ import annotations

import numpy as np
import pytest
from panel_steps import step
from slicer_window import click, wait_until


@pytest.fixture
def trained(widget):
    step(widget, widget.ui.trainButton)
    return widget


def test_every_image_of_the_scene_gets_a_segmentation_of_its_own(trained):
    import slicer

    ball = slicer.util.arrayFromVolume(trained.case[0])
    for name in ("Second", "Third"):
        slicer.util.addVolumeFromArray(np.flip(ball, 2).copy(), name=name)
    before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    click(trained.ui.predictAllButton)
    assert wait_until(lambda: not trained.logic.workflow.busy and "Third" in trained.ui.statusLabel.text)
    assert len(trained.ui.statusLabel.text.split("\n")) == 3
    names = {f"{name} predicted" for name in ("Ball", "Second", "Third")}
    assert {slicer.mrmlScene.GetFirstNodeByName(name).GetName() for name in names} == names
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == before + 3


def test_a_folder_is_segmented_into_another_folder(trained, tmp_path, monkeypatch):
    from DALESegmentLib.ui import folders

    chosen = [tmp_path / "images", tmp_path / "results"]
    monkeypatch.setattr(folders, "askForFolder", lambda title: chosen.pop(0))
    sent = []

    def request(command, parameters, onProgress, onResult, onError):
        sent.append((command, parameters))
        onResult({"items": [{}, {}]})

    with monkeypatch.context() as patched:
        patched.setattr(trained.logic.workflow.engine, "request", request)
        click(trained.ui.predictFolderButton)
    ((command, parameters),) = sent
    assert command == "predict"
    assert parameters["cases"] == {"folder": str(tmp_path / "images")}
    assert parameters["out"] == str(tmp_path / "results")
    assert trained.ui.statusLabel.text.startswith("2 images were segmented into “results”; extents.csv")


def test_results_never_go_among_the_images(trained, tmp_path, monkeypatch, caplog):
    from DALESegmentLib.ui import folders

    monkeypatch.setattr(folders, "askForFolder", lambda title: tmp_path)
    click(trained.ui.predictFolderButton)
    assert "another folder for the results" in caplog.text
    assert not trained.logic.workflow.busy
