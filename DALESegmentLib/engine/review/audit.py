"""How many label errors are left: an honest estimate from places drawn at random.

The ranked list cannot tell: it shows the worst places first, so that what it finds says nothing about the rest.
Here voxels are drawn with equal chance from those near an outline that nobody has vouched for yet, a reader says
of each whether its label is right, and the share of wrong ones bounds the share among all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EngineError
from ..geometry.distance import boundary_distance

BAND_MM = 10.0  # from an outline; errors farther away are whole objects, which the ranked list is there for


@dataclass(frozen=True)
class ErrorsLeft:
    """Voxels expected to be wrong among `voxels`, and the bounds that hold them with `level` certainty."""

    voxels: int
    wrong: float
    low: float
    high: float
    level: float


def auditable(label: np.ndarray, spacing: Sequence[float], trusted: np.ndarray | None = None) -> np.ndarray:
    """Voxels that an audit is about, (*grid) bool: within 10 mm of an outline, and not trusted.

    label: (*grid); spacing: mm along the array's axes.
    """
    distance, _nearest = boundary_distance(label, spacing, BAND_MM)
    near = np.abs(distance) < BAND_MM
    return near if trusted is None else near & ~np.asarray(trusted, bool)


def draw_places(where: np.ndarray, count: int, seed: int) -> list[tuple[int, ...]]:
    """`count` of the voxels of `where` (*grid), each with the same chance, as (i, j(, k)) indices.

    Raises EngineError "nothing-to-audit" where there are fewer.
    """
    flat = np.flatnonzero(where)
    if len(flat) < count:
        raise EngineError(
            "nothing-to-audit",
            f"Only {len(flat)} voxels near an outline are not confirmed yet, too few for an audit of {count}.",
        )
    chosen = np.random.default_rng(seed).choice(flat, count, replace=False)
    return [tuple(int(n) for n in reversed(np.unravel_index(index, where.shape))) for index in chosen]


def errors_left(wrong: int, looked: int, voxels: int, level: float = 0.95) -> ErrorsLeft:
    """From `wrong` of `looked` places to all `voxels` that they were drawn from; see `share_wrong`."""
    low, high = share_wrong(wrong, looked, level)
    return ErrorsLeft(voxels, voxels * wrong / looked, voxels * low, voxels * high, level)


def share_wrong(wrong: int, looked: int, level: float = 0.95) -> tuple[float, float]:
    """The bounds of the share that is wrong, where `wrong` of `looked` places drawn at random were.

    Clopper and Pearson's interval, which never holds less often than it says; drawing without replacement only
    makes it wider than need be. Raises ValueError for impossible counts.
    """
    from scipy.stats import beta

    if not 0 <= wrong <= looked or looked == 0:
        raise ValueError(f"{wrong} wrong of {looked}")
    tail = (1.0 - level) / 2
    low = beta.ppf(tail, wrong, looked - wrong + 1) if wrong else 0.0
    high = beta.ppf(1 - tail, wrong + 1, looked - wrong) if wrong < looked else 1.0
    return float(low), float(high)
