"""Objects that the labels left out: the network finds them in cases whose label has nothing of their class.

A network that has not yet learned the labels by heart finds objects that an annotator overlooked, and it invents some.
The cases where the class is labelled show how far it can be believed, for there it can be checked. It is, class by
class, where

- in the labelled cases nearly every object that it finds is labelled (`RIGHT`), and
- in most cases without a label it finds one (`MOST`): where there mostly is nothing to be found, nothing is meant.

Objects much smaller than the labelled ones count for nothing. A heuristic; it says nothing about one of several objects
of a case, for then no labelled case is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

RIGHT = 0.95
MOST = 0.5
FEWEST = 5
"""With fewer labelled cases nobody can tell whether the network can be believed."""
AMONG_SMALLEST, HALF = 5.0, 0.5
"""Objects count from half the size of the labelled ones' 5th percentile on."""


@dataclass(frozen=True)
class Found:
    """Sizes in voxels, of one case's objects of one class: labelled; found by the network where the label has a part
    of them; found where it has none."""

    value: int
    labelled: tuple[int, ...]
    met: tuple[int, ...]
    alone: tuple[int, ...]


def found(label: np.ndarray, network: np.ndarray, value: int) -> Found:
    """label, network: (*grid) classes. What the network puts onto another labelled class is no object."""
    drawn = label == value
    numbers, sizes = _objects(_where_free(label, network, value))
    met = np.isin(np.arange(1, len(sizes)), numbers[drawn])
    _, labelled = _objects(drawn)
    return Found(value, *(tuple(each.tolist()) for each in (labelled[1:], sizes[1:][met], sizes[1:][~met])))


def smallest_believed(cases: Sequence[Found]) -> float | None:
    """Voxels from which on the objects that the network finds alone are believed in the cases without a label; None
    where they are not. cases: all of one class."""
    labelled = [case for case in cases if case.labelled]
    empty = [case for case in cases if not case.labelled]
    if len(labelled) < FEWEST or not empty:
        return None
    smallest = HALF * float(np.percentile([size for case in labelled for size in case.labelled], AMONG_SMALLEST))
    met, alone = (
        sum(size >= smallest for case in labelled for size in getattr(case, kind)) for kind in ("met", "alone")
    )
    finds = sum(any(size >= smallest for size in case.alone) for case in empty)
    return smallest if met >= max(FEWEST, RIGHT * (met + alone)) and finds > MOST * len(empty) else None


def objects_left_out(label: np.ndarray, network: np.ndarray, value: int, smallest: float) -> np.ndarray:
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
