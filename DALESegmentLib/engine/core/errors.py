"""The error that a user may see (a code for programs, a sentence for people), and cancelling of a job.

A job runs inside `cancellable`; long computations call `checkpoint` between their steps, which raises Cancelled if the
job was asked to stop. Outside a job, and on threads that a job starts, `checkpoint` does nothing. Standard library
only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class EngineError(Exception):
    """Something the user can mend.

    `code` is short, stable and kebab-case ("geometry-mismatch"); `sentence` is one sentence that says what is
    wrong and what to do, in a clinician's words.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Cancelled(EngineError):
    """The user asked to stop. What was finished before stays on disk."""

    def __init__(self, sentence: str = "Cancelled; everything finished before is kept.") -> None:
        super().__init__("cancelled", sentence)


class SaidElsewhere(EngineError):
    """What another of the processes that train together has said already; this one ends with it in silence."""


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """For imports where they are used: raises ModuleNotFoundError with a sentence where a package is missing."""
    try:
        yield
    except ModuleNotFoundError as missing:
        package = {"sklearn": "scikit-learn"}.get(name := (missing.name or "").partition(".")[0], name)
        sentence = f"{what} needs the Python package {package}; install it with pip install {package}."
        raise ModuleNotFoundError(sentence, name=missing.name) from missing


Check = Callable[[], None]
"""Raises Cancelled once the user asked to stop."""

_check: ContextVar[Check | None] = ContextVar("check", default=None)


@contextmanager
def cancellable(check: Check) -> Iterator[None]:
    """For the block, `checkpoint` calls `check`; after it, what it called before."""
    before = _check.set(check)
    try:
        yield
    finally:
        _check.reset(before)


def checkpoint() -> None:
    """Raises Cancelled where the job that runs here was asked to stop."""
    check = _check.get()
    if check is not None:
        check()
