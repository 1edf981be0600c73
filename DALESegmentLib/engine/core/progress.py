"""How far a job is, and whether it should stop: the one thing every job is handed. Standard library only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from .errors import Cancelled

Stage = Literal["reading", "training", "validating", "predicting", "confidence", "review", "writing"]
Report = dict[str, Any]
"""percent, seconds_left, stage, message, values; as in docs/protocol.md."""

SECONDS_BETWEEN = 0.1
ENOUGH_TO_ESTIMATE = 3.0  # percent


class Progress:
    """Reports go to `send`, at most ten a second; without it nowhere, so that a job also runs on its own.

    A report that comes too soon after another is held back and sent a moment later, unless a newer one of its
    stage replaces it: the last report of a stage is always sent. `send` is called on the reporting thread or
    a timer's, never on two at once.
    """

    def __init__(self, send: Callable[[Report], None] | None = None, cancelled: threading.Event | None = None) -> None:
        self._shared = _Shared(send, cancelled or threading.Event())
        self._start, self._stop = 0.0, 100.0

    def report(
        self, percent: float, stage: Stage, message: str, seconds_left: float | None = None, **values: Any
    ) -> None:
        """percent: 0 to 100 of this part; it never falls. seconds_left is estimated where it is not given."""
        overall = self._start + (self._stop - self._start) * min(max(percent, 0.0), 100.0) / 100.0
        self._shared.report(overall, stage, message, seconds_left, values)

    def check(self) -> None:
        """Raises Cancelled once the user asked to stop. Jobs call it at least once a second."""
        if self._shared.cancelled.is_set():
            raise Cancelled

    @property
    def cancelled(self) -> bool:
        """Whether `check` would raise."""
        return self._shared.cancelled.is_set()

    def part(self, start: float, stop: float) -> Progress:
        """The same progress for a step whose own 0 to 100 % are `start` to `stop` % of this one."""
        span = (self._stop - self._start) / 100.0
        child = Progress.__new__(Progress)
        child._shared = self._shared
        child._start, child._stop = self._start + span * start, self._start + span * stop
        return child

    def close(self) -> None:
        """Send what is held back; later reports are dropped."""
        self._shared.close()


class _Shared:
    """What all parts of one job's progress have in common."""

    def __init__(self, send: Callable[[Report], None] | None, cancelled: threading.Event) -> None:
        self.cancelled = cancelled
        self._send = send
        self._lock = threading.Lock()
        self._percent = 0.0
        self._first: tuple[float, float] | None = None  # percent and time of the first report
        self._stage: str | None = None
        self._sent_at = -1.0
        self._held: Report | None = None
        self._timer: threading.Timer | None = None

    def report(
        self, percent: float, stage: str, message: str, seconds_left: float | None, values: dict[str, Any]
    ) -> None:
        if self._send is None:
            return
        with self._lock:
            now = time.monotonic()
            self._percent = max(self._percent, percent)  # also where percent is NaN
            self._first = self._first or (self._percent, now)
            if seconds_left is None:
                seconds_left = self._estimate(now)
            if stage != self._stage:
                self._send_held(now)
            fresh = stage != self._stage
            self._stage = stage
            self._held = {
                "percent": round(self._percent, 2),
                "seconds_left": None if seconds_left is None else round(seconds_left, 1),
                "stage": stage,
                "message": message,
                "values": values,
            }
            if fresh or now - self._sent_at >= SECONDS_BETWEEN:
                self._send_held(now)
            elif self._timer is None:
                self._start_timer(SECONDS_BETWEEN - (now - self._sent_at))

    def close(self) -> None:
        with self._lock:
            self._send_held(time.monotonic())
            self._send = None

    def _start_timer(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._late)
        timer.daemon = True
        with suppress(RuntimeError):  # no room for a thread: the report waits for the next one
            timer.start()
            self._timer = timer

    def _late(self) -> None:
        with self._lock:
            self._timer = None
            self._send_held(time.monotonic())

    def _send_held(self, now: float) -> None:
        """Called with the lock held."""
        held, self._held = self._held, None
        if held is not None and self._send is not None:
            self._send(held)
            self._sent_at = now

    def _estimate(self, now: float) -> float | None:
        assert self._first is not None
        done = self._percent - self._first[0]
        if done <= ENOUGH_TO_ESTIMATE:
            return None
        return (now - self._first[1]) * (100.0 - self._percent) / done
