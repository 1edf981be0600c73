"""Sentences about somebody's files that are no error: "p1.jpg was turned as its camera says". Standard library only.

Whoever reads files does so inside `noting` and shows what is in the list; outside it notes go nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_notes: ContextVar[list[str] | None] = ContextVar("notes", default=None)


def note(sentence: str) -> None:
    """Keep the sentence, once, for whoever listens."""
    notes = _notes.get()
    if notes is not None and sentence not in notes:
        notes.append(sentence)


@contextmanager
def noting() -> Iterator[list[str]]:
    """The list that `note` fills inside the block, in the order of what happened."""
    notes: list[str] = []
    before = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(before)
