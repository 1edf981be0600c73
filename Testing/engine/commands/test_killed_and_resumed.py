"""A training killed at any moment goes on from its last epoch, to the same end; its bundle is whole throughout."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import pytest
import torch

from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.bundle.run_folder import BUNDLE_FOLDER, CHECKPOINT_FILE, CHECKPOINT_FOLDER, RUN_FILE
from DALESegmentLib.engine.commands import train
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

EPOCHS = 6


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("cases")
    items = []
    for n in range(2):
        save_array_case(ball_case(f"case{n}", seed=n), root / f"case{n}")
        items.append({"name": f"case{n}", "arrays": str(root / f"case{n}")})
    return {"items": items}


def asked(cases: dict, out: Path, **more) -> dict:
    return {"cases": cases, "out": str(out), "epochs": EPOCHS, "steps_per_epoch": 2, "device": "cpu", **more}


def rows_on_disk(out: Path) -> int:
    if not (out / CHECKPOINT_FILE).exists():
        return 0
    return len(json.loads((out / CHECKPOINT_FILE).read_text())["progress"]["history"])


def train_alone(parameters: dict) -> None:
    torch.set_num_threads(1)
    train.run(parameters, Progress())


@pytest.fixture(scope="module")
def start(cases):
    """Starts a training in a process of its own, forked from one that has imported the engine."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([train.__name__, "torch._dynamo"])  # the optimizer imports it late

    def begin(out: Path, **more) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=train_alone, args=(asked(cases, out, **more),))
        process.start()
        return process

    return begin


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("runs") / "whole"
    training = start(out)
    training.join()
    assert training.exitcode == 0
    return torch.load(out / BUNDLE_FOLDER / "models" / "model.pt", weights_only=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes to kill them")
def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(seed, start, uninterrupted, tmp_path):
    out = tmp_path / "run"
    process = start(out)
    wanted = random.Random(seed).randint(2, EPOCHS - 2)  # the first epoch's model comes after its checkpoint
    while rows_on_disk(out) < wanted and process.is_alive():
        time.sleep(0.005)
    time.sleep(random.Random(seed).random() * 0.1)
    process.kill()
    process.join()
    before = rows_on_disk(out)
    assert wanted <= before  # at most the running epoch is lost
    load_bundle(out, torch.device("cpu"))  # and the model of the last epoch is whole

    resumed = start(out, resume=True)
    resumed.join(timeout=120)
    assert resumed.exitcode == 0
    record = json.loads((out / RUN_FILE).read_text())
    assert record["status"] == "finished"
    assert len(record["history"]) == EPOCHS
    weights = torch.load(out / BUNDLE_FOLDER / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(weights[key], uninterrupted[key]) for key in weights)


def test_a_cancel_keeps_the_last_epoch_and_can_be_resumed(cases, tmp_path):
    class StopsInTheThirdEpoch(Progress):
        checks = 0

        def part(self, start, stop):
            return self

        def check(self):
            self.checks += 1
            if rows_on_disk(out) == 2:
                raise EngineError("cancelled", "Cancelled.")

    out = tmp_path / "run"
    with pytest.raises(EngineError):
        train.run(asked(cases, out), StopsInTheThirdEpoch())
    assert json.loads((out / RUN_FILE).read_text())["status"] == "cancelled"
    assert rows_on_disk(out) == 2
    result = train.run({"out": str(out), "resume": True, "device": "cpu"}, Progress())
    assert result["epochs"] == EPOCHS


@pytest.mark.parametrize("left", ["none", "older"])
def test_a_kill_between_checkpoint_and_model_loses_no_model(left, cases, tmp_path):
    """In the last epoch, too, after which nothing is left to train."""
    out = tmp_path / "run"
    weights = out / BUNDLE_FOLDER / "models" / "model.pt"
    train.run(asked(cases, out, epochs=1), Progress())
    trained = torch.load(weights, weights_only=True)
    if left == "none":
        shutil.rmtree(out / BUNDLE_FOLDER)
    else:
        torch.save({name: torch.zeros_like(value) for name, value in trained.items()}, weights)
    result = train.run({"out": str(out), "resume": True, "device": "cpu"}, Progress())
    assert result["epochs"] == 1
    load_bundle(Path(result["model"]), torch.device("cpu"))
    again = torch.load(weights, weights_only=True)
    assert all(torch.equal(again[name], trained[name]) for name in trained)


def test_a_damaged_checkpoint_is_said_to_be_one(cases, tmp_path):
    out = tmp_path / "run"
    train.run(asked(cases, out, epochs=1), Progress())
    for path in (out / CHECKPOINT_FILE, *(out / CHECKPOINT_FOLDER).glob("*-1.safetensors")):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(EngineError, match="damaged"):
            train.run({"out": str(out), "resume": True, "device": "cpu"}, Progress())
        path.write_bytes(whole)
    assert train.run({"out": str(out), "resume": True, "device": "cpu"}, Progress())["epochs"] == 1


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(EngineError, match="no training to resume"):
        train.run({"out": str(tmp_path / "none"), "resume": True}, Progress())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    for n in range(5):
        save_array_case(ball_case(f"case{n}", seed=n), root / "cases" / f"case{n}")
    asked = {"cases": {"folder": str(root / "cases")}, "out": str(root / "run"), "network": "UNet", "seconds": 900}
    train.run({**asked, "epochs": 1, "steps_per_epoch": 1, "dale": {"alignment": False}, "device": "cpu"}, Progress())
    return root / "run"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"epochs": 20}, "epochs is 20, but the training in run was started with 1;"),
        ({"steps_per_epoch": 9}, "steps_per_epoch is 9, but the training in run was started with 1;"),
        ({"seconds": 60}, "seconds is 60.0, but the training in run was started with 900.0;"),
        ({"seed": 3}, "seed is 3, but the training in run was started with 0;"),
        ({"learning_rate": 1e-4}, "learning_rate is 0.0001, but the training in run was started with 0.003;"),
        ({"method": "plain"}, "method is plain, but the training in run was started with dale;"),
        ({"network": "SegResNet"}, "network is SegResNet, but the training in run was started with UNet;"),
        ({"dims": 2}, "dims is 2, but the training in run was started with 3;"),
        ({"normalise": "slice"}, "normalise is slice, but the training in run was started with case;"),
        ({"batch_size": 7}, "batch_size is 7, but the training in run was started with "),
        ({"dale": {"alignment": True}}, "dale.alignment is True, but the training in run was started with False;"),
        ({"validation": 0.5}, "validation is 0.5, but the training in run was started with 1 of 5 cases;"),
        ({"cases": {"folder": "other"}}, "cases.folder is other, but the training in run was started with cases;"),
        ({"cases": {"folder": "cases"}}, "cases.folder is cases in another place, but the training in run"),
        ({"cases": {"label": "b"}}, "cases.label is b, but the training in run was started with its default;"),
        ({"cases": {"items": [{"name": "a"}]}}, "cases.items is a list of 1, but the training in run was started with"),
    ],
)
def test_other_settings_are_refused(setting, told, finished):
    before = (finished / RUN_FILE).read_bytes()
    with pytest.raises(EngineError) as caught:
        train.run({"out": str(finished), "resume": True, "device": "cpu", **setting}, Progress())
    assert caught.value.code == "settings-changed"
    assert told in caught.value.sentence
    assert (finished / RUN_FILE).read_bytes() == before


