"""Keeps the place of the module's panel: Slicer shows a panel from its top whenever a module is chosen."""

from __future__ import annotations

from typing import Any

import qt

RESTORE_MS = (0, 50, 200)  # the panel is laid out, and so long enough to be scrolled, some time after it is entered


class ScrollPlace:
    """panel: the top widget of the module. Outside a scroll area nothing happens."""

    def __init__(self, panel: Any) -> None:
        self._panel = panel
        self._place = 0

    def keep(self) -> None:
        """The panel is about to be left."""
        bar = self._bar()
        if bar is not None and self._panel.isVisible():
            self._place = bar.value

    def restore(self) -> None:
        """The panel is there again."""
        for milliseconds in RESTORE_MS:
            qt.QTimer.singleShot(milliseconds, self._restore)

    def _restore(self) -> None:
        try:
            bar = self._bar()
        except ValueError:  # the panel was deleted meanwhile
            return
        if bar is not None and bar.value == 0:
            bar.setValue(self._place)

    def _bar(self) -> Any:
        widget = self._panel
        while widget is not None and not widget.inherits("QScrollArea"):
            widget = widget.parentWidget()
        return None if widget is None else widget.verticalScrollBar()
