"""Loss and Dice drawn while a training runs."""

from __future__ import annotations

import time
from typing import Any

import slicer

from DALESegmentLib.mrml import charts

SECONDS_BETWEEN = 1.0


class LiveCurves:
    """Takes the progress of a training and redraws the plot, at most once a second."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[str, Any]] = {}
        self._drawn = 0.0

    def take(self, event: dict[str, Any]) -> None:
        """One progress event; those of other steps are ignored."""
        values = event.get("values") or {}
        if "epoch" not in values:
            return
        epoch = int(values["epoch"])
        if self._rows and epoch < max(self._rows):  # another training
            self._rows = {}
        self._rows[epoch] = {**self._rows.get(epoch, {}), **values}
        now = time.monotonic()
        if now - self._drawn >= SECONDS_BETWEEN:
            self._drawn = now
            charts.updateCurves(list(self._rows.values()))


def showCurves() -> None:
    """Bring the plot into the layout."""
    slicer.modules.plots.logic().ShowChartInLayout(charts.curvesChart())
