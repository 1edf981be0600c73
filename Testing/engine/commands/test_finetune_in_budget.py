"""A fine-tune learns what was confirmed, keeps the rest, and ends within its budget."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.commands import finetune, train
from DALESegmentLib.engine.commands.finetune import Budget
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.training.checkpoint import load_labels
from Testing.phantoms import ball_case
from Testing.waiting import Stopwatch

pytestmark = pytest.mark.slow

SECONDS, MARGIN = 4.0, 2.0


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two that wait for each other on a busy machine would miss any deadline."""
    was = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(was)


@pytest.fixture(scope="module")
def corrected(tmp_path_factory) -> dict:
    """A model of three cases, one with half of its ball missing; that case, corrected and confirmed."""
    root = tmp_path_factory.mktemp("corrected")
    for n in range(3):
        case = ball_case(f"case{n}", size=(16, 16, 8), seed=n)
        truth = case.label.copy()
        half = np.zeros(truth.shape, bool)
        if n == 0:
            half[:, :, int(np.argwhere(truth).mean(0)[2]) :] = True
        case.label = np.where(half, 0, truth).astype(np.uint8)
        save_array_case(case, root / "given" / case.name)
        if n == 0:
            case.label, case.trusted = truth, half
            save_array_case(case, root / "corrected" / case.name)
    asked = {"cases": {"folder": str(root / "given")}, "out": str(root / "run"), "device": "cpu", "batch_size": 2}
    train.run({**asked, "epochs": 2, "steps_per_epoch": 10, "validation": 0.0}, Progress())
    items = [{"name": "case0", "arrays": str(root / "corrected" / "case0")}]
    return {"root": root, "model": str(root / "run"), "cases": {"items": items}, "device": "cpu"}


def tune(corrected: dict, out: Path, **more) -> dict:
    asked = {key: value for key, value in corrected.items() if key != "root"}
    return finetune.run({**asked, "out": str(out), **more}, Progress())


@pytest.fixture(scope="module")
def tuned(corrected, tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("tuned") / "run"
    watch = Stopwatch()
    result = tune(corrected, out, seconds=SECONDS)
    return result | {"took": watch.seconds, "waited": watch.waited, "folder": out}


def test_it_ends_within_its_budget(tuned):
    assert tuned["took"] < SECONDS + MARGIN + tuned["waited"]
    assert tuned["seconds"] == pytest.approx(tuned["took"], abs=0.5 + tuned["waited"])


def test_what_was_confirmed_is_learned(tuned):
    assert tuned["confirmed_violated"] < 0.05 * tuned["confirmed_voxels"]


def test_the_other_cases_of_the_training_are_replayed_and_remembered(tuned):
    assert tuned["replayed"] == 2
    assert set(load_labels(tuned["folder"])) == {"case0", "case1", "case2"}
    record = json.loads((tuned["folder"] / "run.json").read_text())
    assert record["training"] == ["case0"]
    assert [sorted(earlier["training"]) for earlier in record["earlier"]] == [["case0", "case1", "case2"]]


def test_a_fine_tune_of_a_fine_tune_still_finds_them_and_passes_over_what_has_gone(corrected, tuned, tmp_path):
    short = {"epochs": 1, "steps_per_epoch": 1}
    again = {**corrected, "model": str(tuned["folder"])}
    assert tune(again, tmp_path / "a", **short)["replayed"] == 2
    gone = corrected["root"] / "given" / "case2"
    shutil.move(gone, tmp_path / "remote_engine")
    try:
        assert tune(again, tmp_path / "b", **short)["replayed"] == 1
    finally:
        shutil.move(tmp_path / "remote_engine", gone)


def test_no_case_is_read_twice(corrected, tmp_path, monkeypatch):
    read, original = [], finetune.read_labelled
    for module in ("finetune", "prepared_cases"):
        name = f"DALESegmentLib.engine.commands.{module}.read_labelled"
        monkeypatch.setattr(name, lambda source, *a: read.append(source.name) or original(source, *a))
    tune(corrected, tmp_path / "run", epochs=1, steps_per_epoch=1)
    assert sorted(read) == ["case0", "case1", "case2"]


def test_the_budget_leaves_time_to_judge_and_learns_in_any_case():
    budget = Budget(time.monotonic(), 10.0)
    assert budget.learning_ends(1.0) - budget.started == pytest.approx(10 - 1.2 - 0.3, abs=0.01)
    before, ends, after = time.monotonic(), budget.learning_ends(30.0), time.monotonic()
    assert before + 2.0 <= ends <= after + 2.0
    assert Budget(0.0, None).learning_ends(1.0) is None
    assert Budget(0.0, None).at(0.2) is None
