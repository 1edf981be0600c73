"""The heat map of the region that was just corrected, updated while the engine still predicts the rest of the image."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..mrml import heat_map
from .review import Review


class RegionPreview:
    """For the heat map that is there when the step begins."""

    def __init__(self, review: Review) -> None:
        self._review = review
        self._heatMap = review.state.heatMap
        self._before: tuple[tuple[slice, ...], np.ndarray] | None = None

    def show(self, event: dict[str, Any]) -> None:
        """event: a line of progress; one that brings the region is drawn, unless one segment alone is coloured."""
        region = event.get("values", {}).get("region")
        if region is None or self._review.state.heatMapSegment or not self._stillThere():
            return
        first, last = region["first_voxel"], region["last_voxel"]
        box = tuple(slice(a, b + 1) for a, b in zip(reversed(first), reversed(last), strict=True))
        before = box, heat_map.updatePart(self._heatMap, box, np.load(region["shown"]))
        self._before = self._before or before  # it is told of twice: before the model learns, and after
        self._review.trusted.draw()

    def restore(self) -> None:
        """The step failed, or its model is not taken into use: the heat map is again that of the model in use."""
        if self._before is not None and self._stillThere():
            heat_map.updatePart(self._heatMap, *self._before)
            self._review.trusted.draw()
        self._before = None

    def _stillThere(self) -> bool:
        now = self._review.state.heatMap
        same = now is not None and self._heatMap is not None and now.GetID() == self._heatMap.GetID()
        return same and self._review.fits(now)
