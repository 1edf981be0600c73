"""Sentences about somebody's files that are no error: "p1.jpg was turned as its camera says". Standard library only.

Whoever reads files does so inside `noting` and shows what is in the list; outside it notes go nowhere.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_notes: ContextVar[list[str] | None] = ContextVar("notes", default=None)


def note(sentence: str) -> None:
    """Keep the sentence, once, for whoever listens."""
    notes = _notes.get()
    if notes is not None and sentence not in notes:
        notes.append(sentence)


_LOGGERS = ("nibabel.global", "tifffile", "pydicom", "PIL")


@contextmanager
def quiet() -> Iterator[None]:
    """Without what libraries print of a file that is not quite as its standard has it. Also a decorator."""
    loggers = [logger for name in _LOGGERS if not (logger := logging.getLogger(name)).disabled]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.disabled = True
        try:
            yield
        finally:
            for logger in loggers:
                logger.disabled = False


@contextmanager
def noting() -> Iterator[list[str]]:
    """The list that `note` fills inside the block, in the order of what happened."""
    notes: list[str] = []
    before = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(before)
