"""Connects signals to slots, and raises where PythonQt would connect nothing."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import qt
import slicer

from DALESegmentLib.engine.core.errors import EngineError


def connect(sender: Any, signal: str, slot: Callable[..., Any]) -> None:
    """Connect or raise: a wrong signature would otherwise be ignored in silence.

    What the slot raises is shown to the user: an EngineError as its sentence, anything else with its details.
    """
    count = len(inspect.signature(slot).parameters)

    def guarded(*arguments: Any) -> None:
        try:
            slot(*arguments[:count])
        except EngineError as error:
            showProblem(error.sentence)
        except Exception:
            with slicer.util.tryWithErrorDisplay("DALESegment met an error it did not expect."):
                raise

    if not sender.connect(signal, guarded):
        raise ValueError(f"{sender.className()} has no signal {signal}")


@contextmanager
def withoutDialogs() -> Iterator[None]:
    """For a test that runs in an application that somebody uses: what would be shown in a dialog is logged."""
    _silent.append(True)
    try:
        yield
    finally:
        _silent.pop()


_silent: list[bool] = []
"""One entry for each `withoutDialogs` that runs."""


def canAsk() -> bool:
    """Whether somebody sits at Slicer who can read a dialog and answer."""
    return not _silent and not slicer.app.testingEnabled()


def showProblem(sentence: str) -> None:
    """Show what is wrong and what to do, in a dialog; where nobody can read one, in the log alone."""
    if canAsk():
        slicer.util.warningDisplay(sentence, windowTitle="DALESegment")
    else:
        logging.warning(sentence)


def showProblemSoon(sentence: str) -> None:
    """The same once Qt is back in its loop: a dialog inside a process's signal would hold up that process."""
    if canAsk():
        qt.QTimer.singleShot(0, lambda: showProblem(sentence))
    else:  # now: a dialog that opens later may find that somebody can be asked again
        showProblem(sentence)
