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
from .region_editing import LabelPart, regionPlace
from .workflow import Workflow

STEPS = (0.0, 0.5, 1.0)
"""From the label to the model."""
MARGIN = 6  # voxels around the region, of what is looked at and drawn


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
        image = self._workflow.state.image
        showSuggestion({"outline": found.label == found.value}, found.first, geometryFromVolume(image), image)

    def label(self, region: Region) -> LabelPart | None:
        """What the label would be around the region; None where the model's or the region's class is not known."""
        from ..engine.dale.interactive import suggested_label  # brings scipy

        review, workflow = self._workflow.review, self._workflow
        model, places = review.modelLabel(), review.regionMapView()
        if model is None or places is None or not review.fits(workflow.state.regionTable):
            return None
        try:
            drawn = workflow.session.segmentationSnapshot()
        except EngineError:  # the segments are no more
            return None
        value = _valueOf(workflow.state.segmentation, drawn, region)
        if value is None or drawn.shape != model.shape or drawn.shape != places.shape:
            return None
        corners = zip(reversed(region.first_voxel), reversed(region.last_voxel), drawn.shape, strict=True)
        box = tuple(slice(max(a - MARGIN, 0), min(b + MARGIN + 1, n)) for a, b, n in corners)
        wanted = _byName(model[box], review.modelClassNames(), drawn.classNames)
        place = regionPlace(region, places[box])
        spacing = geometryFromVolume(workflow.state.image).array_spacing
        label = suggested_label(drawn.within(box), wanted, place, spacing, value, STEPS[self.step])
        return LabelPart(box, label, value)

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
