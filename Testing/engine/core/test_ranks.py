"""Several processes that share a training do what one does, and end together whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.speed.ranks import weights_apart
from DALESegmentLib.engine.bundle.open_model import open_model
from DALESegmentLib.engine.bundle.run_folder import CHECKPOINT_FILE, CHECKPOINT_FOLDER, LOCK_FILE, RUN_FILE
from DALESegmentLib.engine.core import device
from DALESegmentLib.engine.core.distributed import Ranks
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.training.checkpoint import load_labels
from Testing.phantoms import ball_case

TOLERANCE = 1e-4
"""Of weights, losses and scores, after twelve steps of up to 3e-3 each: sums of float32 in another order."""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="the launcher forks")]


class Launched:
    def __init__(self, launcher: subprocess.Popen, commands: list[list[str]], folder: Path) -> None:
        self._launcher, self._folder, self._size = launcher, folder, len(commands)
        folder.mkdir(exist_ok=True)
        launcher.stdin.write(json.dumps({"commands": commands, "folder": str(folder)}) + "\n")
        launcher.stdin.flush()
        self.pids = json.loads(launcher.stdout.readline())

    def codes(self) -> list[int]:
        return json.loads(self._launcher.stdout.readline())

    @property
    def sentences(self) -> list[str]:
        text = "".join((self._folder / f"errors{rank}").read_text() for rank in range(self._size))
        return [line for line in text.splitlines() if line.startswith("Error")]


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    command = [sys.executable, str(Path(__file__).with_name("rank_launcher.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield lambda *commands: Launched(process, list(commands), tmp_path_factory.mktemp("said"))
    process.stdin.close()
    process.wait(timeout=60)


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> list[str]:
    root = tmp_path_factory.mktemp("data")
    for n in range(5):
        case = ball_case(f"case{n}", seed=n)
        case.trusted = case.label == 1 if n == 1 else None
        save_array_case(case, root / f"case{n}")
    more = {"epochs": 3, "steps-per-epoch": 4, "batch-size": 4, "validation": 0.4, "device": "cpu"}
    return ["train", "--data", str(root), *(f"--{name}={value}" for name, value in more.items())]


@pytest.fixture(scope="module")
def alone(launch, asked, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "alone"
    assert launch([*asked, "-o", str(out)]).codes() == [0]
    return out


def trained(run: Path) -> dict[str, torch.Tensor]:
    name = json.loads((run / CHECKPOINT_FILE).read_text())["training"]
    return load_file(run / CHECKPOINT_FOLDER / name)


def assert_same(run: Path, other: Path) -> None:
    a, b = trained(run), trained(other)
    assert a.keys() == b.keys()
    assert weights_apart(run, other) < TOLERANCE
    for name in (
        "loss/thresholds",
        "loss/prior.state",
        "loss/warm_up.losses",
        "loss/warm_up._extra_state",
        "loss/_extra_state",
    ):
        torch.testing.assert_close(a[name], b[name], rtol=TOLERANCE, atol=TOLERANCE, msg=name)
    ours, theirs = load_labels(run), load_labels(other)
    assert set(ours) == set(theirs) != set()
    for name in ours:
        off = (ours[name].disagreement.float() - theirs[name].disagreement.float()).abs()
        assert float((off > 1e-3).float().mean()) < 1e-3, name  # one that changes sides by a rounding, at most
        for part in ("given", "reviewed", "seen"):
            assert torch.equal(getattr(ours[name], part), getattr(theirs[name], part))
    rows = [json.loads((folder / RUN_FILE).read_text())["history"] for folder in (run, other)]
    for row, other_row in zip(*rows, strict=True):
        assert row == pytest.approx(other_row, abs=TOLERANCE)


def test_two_ranks_do_what_one_process_does(launch, asked, alone, tmp_path):
    both = launch(*[[*asked, "-o", str(tmp_path / "run"), "--json"]] * 2)
    assert both.codes() == [0, 0]
    assert both.sentences == []
    assert_same(alone, tmp_path / "run")
    history = json.loads((alone / RUN_FILE).read_text())["history"]
    assert any(row["fuzzy_share"] > 0 for row in history)  # DALE's own steps were among them
    assert not (tmp_path / "run" / LOCK_FILE).exists()


def epochs_done(run: Path) -> int:
    if not (run / CHECKPOINT_FILE).exists():
        return 0
    return len(json.loads((run / CHECKPOINT_FILE).read_text())["progress"]["history"])


def wait_for_an_epoch(run: Path) -> None:
    until = time.monotonic() + 60
    while epochs_done(run) < 1 and time.monotonic() < until:
        time.sleep(0.01)


def status(run: Path) -> str:
    return json.loads((run / RUN_FILE).read_text())["status"]


def test_the_lineage_names_the_cases_of_all_ranks(launch, tmp_path):
    """Three to learn from and three to validate on: the first rank has two more than the second."""
    for n in range(6):
        save_array_case(ball_case(f"case{n}", seed=n), tmp_path / "data" / f"case{n}")
    short = ["--epochs=1", "--steps-per-epoch=1", "--batch-size=2", "--validation=0.5", "--device=cpu"]
    line = ["train", "--data", str(tmp_path / "data"), *short]
    assert launch(*[[*line, "-o", str(tmp_path / "run")]] * 2).codes() == [0, 0]
    lineage = json.loads((tmp_path / "run" / "bundle" / "docs" / "lineage.json").read_text())
    assert sorted(case["use"] for case in lineage["cases"]) == ["training"] * 3 + ["validation"] * 3
    assert len({case["image"] for case in lineage["cases"]}) == 6


def test_cancelled_on_one_rank_and_resumed_by_another_number_of_them(launch, asked, alone, tmp_path):
    out = str(tmp_path / "run")
    both = launch(*[[*asked, "-o", out]] * 2)
    wait_for_an_epoch(tmp_path / "run")
    os.kill(both.pids[1], signal.SIGTERM)
    assert both.codes() == [130, 130]
    (sentence,) = both.sentences
    assert sentence.startswith("Error: Cancelled; everything finished before is kept; go on with dalesegment train")
    assert status(tmp_path / "run") == "cancelled"
    three = launch(*[["train", "-o", out, "--resume", "--device", "cpu"]] * 3)
    assert three.codes() == [0, 0, 0]
    assert_same(alone, tmp_path / "run")


def test_a_rank_that_is_gone_ends_the_others(launch, asked, tmp_path):
    both = launch(*[[*asked, "-o", str(tmp_path / "run")]] * 2)
    wait_for_an_epoch(tmp_path / "run")
    os.kill(both.pids[1], signal.SIGKILL)
    assert both.codes() == [1, -signal.SIGKILL]
    assert len(both.sentences) == 1
    assert "ended without a word" in both.sentences[0]
    assert status(tmp_path / "run") == "failed"


def test_what_ends_one_rank_is_said_once(launch, asked, tmp_path):
    both = launch(*[[*asked, "-o", str(tmp_path / "run")]] * 2)
    wait_for_an_epoch(tmp_path / "run")
    (tmp_path / "run" / CHECKPOINT_FILE).unlink()
    (tmp_path / "run" / CHECKPOINT_FILE).mkdir()  # so that it cannot be written again
    assert both.codes() == [1, 1]
    assert len(both.sentences) == 1
    assert "checkpoint.json could not be written" in both.sentences[0]


@pytest.mark.parametrize(
    ("ranks", "more", "told"),
    [
        (4, [[]] * 4, "4 processes cannot share 3 cases to learn from; start 3 at most"),
        (2, [[], ["--seed=1"]], "different commands, versions or devices"),
        (2, [["--network=AttentionUnet"]] * 2, "AttentionUnet normalises over the whole batch"),
        (2, [["--device=cuda"]] * 2, "no usable cuda"),
    ],
)
def test_a_wrong_use_gets_one_sentence(ranks, more, told, launch, asked, tmp_path):
    if "--device=cuda" in more[0] and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    several = launch(*[[*asked, "-o", str(tmp_path / "run"), *more[rank]] for rank in range(ranks)])
    assert several.codes() == [1] * ranks
    assert len(several.sentences) == 1
    assert told in several.sentences[0]
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def corrected(tmp_path_factory) -> Path:
    """Five cases, of which three have confirmed voxels, in two of them moved outwards by a voxel."""
    root = tmp_path_factory.mktemp("corrected")
    for n in range(5):
        case = ball_case(f"new{n}", seed=20 + n)
        if n % 2 == 0:
            case.trusted = np.zeros(case.label.shape, bool)
            case.trusted[3:9, 4:16, 4:20] = True
            case.label = np.where(case.trusted & (np.roll(case.label, n // 2, 2) > 0), 1, case.label).astype(np.uint8)
        save_array_case(case, root / case.name)
    return root


def test_two_ranks_fine_tune_as_one_process_does(launch, alone, corrected, tmp_path):
    more = ["--epochs=2", "--steps-per-epoch=6", "--device=cpu", "--json"]
    line = ["finetune", "-m", str(alone), "--data", str(corrected), *more]
    for out, ranks in ((tmp_path / "one", 1), (tmp_path / "two", 2)):
        started = launch(*[[*line, "-o", str(out)]] * ranks)
        assert (started.codes(), started.sentences) == ([0] * ranks, [])
        answer = json.loads((started._folder / "out0").read_text())
        (tmp_path / f"{out.name}.json").write_text(json.dumps(answer))
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    for row, other in zip(one["history"], two["history"], strict=True):
        assert row == pytest.approx(other, abs=TOLERANCE)
    for key in ("replayed", "confirmed_voxels", "confirmed_violated", "confirmed_unlearned", "accepted", "bias"):
        assert one[key] == pytest.approx(two[key], abs=2), key  # voxels on an outline, at most
    assert one["confirmed_voxels"] > 1000
    assert one["replayed"] == 3
    patch = torch.randn(1, 1, 24, 20, 12, generator=torch.Generator().manual_seed(0))
    patch = torch.nn.functional.pad(patch, (0, 4, 0, 12, 0, 8))
    networks = [open_model(run, torch.device("cpu"))[0] for run in (alone, tmp_path / "one", tmp_path / "two")]
    with torch.no_grad():
        before, ours, theirs = (network(patch).softmax(1) for network in networks)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    assert float((ours - before).abs().max()) > 0.05  # it learned
    cases = [
        json.loads((tmp_path / n / "bundle" / "docs" / "lineage.json").read_text())["cases"] for n in ("one", "two")
    ]
    assert cases[0] == cases[1]
    ours, theirs = load_labels(tmp_path / "one"), load_labels(tmp_path / "two")
    assert set(ours) == set(theirs) == {*(f"new{n}" for n in range(5)), *(s for s in ours if s.startswith("case"))}
    assert all(torch.equal(ours[name].reviewed, theirs[name].reviewed) for name in ours)


def test_a_fine_tune_with_more_processes_than_cases_gets_one_sentence(launch, alone, corrected, tmp_path):
    line = ["finetune", "-m", str(alone), "--data", str(corrected), "--limit=1", "-o", str(tmp_path / "run")]
    both = launch(*[line] * 2)
    assert both.codes() == [1, 1]
    assert ["2 processes cannot share 1 case to learn from" in each for each in both.sentences] == [True]
    assert not (tmp_path / "run").exists()


def test_other_commands_are_not_shared(launch, asked):
    both = launch(*[["plan", *asked[1:3]]] * 2)
    assert both.codes() == [1, 1]
    assert len(both.sentences) == 1
    assert "start it without torchrun" in both.sentences[0]


def test_each_rank_needs_a_gpu(monkeypatch):
    """On a machine with one, which most tests do not run on."""
    monkeypatch.setattr(device, "current", lambda: Ranks(1, 2, here=1, local_size=2))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(EngineError, match="2 processes on this machine need a GPU each, of 1 GPU;"):
        device.choose_device("cuda")
