"""Single keys that decide, while they are switched on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from .signals import connect

KEYS = {
    "next": ("N", _("next")),
    "previous": ("P", _("previous")),
    "accept": ("A", _("accept")),
    "less": ("[", ""),
    "more": ("]", ""),
    "confirm": ("C", _("keep")),
    "correct": ("E", _("draw")),
    "segment": ("S", _("strokes")),
    "unsure": ("U", _("unsure")),
    "undo": ("Z", _("undo")),
    "open": ("O", ""),
    "done": ("D", _("back")),
    "take": ("Return", ""),
    "takeToo": ("Enter", ""),
    "leave": ("Escape", ""),
    "acceptCase": ("Y", ""),
    "reviseCase": ("X", ""),
    "nextCase": ("Shift+N", ""),
    "previousCase": ("Shift+P", ""),
    **{f"verdict{score}": (f"Alt+{score}", "") for score in range(1, 6)},
    "signOff": ("Shift+S", ""),
    "reopen": ("Shift+R", ""),
}


class ReviewKeys:
    """Shortcuts of the whole window: they work while a view has the focus, and not while a text is typed.

    pressed() is called before the action of each.
    """

    def __init__(
        self, window: Any, actions: dict[str, Callable[[], None]], pressed: Callable[[], None] = lambda: None
    ) -> None:
        self._shortcuts = []
        for name, action in actions.items():
            shortcut = qt.QShortcut(qt.QKeySequence(KEYS[name][0]), window)
            connect(shortcut, "activated()", pressed)
            connect(shortcut, "activated()", action)
            self._shortcuts.append(shortcut)
        self.setEnabled(False)

    def setEnabled(self, enabled: bool) -> None:
        for shortcut in self._shortcuts:
            shortcut.setEnabled(enabled)

    def remove(self) -> None:
        """The window outlives the module; its keys must not."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts = []


def signOffLegend() -> str:
    """Of the keys for the case as a whole."""
    return _("Alt+1 … Alt+5 verdict · Shift+S sign off · Shift+R open again")


def legend() -> str:
    """ "N next · P previous · …" """
    return " · ".join(f"{key} {text}" for key, text in KEYS.values() if text)
