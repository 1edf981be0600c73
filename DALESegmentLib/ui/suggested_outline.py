"""What is suggested at the region at hand: drawn in the views, made smaller and larger, and taken by one key."""

from __future__ import annotations

from typing import Any

import numpy as np
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.dale.issues import Region
from ..engine.dale.reasons import given_value
from ..mrml.regions import regionIdentity
from ..mrml.review_baseline import SuggestedChange
from ..mrml.segmentations import segmentIdOf
from ..mrml.suggestion import removeSuggestion, showSuggestion
from ..mrml.volumes import geometryFromVolume
from .region_editing import LabelPart
from .workflow import Workflow

NOTHING, HALF, SURE, LIKELY = range(4)
"""How much of it: half of the way to what is sure, what is sure, and all that is more likely wrong than right."""
MARGIN = 6  # voxels around a change, of what is drawn


class SuggestedOutline:
    """For at most one region. Nothing of it is in the label before it is taken."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._region: Region | None = None
        self.step = SURE  # of the region at hand

    def show(self, region: Region | None) -> None:
        """Draw what is suggested for this region; nothing where that is not known."""
        self._region, self.step = region, SURE
        self.draw()

    def move(self, by: int) -> str:
        """A step towards the label (-1) or away from it (1); in words, what is suggested then."""
        self.step = min(max(self.step + by, NOTHING), LIKELY)
        self.draw()
        return "" if self._region is None else self.sentence(self._region)

    def draw(self) -> None:
        """As the label is now."""
        found = None if self._region is None else self.label(self._region)
        if found is None:
            removeSuggestion()
            return
        image = self._workflow.state.image
        said = _("A takes it") if self.changes(self._region) else _("A changes nothing")
        showSuggestion({"outline": found.label == found.value}, found.first, geometryFromVolume(image), image, said)

    def changes(self, region: Region) -> int:
        """How many voxels are suggested to change now."""
        name = {SURE: "sure", HALF: "sure", LIKELY: "likely"}.get(self.step)
        return 0 if name is None else sum(int(getattr(one, name).sum()) for one in self._changes(region) or [])

    def sentence(self, region: Region) -> str:
        """What the key A does with this region now; "" where nothing is known of it."""
        changes = self._changes(region)
        if changes is None:
            return ""
        counts = {
            NOTHING: 0,
            SURE: sum(int(change.sure.sum()) for change in changes),
            LIKELY: sum(int(change.likely.sum()) for change in changes),
        }
        more = _("] suggests {count}").format(count=counts[LIKELY])
        if self.step == NOTHING:
            return _("A changes nothing: the label")
        if self.step == LIKELY:
            return _("A changes all that is likely wrong: {count} voxels").format(count=counts[LIKELY])
        if not counts[SURE]:
            nothing = _("A changes nothing: none of it is surely wrong")
            return f"{nothing}; {more}" if counts[LIKELY] else nothing
        half = _("A changes half of what is surely wrong")
        sure = _("A changes {count} voxels").format(count=counts[SURE])
        less = half if self.step == HALF else sure
        return f"{less}; {more}" if counts[LIKELY] > counts[SURE] else less

    def label(self, region: Region) -> LabelPart | None:
        """What the label would be around the region; None where the change or the region's class is not known."""
        from ..engine.dale.interactive import label_with_change  # brings scipy

        workflow, changes = self._workflow, self._changes(region)
        if changes is None:
            return None
        try:
            drawn = workflow.session.segmentationSnapshot()
        except EngineError:  # the segments are no more
            return None
        segmentation = workflow.state.segmentation
        value = _valueOf(segmentation, drawn, region.label_value, region.class_name)
        wanted = _valueOf(segmentation, drawn, region.suggested_value, region.suggested_name)
        given = 0 if given_value(region) == 0 else value
        if value is None or wanted is None or wanted == given:
            return None
        box = _around(changes, region, drawn.shape)
        label, change = drawn.within(box), np.zeros([part.stop - part.start for part in box], bool)
        for one in changes:
            place = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(one.box, box, strict=True))
            change[place] |= one.likely if self.step == LIKELY else one.sure
        share = {NOTHING: 0.0, HALF: 0.5}.get(self.step, 1.0)
        spacing = geometryFromVolume(workflow.state.image).array_spacing
        return LabelPart(box, label_with_change(label, change & (label == given), wanted, spacing, share), value)

    def isFor(self, region: Region) -> bool:
        return self._region is not None and regionIdentity(self._region) == regionIdentity(region)

    def _changes(self, region: Region) -> list[SuggestedChange] | None:
        review = self._workflow.review
        known = review.suggestedChanges() if review.fits(self._workflow.state.regionTable) else None
        if known is None:
            return None
        return [known[leaf.region_id] for leaf in region.leaves if leaf.region_id in known]


def _around(changes: list[SuggestedChange], region: Region, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A box around the region and all that may change."""
    corners = zip(reversed(region.first_voxel), reversed(region.last_voxel), strict=True)
    boxes = [tuple(slice(a, b + 1) for a, b in corners), *(change.box for change in changes)]
    sides = zip(*boxes, strict=True)
    return tuple(
        slice(max(min(s.start for s in side) - MARGIN, 0), min(max(s.stop for s in side) + MARGIN, n))
        for side, n in zip(sides, shape, strict=True)
    )


def _valueOf(segmentation: Any, drawn: Any, value: int, name: str) -> int | None:
    """Of a class in the label as it is now; None where its segment is gone."""
    if value == 0:
        return 0
    segmentId = segmentIdOf(segmentation, value, name)
    return drawn.segmentIds.index(segmentId) + 1 if segmentId in drawn.segmentIds else None
