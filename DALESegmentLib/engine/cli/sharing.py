"""A command as one of the processes that `torchrun` started, instead of in an engine process of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from DALESegmentLib.engine.cancel import cancellable
from DALESegmentLib.engine.errors import EngineError, SaidElsewhere
from DALESegmentLib.engine.process.crash_report import crash_report
from DALESegmentLib.engine.process.failures import explain
from DALESegmentLib.engine.process.job_table import JOBS
from DALESegmentLib.engine.process.progress import Progress

from .progress_view import Bar, Lines

SHARED = ("train",)
"""What several processes can do together."""


def several() -> bool:
    """Whether there are others, of which torchrun tells by these variables."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def silent() -> bool:
    """Whether another one shows progress and result."""
    return several() and os.environ.get("RANK", "0") != "0"


def shared(command: str, parameters: dict[str, Any], progress: Bar | Lines) -> dict[str, Any]:
    """This process's part. The first process that fails says why; in the others it is a SaidElsewhere."""
    if command not in SHARED:
        raise (SaidElsewhere if silent() else EngineError)(
            "not-for-ranks",
            f"{command} works in one process; start it without torchrun, which is for {' and '.join(SHARED)}.",
        )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    from DALESegmentLib.engine.distributed.joined import joined  # torch takes seconds to import

    def explained(problem: BaseException) -> EngineError:
        error = explain(problem, command, parameters)
        if error.code == "internal":
            print(crash_report(problem), file=sys.stderr)
        return error

    with joined(stop, explained) as ranks:
        told = Progress(progress.show if ranks.leads else None, stop)
        with cancellable(told.check):
            return JOBS[command](parameters, told)
