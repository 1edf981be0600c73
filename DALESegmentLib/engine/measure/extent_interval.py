"""Volume and longest diameter with the interval that follows from a confidence map.

The map says how probable it is that a voxel belongs to the structure. How voxels hang together it does not say; they
are taken to move together, as an outline drawn more or less generously does: the structure is {p > U} with one
threshold U, uniform on [0, 1], for all voxels (the quantiles of a random closed set; Molchanov, Theory of Random Sets,
2005). Volume and diameter then only fall with U, and their intervals are those of two nested sets. That is a model: how
often the interval holds the truth is measured in benchmarks/reliability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

LEVEL = 0.9


@dataclass(frozen=True)
class Interval:
    """A figure with the interval that holds the true one with the probability `level`, as far as the model is right."""

    value: float
    low: float
    high: float
    level: float = LEVEL


def membership(label: np.ndarray, confidence: np.ndarray, value: int) -> np.ndarray:
    """The probability (*grid) that a voxel is of class `value`: its label's confidence where it has that label, the
    doubt of the background elsewhere. A voxel of another class counts as not of this one."""
    return np.where(label == value, confidence, np.where(label == 0, 1.0 - confidence, 0.0))


def volume_interval(probability: np.ndarray, voxel_volume: float, level: float = LEVEL) -> Interval:
    """In the unit of voxel_volume, mm³ in 3D."""
    small, middle, large = _nested(probability, level)
    value, low, high = (float(np.count_nonzero(m)) * voxel_volume for m in (middle, small, large))
    return Interval(value, low, high, level)


def diameter_interval(probability: np.ndarray, spacing: Sequence[float], level: float = LEVEL) -> Interval:
    """Of the longest diameter within a slice, mm."""
    small, middle, large = _nested(probability, level)
    value, low, high = (longest_diameter(m, spacing) for m in (middle, small, large))
    return Interval(value, low, high, level)


def longest_diameter(mask: np.ndarray, spacing: Sequence[float]) -> float:
    """The longest distance in mm between two voxel centres of one slice (axis k), plus one pixel; 0 of nothing.

    mask: (k, j, i) or (j, i) bool; spacing: mm along i, j(, k).
    """
    planes = mask if mask.ndim == 3 else mask[None]
    step = np.array((spacing[1], spacing[0]))
    lengths = [_longest(np.argwhere(plane) * step) for plane in planes if plane.any()]
    return max(lengths) + float(step.mean()) if lengths else 0.0


def _nested(probability: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tail = (1.0 - level) / 2
    return probability > 1.0 - tail, probability > 0.5, probability > tail


def _longest(points: np.ndarray) -> float:
    """points: (n, 2) mm. Of many points only the corners of their hull can be farthest apart."""
    if len(points) > 3:
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:  # all on one line
            points = np.concatenate([points[points.argmin(axis=0)], points[points.argmax(axis=0)]])
    return float(pdist(points).max()) if len(points) > 1 else 0.0
