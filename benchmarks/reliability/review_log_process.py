"""A process to be killed, which confirms regions in a review log: every decision it printed must be in the log."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from DALESegmentLib.engine.review.log import open_log, read_log

from .lines_engine import REPOSITORY
from .small_cases import region, voxels

PAUSE_SECONDS = 0.01


class ReviewLogProcess:
    """For one kill. The log may hold decisions of earlier ones."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._before = len(read_log(log).standing)
        command = [sys.executable, "-m", __name__, str(log), str(self._before)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def killed(self) -> int:
        """Kill it; how many of the decisions that counted are lost. Raises EngineError for a log that does not open."""
        self._process.kill()
        printed = len(self._process.communicate()[0].splitlines())
        return max(0, self._before + 1 + printed - len(read_log(self._log).standing))


def main() -> None:
    """Until it is killed; one line for each decision that counts."""
    path, number = sys.argv[1:]
    n = int(number)
    with open_log(path) as log:
        while True:
            print(log.decide(region(n), "confirmed", "reader", voxels(n)), flush=True)
            n += 1
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
