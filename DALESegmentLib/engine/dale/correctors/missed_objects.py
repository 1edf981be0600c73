"""Missed objects: the network finds them in cases whose label has nothing of their class.

A network that has not yet learned the labels by heart finds objects that an annotator overlooked, and it invents some.
The cases where the class is labelled show how far it can be believed, for there it can be checked. It is, class by
class, where

- in the labelled cases nearly every object that it finds is labelled (`min_precision`), and
- in most cases without a label it finds one (`min_detection_rate`): where there mostly is nothing to be found, nothing
  is meant to be there.

Objects much smaller than the labelled ones count for nothing. A heuristic; it says nothing about one of several objects
of a case, for then no labelled case is complete.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from ..config import MissedObjectsConfig
from ..label_state import NO_PROPOSAL
from .base import Gather, LabelledImage, Predictions, alone

DEFAULT = MissedObjectsConfig()


class MissedObjects:
    """Adds objects to labels that have nothing of their class, see above.

    classes: those that some case has no label of. min_sizes: voxels from which on objects are believed, by class, for
    the classes where the network is; once believed, it is to the end.
    """

    name = "missed_objects"

    def __init__(self, classes: Collection[int], config: MissedObjectsConfig = DEFAULT, gather: Gather = alone) -> None:
        self.classes = frozenset(classes)
        self.config = config
        self.min_sizes: dict[int, float] = {}
        self._gather = gather

    @property
    def is_active(self) -> bool:
        """Whether it may still propose anything."""
        return bool(self.classes)

    def fit(self, cases: Iterable[LabelledImage], predictions: Predictions) -> None:
        """Find out for each class that is not settled whether the network is believed; a better one may be, later."""
        open_classes = self.classes - set(self.min_sizes)
        if not open_classes:
            return
        found = []
        for case in cases:
            label, network = case.labels.initial().numpy(), predictions.classes(case)
            some = open_classes - case.labels.drawn_by_others | set(np.unique(label)) & open_classes
            found += [match_objects(label, network, value) for value in sorted(some)]
        every = [matches for own in self._gather(found) for matches in own]
        for value in open_classes:
            size = min_credible_size([matches for matches in every if matches.value == value], self.config)
            if size is not None:
                self.min_sizes[value] = size

    def propose(self, case: LabelledImage, predictions: Predictions) -> np.ndarray | None:
        """(*grid) classes where an object is added, NO_PROPOSAL elsewhere; None where the label lacks no class."""
        drawn = set(case.labels.class_counts(case.labels.initial)) | case.labels.drawn_by_others
        lacking = set(self.min_sizes) - drawn
        if not lacking:
            return None
        initial, network = case.labels.initial().numpy(), predictions.classes(case)
        label = case.labels.below(self.name).numpy()
        proposal = np.full(label.shape, NO_PROPOSAL, label.dtype)
        for value in lacking:
            added = credible_objects(initial, network, value, self.min_sizes[value])
            proposal[added & (label == 0) & (proposal == NO_PROPOSAL)] = value
        return proposal

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"min_sizes": {str(value): size for value, size in self.min_sizes.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.min_sizes = {int(value): size for value, size in state["min_sizes"].items()}


@dataclass(frozen=True)
class ObjectMatches:
    """Sizes in voxels, of one case's objects of one class: labelled; found by the network where the label has a part
    of them; found where it has none."""

    value: int
    labelled: tuple[int, ...]
    matched: tuple[int, ...]
    unmatched: tuple[int, ...]


def match_objects(label: np.ndarray, network: np.ndarray, value: int) -> ObjectMatches:
    """label, network: (*grid) classes. What the network puts onto another labelled class is no object."""
    drawn = label == value
    numbers, sizes = _objects(_where_free(label, network, value))
    matched = np.isin(np.arange(1, len(sizes)), numbers[drawn])
    _, labelled = _objects(drawn)
    return ObjectMatches(
        value, *(tuple(each.tolist()) for each in (labelled[1:], sizes[1:][matched], sizes[1:][~matched]))
    )


def min_credible_size(cases: Sequence[ObjectMatches], config: MissedObjectsConfig = DEFAULT) -> float | None:
    """Voxels from which on the objects that the network finds alone are believed in the cases without a label; None
    where they are not. cases: all of one class."""
    labelled = [case for case in cases if case.labelled]
    empty = [case for case in cases if not case.labelled]
    if len(labelled) < config.min_cases or not empty:
        return None
    sizes = [size for case in labelled for size in case.labelled]
    smallest = config.size_factor * float(np.percentile(sizes, config.smallest_percentile))
    matched = sum(size >= smallest for case in labelled for size in case.matched)
    unmatched = sum(size >= smallest for case in labelled for size in case.unmatched)
    detected = sum(any(size >= smallest for size in case.unmatched) for case in empty)
    precise = matched >= max(config.min_cases, config.min_precision * (matched + unmatched))
    return smallest if precise and detected > config.min_detection_rate * len(empty) else None


def credible_objects(label: np.ndarray, network: np.ndarray, value: int, smallest: float) -> np.ndarray:
    """(*grid) bool, to be added to a label without this class."""
    numbers, sizes = _objects(_where_free(label, network, value))
    large = sizes >= smallest
    large[0] = False
    return large[numbers]


def _where_free(label: np.ndarray, network: np.ndarray, value: int) -> np.ndarray:
    return (network == value) & ((label == 0) | (label == value))


def _objects(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(*grid) numbers from 1 of the connected objects, corners touching too, and their sizes, by number."""
    numbers, _ = ndimage.label(mask, np.ones((3,) * mask.ndim))
    return numbers, np.bincount(numbers.ravel())
