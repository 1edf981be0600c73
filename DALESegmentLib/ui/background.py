"""Work on copies in another thread: arrays are converted, hashed, written and read, and the viewer stays usable."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import qt

TICK_MS = 10
HANDED_OVER_S = 0.004  # of each tick; the rest is the user interface's


class Background:
    """One piece of work at a time. It must touch neither the scene nor a widget.

    A timer checks whether it is done, and waits for it a few milliseconds each time: an application need not let go of
    Python's lock while it waits for events, and the work would then stand still.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._outcome: dict[str, Any] = {}
        self._onDone: Callable[[Any], None] | None = None
        self._onError: Callable[[Exception], None] | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.connect("timeout()", self.poll)

    def start(
        self, work: Callable[[], Any], onDone: Callable[[Any], None], onError: Callable[[Exception], None]
    ) -> None:
        """Run work(); then, on the main thread, onDone(what it returned) or onError(what it raised)."""
        outcome: dict[str, Any] = {}

        def run() -> None:
            try:
                outcome["value"] = work()
            except Exception as error:
                outcome["error"] = error

        self._outcome, self._onDone, self._onError = outcome, onDone, onError
        self._thread = threading.Thread(target=run, name="DALESegment", daemon=True)
        self._thread.start()
        self._timer.start()

    def poll(self) -> None:
        """Deliver the outcome if it is there. For scripts without an event loop, and for the timer."""
        thread = self._thread
        if thread is None:
            return
        thread.join(HANDED_OVER_S)
        if thread.is_alive():
            return
        self._timer.stop()
        self._thread = None
        if "error" in self._outcome:
            self._onError(self._outcome["error"])
        else:
            self._onDone(self._outcome.get("value"))

    def forget(self) -> None:
        """Nobody wants the outcome any more."""
        self._timer.stop()
        self._thread = None


def importInAdvance() -> None:
    """Import what a correction and its log need beforehand: scipy takes up to a second, too long for the answer to a
    key."""

    def bring() -> None:
        try:
            import filelock  # noqa: F401

            import DALESegmentLib.engine.dale.interactive
            import DALESegmentLib.engine.review.reviewed_voxels  # noqa: F401
        except ImportError as missing:  # not installed yet
            logging.debug("DALESegment: %s", missing)

    threading.Thread(target=bring, name="DALESegment import", daemon=True).start()
