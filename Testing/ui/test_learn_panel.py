"""Learn: the plan, the model's story, the device, the installation, the curves."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
from panel_steps import step
from slicer_window import click, wait_until


def sent(widget) -> dict:
    """What the next request asks of the engine."""
    asked = {}
    widget.logic.workflow.request = lambda command, parameters, onDone, writeCase: asked.update(
        {"command": command, **parameters}
    )
    return asked


def test_the_plan_is_shown_before_training(widget):
    step(widget, widget.ui.planButton)
    assert widget.ui.planLabel.text == (
        "Threshold in 3D, patches of 32 × 32 × 16 voxels, as scanned, on the processor; time budget 5 min."
    )
    assert widget.ui.planLabel.isVisible()


def test_a_model_is_described_by_what_it_was_made_from(widget, tmp_path):
    run = tmp_path / "run"
    for name, content in {
        "bundle/configs/metadata.json": {
            "dalesegment": {"plan": {"network": "SegResNet", "dims": 3, "class_names": {"1": "liver", "2": "tumour"}}}
        },
        "bundle/docs/training.json": {"history": [{"validation_dice": 0.5}, {"validation_dice": 0.8125}, {}]},
        "run.json": {"training": ["a", "b", "c"]},
    }.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(json.dumps(content))
    widget.ui.modelEdit.currentPath = str(run)
    text = widget.ui.modelInfoLabel.text
    assert text.startswith("SegResNet in 3D for liver, tumour; trained 20")
    assert text.endswith("training cases: 3; validation Dice 0.81.")


@pytest.mark.parametrize("content", [None, "{}", "no JSON"])
def test_a_folder_that_is_no_model_is_reported(widget, tmp_path, content):
    if content is not None:
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs" / "metadata.json").write_text(content)
    widget.ui.modelEdit.currentPath = str(tmp_path)
    assert widget.ui.modelInfoLabel.text
    assert "SegResNet" not in widget.ui.modelInfoLabel.text


@pytest.mark.parametrize(("index", "device"), [(0, "auto"), (1, "cpu"), (2, "cuda")])
def test_the_device_is_asked_for(widget, index, device):
    asked = sent(widget)
    widget.ui.deviceComboBox.currentIndex = index
    click(widget.ui.trainButton)
    assert (asked["command"], asked["device"]) == ("train", device)


def test_the_installation_is_checked_on_request(widget):
    step(widget, widget.ui.installationButton)
    lines = widget.ui.installationLabel.text.split("\n")
    assert lines[0] == "Problems found: 1."
    assert "monai: missing. Install monai 1.4 or newer." in lines
    assert "GPU: none, the CPU is used." in lines


def test_a_check_where_something_is_missing_starts_and_installs_nothing(widget):
    workflow = widget.logic.workflow
    workflow.prepare = lambda: pytest.fail("a check installs nothing")
    workflow.missingSentences = lambda: ["PyTorch is missing; install it."]
    ui = widget.ui
    for button, beside in (
        (ui.installationButton, ui.installationLabel),
        (ui.planButton, ui.planLabel),
        (ui.checkButton, ui.dataLabel),
    ):
        click(button)
        assert beside.text == "PyTorch is missing; install it."
        assert beside.isVisible()
        assert not workflow.busy
    assert not workflow.engine.running


def test_who_declines_an_installation_gets_no_second_dialog(widget, monkeypatch):
    import slicer

    from DALESegmentLib.ui import dependencies

    workflow, asked = widget.logic.workflow, []
    monkeypatch.setattr(dependencies, "missingRequirements", lambda file: ["no-such-package>=1"])
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, **keywords: bool(asked.append(text)) or slicer.app.agrees
    )
    workflow.prepare = lambda: dependencies.ensureInstalled(Path(__file__).parents[2] / "Resources/requirements.txt")
    click(widget.ui.trainButton)
    wait_until(lambda: False, 0.2)
    assert len(asked) == 1
    assert not slicer.app.dialogs
    assert "Nothing was installed" in widget.ui.statusLabel.text
    assert "no-such-package>=1" in widget.ui.statusLabel.text
    assert not workflow.busy
    assert widget.ui.trainButton.enabled


def test_the_curves_are_drawn_while_it_trains_at_most_once_a_second(widget, monkeypatch):
    from DALESegmentLib.mrml.scene import nodeWithRole
    from DALESegmentLib.ui import live_curves

    def progress(epoch, loss):
        values = {"epoch": epoch, "loss": loss}
        widget.logic.workflow.onProgress({"percent": 10.0, "stage": "training", "message": "", "values": values})

    def drawn():
        table = nodeWithRole("vtkMRMLTableNode", "curveTable.loss")
        return [table.GetCellText(row, 1) for row in range(table.GetNumberOfRows())]

    progress(1, 0.9)
    progress(2, 0.5)
    assert drawn() == ["0.9"]
    monkeypatch.setattr(live_curves, "SECONDS_BETWEEN", 0.0)
    progress(2, 0.4)
    assert drawn() == ["0.9", "0.4"]
    progress(1, 0.8)  # another training
    assert drawn() == ["0.8"]


def test_the_curves_come_into_the_layout(widget):
    import slicer

    from DALESegmentLib.mrml.charts import curvesChart

    step(widget, widget.ui.trainButton)
    click(widget.ui.curvesButton)
    shown = slicer.modules.plots.logic().shown
    assert shown[-1].GetID() == curvesChart().GetID()


def test_a_killed_engine_is_noticed_within_two_seconds_and_the_review_stays(widget):
    import time

    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.regionsButton)
    workflow = widget.logic.workflow
    regions = workflow.review.regions()
    workflow.review.decide(regions[0], "confirmed")
    workflow.request("slow", {}, lambda answer: None)
    assert wait_until(lambda: widget.ui.progressBar.value > 1)
    started = time.monotonic()
    psutil.Process(workflow.engine.processId).kill()
    assert wait_until(lambda: not workflow.busy, 5)
    assert time.monotonic() - started < 2.0
    assert "stopped unexpectedly" in widget.ui.statusLabel.text
    assert workflow.review.regions() == regions
    assert "confirmed" in workflow.review.decisions().values()
    assert "Mean label confidence" in step(widget, widget.ui.confidenceButton)


def test_the_model_is_saved_into_the_chosen_folder_and_never_over_another(widget, tmp_path, monkeypatch, caplog):
    from DALESegmentLib.ui import folders

    step(widget, widget.ui.trainButton)
    target = tmp_path / "mine"
    target.mkdir()
    monkeypatch.setattr(folders, "askForFolder", lambda title: target)
    click(widget.ui.saveModelButton)
    (copy,) = target.iterdir()
    assert (copy / "configs" / "metadata.json").is_file()
    click(widget.ui.saveModelButton)
    assert "is there already; choose another folder" in caplog.text
    widget.ui.modelEdit.currentPath = str(copy)
    assert "Mean label confidence" in step(widget, widget.ui.confidenceButton)
    assert Path(widget.logic.workflow.state.model) == copy


def type_into(field, text: str) -> None:
    import standin

    bare = standin.unwrap(field)
    bare.setText(text)
    bare.editingFinished.emit()


def engine_started(widget) -> bool:
    widget.logic.workflow.engine.start()
    return widget.logic.workflow.engine.running


@pytest.fixture
def _computed_here(widget):
    """Afterwards the engine is the one of this computer again."""
    yield
    for field in (widget.ui.engineEdit, widget.ui.tokenEdit):
        type_into(field, "")


@pytest.mark.usefixtures("_computed_here")
def test_another_computer_is_asked_from_the_next_step_on(widget):
    from DALESegmentLib.ui.engine_process import engineAddress

    step(widget, widget.ui.planButton)
    engine = widget.logic.workflow.engine
    assert engine.running
    assert not widget.ui.connectionButton.enabled
    type_into(widget.ui.engineEdit, "  https://gpu-host ")
    assert engineAddress() == "https://gpu-host"
    assert not engine.running
    type_into(widget.ui.engineEdit, "")
    assert engineAddress() == ""
    step(widget, widget.ui.planButton)
    assert engine.running


@pytest.mark.usefixtures("_computed_here")
def test_the_connection_is_tested_with_the_users_token(widget, tmp_path):
    pytest.importorskip("fastapi", reason="the server needs its packages")
    from benchmarks.reliability.server_process import ServerProcess
    from DALESegmentLib.engine import __version__

    with ServerProcess(tmp_path / "data", ("anna",)) as server:
        type_into(widget.ui.engineEdit, server.address)
        type_into(widget.ui.tokenEdit, server.tokens["anna"])
        step(widget, widget.ui.connectionButton)
        told = widget.ui.installationLabel.text
        assert told.startswith(f"{server.address} answers: DALESegment {__version__}, ")
        assert told.endswith("jobs running: 0, waiting: 0.")
        assert engine_started(widget)
        environment = psutil.Process(widget.logic.workflow.engine.processId).environ()
        assert environment["DALESEGMENT_TOKEN"] == server.tokens["anna"]
        type_into(widget.ui.tokenEdit, "somebody-else")
        click(widget.ui.connectionButton)
        assert wait_until(lambda: not widget.logic.workflow.busy)
        assert "token" in widget.ui.statusLabel.text
