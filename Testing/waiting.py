"""How long the machine kept a thread waiting, so that a limit in seconds means the same on a busy one."""

from __future__ import annotations

import time
from pathlib import Path


def kept_waiting() -> float:
    """Seconds in which the main thread could have run and another process had its processor; 0 where unknown.

    Linux counts it (Documentation/scheduler/sched-stats.rst). Sleeping and waiting for a lock do not count.
    """
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


class Stopwatch:
    """seconds: since it was made; waited: those of them in which the machine was busy with something else."""

    def __init__(self) -> None:
        self._started, self._waited = time.monotonic(), kept_waiting()

    @property
    def waited(self) -> float:
        return kept_waiting() - self._waited

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started
