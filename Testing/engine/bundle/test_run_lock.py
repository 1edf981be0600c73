"""Two trainings never share a run folder, and none is kept out by one that is gone."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys

import pytest

from DALESegmentLib.engine.bundle.run_folder import LOCK_FILE, only_training_in
from DALESegmentLib.engine.commands import finetune, train
from DALESegmentLib.engine.core.errors import Cancelled, EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

HOLDER = """
import sys, time
from pathlib import Path
from DALESegmentLib.engine.bundle.run_folder import only_training_in
with only_training_in(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(300)
"""
COUNTER = """
import sys
from pathlib import Path
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.bundle.run_folder import only_training_in
folder, done = Path(sys.argv[1]), 0
while done < 30:
    try:
        with only_training_in(folder):
            count = int((folder / "count").read_text())
            (folder / "count").write_text(str(count + 1))
            done += 1
    except EngineError as error:
        assert error.code == "run-in-use", error
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("cases") / "ball"
    save_array_case(ball_case(), folder)
    cases = {"items": [{"name": "ball", "arrays": str(folder)}]}
    return {"cases": cases, "epochs": 1, "steps_per_epoch": 1, "device": "cpu"}


@pytest.fixture
def another(tmp_path):
    """Another process that is training in tmp_path / "run"."""
    (tmp_path / "run").mkdir()
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == b"in"
    yield process
    process.kill()
    process.communicate()


def test_the_second_one_is_told_who_is_there(another, asked, tmp_path):
    with pytest.raises(EngineError) as caught:
        train.run({**asked, "out": str(tmp_path / "run")}, Progress())
    assert caught.value.code == "run-in-use"
    assert f"process {another.pid} on {socket.gethostname()} since 20" in caught.value.sentence
    assert another.poll() is None
    assert json.loads((tmp_path / "run" / LOCK_FILE).read_text())["pid"] == another.pid


def test_nobody_resumes_overwrites_or_fine_tunes_into_it(another, asked, tmp_path):
    train.run({**asked, "out": str(tmp_path / "first")}, Progress())
    out = tmp_path / "run"
    (out / "run.json").write_bytes((tmp_path / "first" / "run.json").read_bytes())
    before = (out / "run.json").read_bytes()
    model = {"model": str(tmp_path / "first"), "overwrite": True}
    for job, more in ((train, {"resume": True}), (train, {"overwrite": True}), (finetune, model)):
        with pytest.raises(EngineError, match="being trained by"):
            job.run({**asked, "out": str(out), **more}, Progress())
    assert (out / "run.json").read_bytes() == before


def test_one_that_was_killed_keeps_nobody_out(another, asked, tmp_path):
    another.kill()
    another.wait()
    assert (tmp_path / "run" / LOCK_FILE).exists()
    assert train.run({**asked, "out": str(tmp_path / "run")}, Progress())["epochs"] == 1
    assert not (tmp_path / "run" / LOCK_FILE).exists()


def test_a_copied_lock_of_a_process_that_lives_keeps_nobody_out(another, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / LOCK_FILE).write_bytes((tmp_path / "run" / LOCK_FILE).read_bytes())
    with only_training_in(tmp_path / "copy"):
        assert json.loads((tmp_path / "copy" / LOCK_FILE).read_text())["pid"] == os.getpid()


class Stops(Progress):
    def __init__(self, problem: Exception) -> None:
        super().__init__()
        self.problem = problem

    def part(self, start, stop):
        return self

    def check(self):
        raise self.problem


@pytest.mark.parametrize("problem", [Cancelled(), EngineError("x", "Failed."), RuntimeError("unforeseen")])
def test_it_is_given_back_however_a_training_ends(problem, asked, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(type(problem)):
        train.run({**asked, "out": str(out)}, Stops(problem))
    assert not out.exists()
    train.run({**asked, "out": str(out)}, Progress())
    assert not (out / LOCK_FILE).exists()


def test_where_the_file_system_has_no_locks_nothing_is_locked(tmp_path, monkeypatch):
    """As on network folders of some servers: a training is not kept out by what nobody can know."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with only_training_in(tmp_path), only_training_in(tmp_path):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(EngineError, match="filelock is missing; install it"), only_training_in(tmp_path):
        pass


def test_within_one_process_too(tmp_path):
    with only_training_in(tmp_path):
        with pytest.raises(EngineError, match=f"process {os.getpid()} "), only_training_in(tmp_path):
            pass
        assert (tmp_path / LOCK_FILE).exists()
    assert list(tmp_path.iterdir()) == []


def test_however_many_come_at_once_one_at_a_time_is_in(tmp_path):
    """Each adds one to a number that it read before; a second one in between would lose some."""
    (tmp_path / "count").write_text("0")
    crowd = [subprocess.Popen([sys.executable, "-c", COUNTER, str(tmp_path)]) for _ in range(4)]
    assert [process.wait(timeout=120) for process in crowd] == [0] * 4
    assert (tmp_path / "count").read_text() == "120"


def test_a_folder_that_cannot_be_written_is_said_to_be_one(tmp_path):
    with pytest.raises(EngineError, match="cannot be written"), only_training_in(tmp_path / "gone"):
        pass


@pytest.mark.parametrize("job", [train, finetune])
def test_a_run_that_is_refused_leaves_no_folder_behind(job, asked, tmp_path):
    wrong = {"cases": {"folder": str(tmp_path / "none")}} if job is train else {"model": str(tmp_path / "none")}
    with pytest.raises(EngineError):
        job.run({**asked, **wrong, "out": str(tmp_path / "a" / "new" / "run")}, Progress())
    assert list(tmp_path.iterdir()) == []


def test_but_a_folder_that_was_there_stays(asked, tmp_path):
    (tmp_path / "a" / "run").mkdir(parents=True)
    for out in ("a/run", "a/other"):
        with pytest.raises(EngineError):
            train.run({**asked, "cases": {"folder": str(tmp_path / "none")}, "out": str(tmp_path / out)}, Progress())
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run"]