def test_the_same_settings_are_no_obstacle(finished):
    record = json.loads((finished / RUN_FILE).read_text())
    given = {name: record["settings"][name] for name in ("epochs", "steps_per_epoch", "seconds", "seed", "method")}
    cases = {"folder": os.path.relpath(record["cases"]["folder"]), "rater_seed": 0}
    more = {"dale": {"alignment": False}, "validation": 0.2, "network": "UNet", "dims": 3, "batch_size": None}
    asked = {"out": str(finished), "resume": True, "device": "cpu", "cases": cases, **given, **more}
    assert train.run(asked, Progress())["epochs"] == 1


@pytest.fixture(scope="module")
def of_five_patients(tmp_path_factory) -> dict:
    """What a finished training of eleven cases of five patients was asked for: one patient has seven."""
    root = tmp_path_factory.mktemp("patients")
    items = []
    for n in range(11):
        save_array_case(ball_case(f"case{n}", size=(16, 16, 8), seed=n), root / f"case{n}")
        items.append({"name": f"case{n}", "arrays": str(root / f"case{n}"), "patient": f"patient{max(0, n - 6)}"})
    asked = {"cases": {"items": items}, "out": str(root / "run"), "network": "UNet", "device": "cpu"}
    asked |= {"epochs": 1, "steps_per_epoch": 1, "validation": 0.4}
    train.run(asked, Progress())
    return asked


def test_the_same_share_of_patients_is_no_obstacle_where_they_have_several_cases(of_five_patients):
    assert train.run({**of_five_patients, "resume": True}, Progress())["epochs"] == 1


def test_nor_is_another_share_of_patients_taken_for_the_same(of_five_patients):
    record = json.loads((Path(of_five_patients["out"]) / RUN_FILE).read_text())
    of_the_cases = len(record["validation"]) / 11  # which is another share of the patients
    with pytest.raises(EngineError, match="started with 2 of 5 patients;"):
        train.run({**of_five_patients, "resume": True, "validation": of_the_cases}, Progress())
