"""What the model would draw at the region at hand: offered in the views, moved by half steps, and taken by one key."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.core.errors import EngineError
from ..engine.dale.issues import Region
from ..mrml.regions import regionIdentity
from ..mrml.segmentations import segmentIdOf
from ..mrml.suggestion import removeSuggestion, showSuggestion
from ..mrml.volumes import geometryFromVolume
from .region_editing import regionPlace
from .workflow import Workflow

STEPS = (0.0, 0.5, 1.0)
"""From the label to the model."""
MARGIN = 4  # voxels around the region, of what is drawn


class Offer:
    """For at most one region. Nothing of it is in the label before it is taken."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._region: Region | None = None
        self.step = len(STEPS) - 1  # of the region at hand

    def show(self, region: Region | None) -> None:
        """Draw what is offered for this region, from the model; nothing where the model's label is not known."""
        self._region, self.step = region, len(STEPS) - 1
        self.draw()

    def move(self, by: int) -> float:
        """Half a step towards the label (-1) or the model (1); where it is then."""
        self.step = min(max(self.step + by, 0), len(STEPS) - 1)
        self.draw()
        return STEPS[self.step]

    def draw(self) -> None:
        """As the label is now."""
        found = None if self._region is None else self.label(self._region)
        if found is None:
            removeSuggestion()
            return
        label, value = found
        region, image = self._region, self._workflow.state.image
        size = geometryFromVolume(image).size
        first = tuple(max(a - MARGIN, 0) for a in region.first_voxel)
        last = tuple(min(b + MARGIN, n - 1) for b, n in zip(region.last_voxel, size, strict=False))
        box = tuple(slice(a, b + 1) for a, b in zip(reversed(first), reversed(last), strict=True))
        showSuggestion({"outline": label[box] == value}, first, geometryFromVolume(image), image)

    def label(self, region: Region) -> tuple[np.ndarray, int] | None:
        """The label (k, j, i) that would be, and the value in it of the region's class; None where it is not known."""
        from ..engine.dale.interactive import suggested_label  # brings scipy

        review, workflow = self._workflow.review, self._workflow
        model, places = review.modelLabel(), review.regionMap()
        if model is None or places is None or not review.fits(workflow.state.regionTable):
            return None
        try:
            drawn = workflow.session.segmentationSnapshot()
        except EngineError:  # the segments are no more
            return None
        value = _valueOf(workflow.state.segmentation, drawn, region)
        label = drawn.label()[0]
        if value is None or label.shape != model.shape or label.shape != places.shape:
            return None
        wanted = _byName(model, review.modelClassNames(), drawn.classNames)
        spacing = geometryFromVolume(workflow.state.image).array_spacing
        place = regionPlace(region, places)
        return suggested_label(label, wanted, place, spacing, value, STEPS[self.step]), value

    def isFor(self, region: Region) -> bool:
        return self._region is not None and regionIdentity(self._region) == regionIdentity(region)


def _valueOf(segmentation: Any, drawn: Any, region: Region) -> int | None:
    """Of the region's class in the label as it is now."""
    segmentId = segmentIdOf(segmentation, region.label_value, region.class_name)
    return drawn.segmentIds.index(segmentId) + 1 if segmentId in drawn.segmentIds else None


def _byName(label: np.ndarray, then: dict[int, str], now: dict[int, str]) -> np.ndarray:
    """A label of other values with those that the names have now; 0 for names that are gone."""
    if then == now:
        return label
    table = np.zeros(int(label.max(initial=0)) + 1, np.int32)
    values = {name: value for value, name in now.items()}
    for value, name in then.items():
        if value < len(table):
            table[value] = values.get(name, 0)
    return table[label]
