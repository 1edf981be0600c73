"""Prints the step that is running and the time that is left in all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

QUIET = 15.0  # seconds between two lines on the same step
PRIOR = 60.0  # the expected pace counts as much as this many seconds of a measured one


class ProgressPrinter:
    """expected: the steps to come, in order, with their seconds on a machine with two free cores.

    How fast this machine is follows from the steps already done.
    """

    def __init__(self, expected: Mapping[str, float]) -> None:
        self.expected = dict(expected)
        self.seconds: dict[str, float] = {}
        self._started = time.monotonic()
        self._step, self._step_started, self._printed = "", self._started, self._started

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def __call__(self, sentence: str) -> None:
        self._printed = time.monotonic()
        print(f"[{_clock(self.elapsed)}] {sentence}", flush=True)

    def step(self, name: str, sentence: str) -> None:
        """The step before has ended, this one begins."""
        self.end()
        self._step = name
        self(f"{sentence} ({in_words(self.left())} left in all)")

    def progress(self, report: dict[str, Any]) -> None:
        """A progress line of the engine; most are passed over."""
        if time.monotonic() - self._printed >= QUIET:
            left = in_words(self.left(report.get("seconds_left")))
            self(f"    {report['message']}, {report['percent']:.0f} % of this step ({left} left in all)")

    def left(self, of_this_step: float | None = None) -> float:
        """Seconds to the end of everything. of_this_step: the engine's own estimate for what it is doing."""
        measured = {name: self.expected[name] for name in self.seconds if name in self.expected}
        pace = (PRIOR + sum(self.seconds[n] for n in measured)) / (PRIOR + sum(measured.values()))
        coming = sum(s for n, s in self.expected.items() if n not in self.seconds and n != self._step)
        spent = time.monotonic() - self._step_started
        here = self.expected.get(self._step, 0.0) * pace - spent
        return coming * pace + max(here if of_this_step is None else of_this_step, 0.0)

    def end(self) -> None:
        """The step has ended; `seconds` holds how long it took."""
        if self._step:
            self.seconds[self._step] = time.monotonic() - self._step_started
        self._step, self._step_started = "", time.monotonic()


def in_words(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(10, 10 * round(seconds / 10))} s"
    return f"about {round(seconds / 30) / 2:g} min"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
