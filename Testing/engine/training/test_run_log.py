"""What a training writes for people to follow it, read back by the programs it is for."""

from __future__ import annotations

import csv
import json
from importlib import util

import pytest

from DALESegmentLib.engine.commands import finetune, train
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.training import run_log
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    root = tmp_path_factory.mktemp("cases")
    for n in range(5):
        save_array_case(ball_case(f"case{n}", seed=n), root / f"case{n}")
    return root


def trained(cases, out, logger=None, **more):
    asked = {
        "cases": {"folder": str(cases)},
        "out": str(out),
        "epochs": 3,
        "steps_per_epoch": 2,
        "device": "cpu",
        **more,
    }
    train.run(asked | ({} if logger is None else {"logger": logger}), Progress())
    return json.loads((out / "run.json").read_text())["history"]


def rows_of(run):
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_the_table_is_always_written_and_is_the_history(cases, tmp_path):
    history = trained(cases, tmp_path / "run")
    assert rows_of(tmp_path / "run") == [pytest.approx(row) for row in history]
    assert {"epoch", "loss", "validation_dice"} <= set(history[-1])
    assert not (tmp_path / "run" / "mlruns").exists()
    asked = {"cases": {"folder": str(cases)}, "out": str(tmp_path / "tuned"), "model": str(tmp_path / "run")}
    finetune.run({**asked, "epochs": 2, "steps_per_epoch": 1, "device": "cpu"}, Progress())
    tuned = json.loads((tmp_path / "tuned" / "run.json").read_text())["history"]
    assert rows_of(tmp_path / "tuned") == [pytest.approx(row) for row in tuned]


def test_tensorboard_reads_it(cases, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = trained(cases, tmp_path / "run", "tensorboard")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    for name in ("loss", "validation_dice", "fuzzy_share"):
        wanted = [(row["epoch"], pytest.approx(row[name])) for row in history if name in row]
        assert [(event.step, event.value) for event in events.Scalars(name)] == wanted != []


def test_mlflow_reads_it(cases, tmp_path):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    from mlflow import MlflowClient

    history = trained(cases, tmp_path / "run", "mlflow")
    client = MlflowClient((tmp_path / "run" / "mlruns").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("run").experiment_id])
    assert (found.info.status, found.data.params["network"]) == ("FINISHED", "UNet")
    for name in ("loss", "validation_dice"):
        wanted = [(row["epoch"], pytest.approx(row[name])) for row in history if name in row]
        assert [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, name)] == wanted != []


def test_a_missing_package_gets_one_sentence_before_any_work(cases, tmp_path, monkeypatch):
    monkeypatch.setattr(run_log, "find_spec", lambda name: util.find_spec(f"{name}_is_not_here"))
    with pytest.raises(EngineError, match=r"needs the Python package mlflow; type pip install 'dalesegment\[mlflow\]'"):
        trained(cases, tmp_path / "run", "mlflow")
    assert not (tmp_path / "run").exists()
