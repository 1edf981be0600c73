"""A checkpoint anywhere below a job stops that job, and no other one."""

from __future__ import annotations

import threading
import time
from queue import Queue

import pytest

from DALESegmentLib.engine.core.errors import Cancelled, cancellable, checkpoint
from DALESegmentLib.engine.rpc.protocol import Request
from DALESegmentLib.engine.rpc.worker import Worker


def stop() -> None:
    raise Cancelled


def test_outside_a_job_it_does_nothing():
    checkpoint()


def test_inside_it_asks_and_afterwards_not_any_more():
    with pytest.raises(Cancelled), cancellable(stop):
        checkpoint()
    checkpoint()


def test_the_innermost_is_asked():
    asked = []
    with cancellable(lambda: asked.append("outer")):
        with cancellable(lambda: asked.append("inner")):
            checkpoint()
        checkpoint()
    assert asked == ["inner", "outer"]


def test_another_thread_is_not_stopped():
    passed = threading.Event()

    def work() -> None:
        checkpoint()
        passed.set()

    with cancellable(stop):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(10)
    assert passed.is_set()


@pytest.mark.slow
def test_a_job_is_stopped_by_a_cancel_it_never_heard_of():
    """The job itself never looks at its progress; the next one is not cancelled."""
    began, answers = threading.Event(), Queue()

    def deep(_parameters: dict, _progress: object) -> dict:
        began.set()
        until = time.monotonic() + 30
        while time.monotonic() < until:
            checkpoint()
            time.sleep(0.01)
        return {}

    def short(_parameters: dict, _progress: object) -> dict:
        checkpoint()
        return {"done": True}

    worker = Worker({"deep": deep, "short": short}, (), answers.put)
    worker.start()
    worker.add(Request("1", "deep"))
    assert began.wait(10)
    worker.add(Request("2", "short"))
    assert worker.cancel("1") == ["1"]
    first, second = answers.get(timeout=10), answers.get(timeout=10)
    assert (first["id"], first["event"], first["code"]) == ("1", "error", "cancelled")
    assert (second["id"], second["result"]) == ("2", {"done": True})
    worker.stop()
    worker.join(10)
