"""Whether the job that runs here was asked to stop, known wherever it works without being handed through.

A job runs inside `cancellable`; what takes long calls `checkpoint` between its steps. Outside a job, and on threads
that a job starts, a checkpoint does nothing. Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
