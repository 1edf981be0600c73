"""What a machine does to a program: disks that fill up or take nothing, memory that ends, files that vanish, clocks
that jump, parents that die. Each costs a sentence, and what was good before stays."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from benchmarks.reliability.lines_engine import LinesEngine
from benchmarks.reliability.small_cases import region, small_cases, voxels
from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.bundle.run_folder import CHECKPOINT_FILE, RUN_FILE
from DALESegmentLib.engine.commands import confidence, finetune, predict, review, train
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.files import read_json
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.review.log import open_log, read_log
from DALESegmentLib.engine.rpc.error_messages import explain
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

SHORT = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu", "network": "UNet"}
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")


class At(Progress):
    """Does something at the first report that says so."""

    def __init__(self, stage: str, message: str, deed: Callable[[], object]) -> None:
        super().__init__()
        self._stage, self._message, self._deeds = stage, message, [deed]

    def part(self, start: float, stop: float) -> Progress:
        return self

    def report(self, percent: float, stage: str, message: str, seconds_left=None, **values) -> None:
        if self._deeds and stage == self._stage and message.startswith(self._message):
            self._deeds.pop()()


def mounted(folder: Path, *options: str) -> Path:
    folder.mkdir(exist_ok=True)
    try:
        done = subprocess.run(["mount", *options, str(folder)], capture_output=True, encoding="utf-8", check=False)
    except OSError as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    return folder


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, of 200 MB."""
    folder = mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=200m", "tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def told(job: Callable[[], object]) -> EngineError:
    """What the user is told of a job that fails; never that it was unforeseen."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, the process explains it
        job()
    error = explain(caught.value, "job", {})
    assert error.code != "internal", caught.value
    assert error.sentence.endswith(".")
    return error


@linux
def test_a_disk_that_fills_up_while_training_keeps_the_last_epoch(disk, tmp_path):
    cases, out = small_cases(tmp_path / "cases", 1), disk / "run"

    def fill() -> None:
        with (disk / "filler").open("wb") as file:
            file.write(bytes(shutil.disk_usage(disk).free - 100_000))

    asked = {**SHORT, "cases": cases, "out": str(out), "epochs": 4}
    assert told(lambda: train.run(asked, At("training", "Epoch 3", fill))).code == "disk-full"
    assert read_json(out / RUN_FILE)["status"] == "failed"
    assert len(read_json(out / CHECKPOINT_FILE)["progress"]["history"]) == 2
    load_bundle(out, torch.device("cpu"))
    assert not [path for path in out.rglob(".*") if path.is_file()], "nothing half-written stays"
    (disk / "filler").unlink()
    assert train.run({"out": str(out), "resume": True, "device": "cpu"}, Progress())["epochs"] == 4


@linux
def test_a_folder_that_takes_nothing_is_said_to_be_one_and_stays(disk, tmp_path):
    """Mounted for reading only: rights alone would not stop an administrator."""
    cases, run, log = small_cases(tmp_path / "cases", 1), disk / "run", disk / "review.log"
    train.run({**SHORT, "cases": cases, "out": str(run)}, Progress())
    with open_log(log) as opened:
        opened.decide(region(0), "confirmed", "reader", voxels(0))
    before = contents(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    asked = {"model": str(run), "cases": cases, "device": "cpu"}
    jobs: dict[str, Callable[[], object]] = {
        "train": lambda: train.run({**SHORT, "cases": cases, "out": str(disk / "new")}, Progress()),
        "resume": lambda: train.run({"out": str(run), "resume": True, "device": "cpu"}, Progress()),
        "overwrite": lambda: train.run({**SHORT, "cases": cases, "out": str(run), "overwrite": True}, Progress()),
        "finetune": lambda: finetune.run({**asked, "out": str(disk / "new"), "epochs": 1}, Progress()),
        "predict": lambda: predict.run({**asked, "out": str(disk / "out")}, Progress()),
        "review": lambda: review.run({**asked, "out": str(disk / "out")}, Progress()),
        "log": lambda: open_log(log).__enter__(),
    }
    for name, job in jobs.items():
        assert told(job).code in ("cannot-write", "no-permission"), name
    assert contents(disk) == before
    assert len(read_log(log).standing) == 1
    assert confidence.run({**asked, "out": str(tmp_path / "out")}, Progress())["items"], "what only reads goes on"


@linux
def test_memory_that_ends_is_one_sentence_and_the_engine_lives(tmp_path):
    """The system's own limit, set while the engine runs."""
    import resource

    cases, out = small_cases(tmp_path / "cases", 1), tmp_path / "run"
    large = ball_case("large", size=(320, 320, 40))
    large.class_names = {1: "lesion"}
    save_array_case(large, tmp_path / "large")
    items = {"items": [{"name": "large", "arrays": str(tmp_path / "large")}]}
    with LinesEngine() as engine:
        engine.ask("train", {**SHORT, "cases": cases, "out": str(out)})
        before = contents(out)
        room = psutil.Process(engine.pid).memory_info().vms + (30 << 20)
        resource.prlimit(engine.pid, resource.RLIMIT_AS, (room, room))
        for command, more in (
            ("train", {**SHORT, "out": str(out), "overwrite": True}),
            ("finetune", {"model": str(out), "out": str(tmp_path / "tuned"), "epochs": 1, "device": "cpu"}),
            ("predict", {"model": str(out), "out": str(tmp_path / "out"), "device": "cpu"}),
            ("review", {"model": str(out), "out": str(tmp_path / "out"), "device": "cpu"}),
        ):
            error = engine.event(command, {**more, "cases": items})
            assert error["event"] == "error", command
            assert error["code"] == "out-of-memory", (command, error, engine.messages[-3:])
        assert contents(out) == before
        small = {"model": str(out), "cases": cases, "out": str(tmp_path / "small"), "device": "cpu"}
        assert engine.ask("predict", small)["items"], "there is room for a small image again"


