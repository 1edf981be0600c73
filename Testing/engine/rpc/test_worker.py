"""The worker where the system gives it no more threads, as it does when memory ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.rpc.job_registry import LateJob
from DALESegmentLib.engine.rpc.protocol import Request
from DALESegmentLib.engine.rpc.worker import Worker

pytestmark = pytest.mark.slow


@pytest.fixture
def no_threads(monkeypatch) -> Iterator[list[str]]:
    """As many threads as there are entries are refused, by their names."""
    refused: list[str] = []
    start = threading.Thread.start

    def starts(thread: threading.Thread) -> None:
        if refused and thread.name.startswith(refused[0]):
            refused.pop(0)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starts)
    return refused


def asked(worker: Worker, answers: SimpleQueue, id: str) -> dict[str, Any]:
    worker.add(Request(id, "late", {}))
    return answers.get(timeout=30)


@pytest.mark.parametrize("warm", [(), ("json",)])
def test_a_job_whose_import_gets_no_thread_fails_and_the_next_one_does_not_hang(warm, no_threads):
    answers: SimpleQueue = SimpleQueue()
    no_threads += ["imports"] * (1 + len(warm))
    worker = Worker({"late": LateJob("Testing.engine.rpc.quick_job")}, warm, answers.put)
    worker.start()
    error = asked(worker, answers, "1")
    assert (error["event"], error["code"]) == ("error", "out-of-memory")
    assert asked(worker, answers, "2")["result"] == {"done": True}
    worker.stop()
    worker.join(5)
    assert not worker.is_alive()


def test_a_report_that_gets_no_thread_waits_for_the_next(no_threads):
    sent: list[dict] = []
    progress = Progress(sent.append)
    no_threads += ["Thread-"]
    for percent in (1, 2, 3):
        progress.report(percent, "training", "x")
    progress.close()
    assert [report["percent"] for report in sent] == [1, 3]
