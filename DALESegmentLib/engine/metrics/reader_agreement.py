"""How far two readers agree: in their verdicts (Cohen's kappa), and in the outlines they left around a region.

Intervals are percentiles of a bootstrap over cases, since what lies in one case is not independent (Field and Welsh,
"Bootstrapping clustered data", J. R. Stat. Soc. B 69, 2007).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy import ndimage

from ..core.errors import needed_by
from ..geometry.distance import Box, margin_voxels, scaled_mm
from .segmentation import dice

AROUND_MM = 5.0
"""`scaled_mm`; how far around a region outlines are compared."""
SEARCHED_MM = 20.0
"""`scaled_mm`; how far around it the other reader's outline is looked for."""
LEVEL = 0.95
RESAMPLES = 2000

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """A figure over cases with its bootstrap interval; low and high are None of a single case, and where most resamples
    have no figure."""

    value: float | None
    low: float | None
    high: float | None
    cases: int
    count: int

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "level": LEVEL}


def kappa(pairs: Sequence[tuple[Any, Any]], *, weights: str | None = None) -> float | None:
    """Cohen's kappa (scikit-learn's) of what two readers said of the same things; None where one word alone was used,
    for which it is not defined. weights: "quadratic" for scores with an order."""
    if not pairs or len({word for pair in pairs for word in pair}) < 2:
        return None
    with needed_by("Agreement between readers"):
        from sklearn.metrics import cohen_kappa_score
    first, second = zip(*pairs, strict=True)
    value = float(cohen_kappa_score(first, second, weights=weights))
    return value if math.isfinite(value) else None


def mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def figure(
    by_case: Mapping[str, Sequence[T]], statistic: Callable[[Sequence[T]], float | None], seed: int = 0
) -> Figure:
    """A statistic of all values together, with its interval. by_case: the values of each case."""
    groups = [list(values) for values in by_case.values() if values]
    everything = [value for group in groups for value in group]
    value = statistic(everything)
    low = high = None
    if len(groups) > 1 and value is not None:
        random = np.random.default_rng(seed)
        drawn = []
        for _ in range(RESAMPLES):
            chosen = random.integers(len(groups), size=len(groups))
            drawn.append(statistic([value for n in chosen for value in groups[n]]))
        known = [each for each in drawn if each is not None]
        if len(known) > RESAMPLES / 2:
            low, high = (float(np.quantile(known, (1 + side * LEVEL) / 2)) for side in (-1, 1))
    return Figure(value, low, high, len(groups), len(everything))


def outlines_around(
    first: np.ndarray, second: np.ndarray, region: Box, spacing: Sequence[float]
) -> tuple[float, float | None]:
    """Dice, and mean distance in mm between the outlines, of two masks around a region.

    first, second: (*grid) bool; region: its bounding box; spacing: mm along the axes. Dice is taken within 5 mm
    (`scaled_mm`) of the box, and is 1 where both have nothing there. The distance is the mean over the surface voxels
    of either mask there of that to the nearest surface voxel of the other, both ways averaged: 0 for equal masks, None
    where one of them has no surface near by.
    """
    near = _grown(region, margin_voxels(scaled_mm(AROUND_MM, spacing), spacing), first.shape)
    far = _grown(near, margin_voxels(scaled_mm(SEARCHED_MM, spacing), spacing), first.shape)
    a, b = first[near], second[near]
    score = dice(int((a & b).sum()), int(a.sum()) + int(b.sum()))
    if np.array_equal(a, b):
        return 1.0, 0.0
    inside = tuple(slice(n.start - f.start, n.stop - f.start) for n, f in zip(near, far, strict=True))
    surfaces = [_surface(mask[far]) for mask in (first, second)]
    ways = [_to(surfaces[1 - n], surfaces[n], inside, spacing) for n in (0, 1)]
    known = [way for way in ways if way is not None]
    return score or 0.0, float(np.mean(known)) if len(known) == 2 else None


def _grown(box: Box, margins: Sequence[int], shape: Sequence[int]) -> Box:
    return tuple(
        slice(max(part.start - more, 0), min(part.stop + more, size))
        for part, more, size in zip(box, margins, shape, strict=True)
    )


def _surface(mask: np.ndarray) -> np.ndarray:
    """Voxels of the mask that share a face with one outside; the edge of the array is no outline."""
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def _to(target: np.ndarray, source: np.ndarray, inside: Box, spacing: Sequence[float]) -> float | None:
    """Mean distance of the surface voxels `source` in the box to the nearest of `target`."""
    if not target.any() or not source[inside].any():
        return None
    far = ndimage.distance_transform_edt(~target, spacing)
    return float(far[inside][source[inside]].mean())