@pytest.mark.parametrize("part", ["image.npy", "label.npy", "case.json"])
def test_a_case_that_vanishes_before_it_is_prepared_is_named(part, tmp_path):
    cases, out = small_cases(tmp_path / "cases", 2), tmp_path / "run"
    vanish = At("reading", "Preparing case 1", lambda: (tmp_path / "cases" / "case1" / part).unlink())
    error = told(lambda: train.run({**SHORT, "cases": cases, "out": str(out)}, vanish))
    assert "case1" in error.sentence or part in error.sentence
    assert not out.exists()


def test_cases_that_vanish_while_training_are_not_missed(tmp_path):
    cases, out = small_cases(tmp_path / "cases", 5), tmp_path / "run"
    vanish = At("training", "Epoch 1", lambda: shutil.rmtree(tmp_path / "cases"))
    asked = {**SHORT, "cases": cases, "out": str(out), "epochs": 2}
    assert train.run(asked, vanish)["epochs"] == 2
    error = told(lambda: train.run({"out": str(out), "resume": True, "device": "cpu"}, Progress()))
    assert "case" in error.sentence


@pytest.mark.parametrize("jump", [1e9, -1e9])
def test_a_clock_that_jumps_changes_neither_a_budget_nor_a_duration(jump, tmp_path, monkeypatch):
    cases, real = small_cases(tmp_path / "cases", 1), time.time
    leap = At("training", "Epoch 1", lambda: monkeypatch.setattr(time, "time", lambda: real() + jump))
    asked = {**SHORT, "cases": cases, "out": str(tmp_path / "run"), "epochs": 3, "seconds": 300}
    result = train.run(asked, leap)
    assert result["epochs"] == 3
    assert 0 <= result["seconds"] < 300


@linux
def test_a_parent_that_is_killed_while_its_engine_trains_takes_it_along(tmp_path):
    cases, out = small_cases(tmp_path / "cases", 1), tmp_path / "run"
    with LinesEngine(by_a_parent=True) as engine:
        assert psutil.Process(engine.pid).ppid() == engine.process.pid
        engine.begin("train", {**SHORT, "cases": cases, "out": str(out), "epochs": 1000, "steps_per_epoch": 2})
        end = time.monotonic() + 120
        while not (out / CHECKPOINT_FILE).exists() and time.monotonic() < end:
            time.sleep(0.05)
        engine.process.kill()
        assert engine.gone_within(5)
    done = json.loads((out / RUN_FILE).read_text())
    assert done["status"] in ("training", "cancelled")
    load_bundle(out, torch.device("cpu"))
    at_once = At("training", "Epoch", lambda: at_once._shared.cancelled.set())  # the lock is free, the checkpoint read
    with pytest.raises(EngineError, match="Cancelled"):
        train.run({"out": str(out), "resume": True, "device": "cpu"}, at_once)
