"""The heat map where the reader decided: confirmed and corrected voxels are drawn as trusted at once, whatever becomes
of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..engine.core.errors import EngineError
from ..engine.dale.issues import Region
from ..mrml import heat_map, hidden_volumes, review_baseline
from ..mrml.labelmap_snapshot import LabelmapSnapshot
from ..mrml.regions import regionIdentity
from ..mrml.scene import FINGERPRINT
from ..mrml.segmentations import segmentationSnapshot

if TYPE_CHECKING:
    from ..engine.review.reviewed_voxels import TrustedVoxels
    from .review import Review

MARGIN_MM = 8.0  # around a region: where it can be edited, and the voxels that are seen beside it

TRUSTED = ("confirmed", "accepted", "corrected")
"""Decisions whose voxels the model is to learn."""

Box = tuple[slice, ...]


class TrustedDisplay:
    """Touches what is drawn, never the exact confidence that is kept beside it."""

    def __init__(self, review: Review) -> None:
        self._review = review
        self._seen: dict[int, tuple[Box, np.ndarray]] = {}  # by region_id, a box and what was seen in it
        self._last: LabelmapSnapshot | None = None  # what does not change until the next one is not copied anew
        self._seenOf: tuple[str, int] | None = None  # the region map that these are about

    def draw(self, regions: Sequence[Region] | None = None) -> None:
        """Draw these regions (default: all) as trusted where they were decided so."""
        if not self._canDraw():
            return
        known = self._review.decisions()
        if regions is None:
            regions = [leaf for row in self._review.regions() for leaf in row.leaves]
        decided = [(region, known.get(regionIdentity(region))) for region in regions]
        drawn = self._drawn() if {decision for _region, decision in decided} & {"accepted", "corrected"} else None
        for region, decision in decided:
            if decision in TRUSTED:
                box, mask = self._trusted(region, None if decision == "confirmed" else drawn)
                heat_map.fillPart(self._review.state.heatMap, box, mask, 1.0)

    def takeBack(self, region: Region, decision: str) -> None:
        """This decision was undone: draw the doubt again, but where other decisions are about the same voxels."""
        if not self._canDraw() or decision not in TRUSTED:
            return
        box, mask = self._trusted(region, None if decision == "confirmed" else self._drawn())
        confidence = hidden_volumes.hiddenView(self._review.state.confidence)[box]
        heat_map.fillPart(self._review.state.heatMap, box, mask, np.clip(confidence[mask], 0.0, 1.0))
        self.draw()

    def vouched(self, regions: Sequence[Region], decision: str) -> dict[int, TrustedVoxels]:
        """By region_id, the voxels with their label that a decision vouches for; nothing for one that leaves the label
        in doubt, or where the scene does not know what was drawn when the list was made."""
        from ..engine.review.reviewed_voxels import TrustedVoxels  # brings scipy

        table = self._review.state.regionTable
        if decision not in TRUSTED or not self._review.begun or (drawn := self._drawn()) is None:
            return {}
        if drawn.classNames != review_baseline.baselineClassNames(table):
            return {}
        self._last = drawn
        image, found = table.GetAttribute(FINGERPRINT) or "", {}
        for region in regions:
            box, mask = self._trusted(region, None if decision == "confirmed" else drawn)
            found[region.region_id] = TrustedVoxels.within(mask, drawn.within(box), box, drawn.shape, image)
        return found

    def _canDraw(self) -> bool:
        review, state = self._review, self._review.state
        shown = review.fits(state.heatMap) and state.confidence is not None
        return shown and review.fits(state.regionTable) and review.begun

    def _trusted(self, region: Region, drawn: LabelmapSnapshot | None) -> tuple[Box, np.ndarray]:
        """A box of the image (k, j, i), and the voxels in it that count as trusted; drawn: the segments now, where what
        is drawn otherwise counts too."""
        box, mask = self._seenAround(region)
        if drawn is None:
            return box, mask
        before = review_baseline.labelView(self._review.state.regionTable)[box]
        return box, mask | (drawn.within(box) != before)

    def _seenAround(self, region: Region) -> tuple[Box, np.ndarray]:
        """A box around a region and what may change there, and what of it was seen: found once for each list."""
        from ..engine.review.reviewed_voxels import reviewed_mask  # brings scipy

        state = self._review.state
        now = state.regionTable.GetID(), review_baseline.regionMapVersion(state.regionTable)
        if now != self._seenOf:
            self._seen, self._seenOf = {}, now
        if region.region_id not in self._seen:
            regionMap = review_baseline.regionMapView(state.regionTable)
            spacing = state.image.GetSpacing()[::-1]
            box = _around(region, regionMap.shape, spacing)
            change = (self._review.suggestedChanges() or {}).get(region.region_id)
            if change is not None:  # which may reach farther
                sides = zip(box, change.box, strict=True)
                box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in sides)
            self._seen[region.region_id] = box, reviewed_mask(regionMap[box], {region.region_id}, spacing)
        return self._seen[region.region_id]

    def _drawn(self) -> LabelmapSnapshot | None:
        """None where the segments are no more."""
        state = self._review.state
        try:
            return segmentationSnapshot(state.segmentation, state.image, self._review.reviewedSegments())
        except EngineError:
            return None


def _around(region: Region, shape: tuple[int, ...], spacing: Sequence[float]) -> Box:
    corners = list(zip(reversed(region.first_voxel), reversed(region.last_voxel), strict=True))
    corners = [(0, n - 1) for n in shape[: len(shape) - len(corners)]] + corners
    margins = [int(np.ceil(MARGIN_MM / s)) for s in spacing]
    return tuple(
        slice(max(0, first - margin), min(n, last + margin + 1))
        for (first, last), margin, n in zip(corners, margins, shape, strict=True)
    )
