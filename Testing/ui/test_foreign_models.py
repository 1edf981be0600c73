"""A model of nnU-Net or MONAI, and probabilities of any program, chosen in the panel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from slicer_window import click, wait_until

KEPT = Path(__file__).parents[1] / "kept" / "nnunet" / "nnUNetTrainer__nnUNetPlans__3d_fullres"


def sent(widget) -> dict:
    """What the next request asks of the engine."""
    asked = {}
    widget.logic.workflow.request = lambda command, parameters, *more: asked.update({"command": command, **parameters})
    return asked


def monai_bundle(folder: Path) -> Path:
    outputs = {"pred": {"channel_def": {"0": "background", "1": "spleen"}}}
    metadata = {"name": "Spleen", "network_data_format": {"outputs": outputs}}
    config = {"network_def": {"_target_": "monai.networks.nets.UNet", "spatial_dims": 3}}
    for name, content in (("metadata", metadata), ("inference", config)):
        (folder / "configs").mkdir(parents=True, exist_ok=True)
        (folder / "configs" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize("inside", ["", "fold_0"])
def test_a_result_folder_of_nnunet_is_taken_and_described(widget, inside):
    ui, model = widget.ui, KEPT / inside
    ui.modelEdit.currentPath = str(model)
    text = ui.modelInfoLabel.text
    dataset = json.loads((KEPT / "dataset.json").read_text())
    assert text.startswith("nnU-Net v2, 3d_fullres: PlainConvUNet in 3D for ")
    assert all(name in text for name in dataset["labels"] if name != "background")
    assert "fold_0" in text
    assert "no intervals of measurements" in text
    for button, command in (
        (ui.confidenceButton, "confidence"),
        (ui.regionsButton, "review"),
        (ui.predictButton, "predict"),
    ):
        asked = sent(widget)
        click(button)
        assert (asked["command"], asked["model"]) == (command, str(model))


def test_a_bundle_of_monai_is_described(widget, tmp_path):
    widget.ui.modelEdit.currentPath = str(monai_bundle(tmp_path / "spleen"))
    text = widget.ui.modelInfoLabel.text
    assert text.startswith("MONAI bundle “Spleen”: UNet for spleen.")
    assert "no intervals of measurements" in text


@pytest.mark.parametrize("damage", ["{}", "no JSON", '{"configurations": {"3d_fullres": 3}}'])
def test_damaged_plans_are_said(widget, tmp_path, damage):
    folder = tmp_path / "a__b__3d_fullres"
    folder.mkdir()
    (folder / "dataset.json").write_text((KEPT / "dataset.json").read_text())
    (folder / "plans.json").write_text(damage)
    widget.ui.modelEdit.currentPath = str(folder)
    assert widget.ui.modelInfoLabel.text
    assert not widget.ui.modelInfoLabel.text.startswith("nnU-Net v2")


def test_a_file_in_place_of_the_model_is_said(widget, tmp_path):
    file = tmp_path / "model.pt"
    file.write_bytes(b"weights")
    widget.ui.modelEdit.currentPath = str(file)
    assert "model.pt is a file; name the folder of the model" in widget.ui.modelInfoLabel.text


def test_probabilities_stand_in_the_models_place(widget, tmp_path, caplog):
    ui, state = widget.ui, widget.logic.workflow.state
    assert not ui.regionsButton.enabled
    ui.probabilitiesEdit.currentPath = str(tmp_path)
    assert state.probabilities == str(tmp_path)
    for button, command in ((ui.confidenceButton, "confidence"), (ui.regionsButton, "review")):
        asked = sent(widget)
        click(button)
        assert asked["command"] == command
        assert asked["probabilities"] == str(tmp_path)
        assert "model" not in asked
    assert not ui.predictButton.enabled
    ui.probabilitiesEdit.currentPath = str(tmp_path / "gone")
    click(ui.regionsButton)
    assert "Choose the folder of the probabilities" in caplog.text


@pytest.mark.slow
def test_a_list_from_probabilities_by_the_engine_itself(widget, tmp_path):
    from panel_steps import label_of

    from DALESegmentLib.ui.engine_process import EngineProcess

    image, segmentation = widget.case
    label = label_of(segmentation, image)
    certain = np.stack([label == 0, label == 1]).astype(np.float32)
    certain[:, 4:10, 14:20, 14:20] = certain[::-1, 4:10, 14:20, 14:20]  # a corner of which the opposite is sure
    np.savez_compressed(tmp_path / "Ball.npz", probabilities=certain)
    widget.logic.workflow.engine = EngineProcess()
    widget.ui.probabilitiesEdit.currentPath = str(tmp_path)
    click(widget.ui.regionsButton)
    assert wait_until(lambda: not widget.logic.workflow.busy, 120)
    assert widget.ui.regionsTable.rowCount, widget.ui.statusLabel.text
    region = widget.logic.workflow.review.regions()[0]
    assert all(a >= b for a, b in zip(region.first_voxel, (13, 13, 3), strict=True))
