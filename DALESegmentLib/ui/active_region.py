"""The region at hand in the views: outlined and framed, the others as faint ticks, and the results of a model hidden.

What a refresh brings meanwhile is hidden, too. What the reader switches on stays, and so does a new prediction until
the next region comes.
"""

from __future__ import annotations

import numpy as np

from ..engine.dale.issues import Region
from ..mrml import region_marks, review_baseline
from ..mrml.outlines import hideResults, restoreResults
from ..mrml.regions import showTicks
from ..mrml.volumes import geometryFromVolume
from .workflow import Workflow


class ActiveRegion:
    """region: the one that is marked now, None where none is."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._drawn: tuple | None = None
        self.region: Region | None = None

    def show(self, region: Region | None) -> None:
        """Mark this region, or none; where it is marked already, only the ticks are matched."""
        review, state = self._workflow.review, self._workflow.state
        there = review.fits(state.regionTable)
        self.region = region if there else None
        if there and state.regionMarkups is not None:
            showTicks(state.regionMarkups, state.ticksShown, state.marksIn3D, self.region)
        now = None if self.region is None else (state.regionTable.GetID(), self.region, state.marksIn3D)
        if self.region is None:
            restoreResults()
        else:
            hideResults(["refreshed"])
        if now == self._drawn:
            return
        self._drawn = now
        if self.region is None:
            region_marks.unmarkRegion()
        else:
            hideResults()
            mask, first = self._mask(self.region)
            region_marks.markRegion(mask, first, geometryFromVolume(state.image), state.marksIn3D)

    def close(self) -> None:
        """The module goes; what it hid is shown again."""
        restoreResults()

    def forget(self) -> None:
        """The scene, and the marks with it, are gone."""
        self._drawn = self.region = None

    def _mask(self, region: Region) -> tuple[np.ndarray, tuple[int, ...]]:
        """The region's voxels in its box, or all of the box where the scene does not know them; and the box's start."""
        state = self._workflow.state
        corners = list(zip(reversed(region.first_voxel), reversed(region.last_voxel), strict=True))
        corners = [(0, 0)] * (3 - len(corners)) + corners
        box = tuple(slice(first, last + 1) for first, last in corners)
        mask = np.ones([last + 1 - first for first, last in corners], bool)
        if self._workflow.review.begun:
            places = review_baseline.regionMapView(state.regionTable)[box]
            own = np.isin(places, [leaf.region_id for leaf in region.leaves])
            mask = own if own.shape == mask.shape and own.any() else mask
        return mask, tuple(first for first, _last in corners)
