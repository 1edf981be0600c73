"""A combo box of names that change with the scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .signals import connect


class Choices:
    """Shows (key, text) pairs in a QComboBox; onChosen(key) is called when the reader takes another one."""

    def __init__(self, box: Any, onChosen: Callable[[str], None]) -> None:
        self._box, self._onChosen = box, onChosen
        self._shown: list[tuple[str, str]] = []
        connect(box, "activated(int)", self._activated)

    def show(self, choices: Sequence[tuple[str, str]], chosen: str) -> None:
        """Fill the box where something changed, and show the chosen key; the first one where it is not there."""
        if list(choices) != self._shown:
            self._shown = list(choices)
            self._box.clear()
            for _key, text in self._shown:
                self._box.addItem(text)
        keys = [key for key, _text in self._shown]
        self._box.currentIndex = keys.index(chosen) if chosen in keys else 0

    def _activated(self, index: int) -> None:
        self._onChosen(self._shown[index][0])
