"""Several raters' labels of the same images: their consensus, and each rater's bias and noise against it.

The consensus outline lies in the middle of the raters': a voxel is inside where the median of their signed distances is
negative. With an odd number of raters that is their majority vote; with an even one a tie is decided by where the
outline between the two middle raters runs, while a vote of "at least half" would draw everything too large.

Of outlines alone nobody can tell a bias that all raters have in common; a bias is one against the consensus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from ..core.errors import checkpoint
from ..geometry.distance import bounding_box, signed_distance
from ..geometry.grid import Unit
from .reader_agreement import figure, mean
from .segmentation import SHORT, mean_dice

ENOUGH_RATERS = 3
"""From which on the middle of the raters' outlines is a consensus; of two it is halfway between them."""
MARGIN = 2
"""Voxels around all outlines; beyond, everybody agrees."""


@dataclass(frozen=True)
class Consensus:
    """label: (*grid) classes, negative where any rater annotated nothing; distances: (*grid of `box`) mm to the outline
    of each class, negative inside, by class: finer than the label, whose outline runs between voxels."""

    label: np.ndarray
    box: tuple[slice, ...]
    distances: Mapping[int, np.ndarray]

    @staticmethod
    def of_raters(labels: Sequence[np.ndarray], spacing: Sequence[float]) -> Consensus:
        """The middle of the raters' outlines.

        labels: (*grid) whole numbers of each rater, negative where that one annotated nothing; spacing: mm along the
        axes. An empty label counts as one: that rater saw nothing there. Of several classes the deepest wins.
        """
        label = np.zeros(labels[0].shape, np.int32)
        box, distances = _around(np.any([each > 0 for each in labels], axis=0)), {}
        own = [each[box] for each in labels]
        far = float(np.linalg.norm(np.array(own[0].shape) * spacing))
        nearest = np.zeros(own[0].shape, np.float32)
        for value in np.unique(np.stack(own)):
            if value <= 0:
                continue
            checkpoint()
            signed = [np.clip(signed_distance(each == value, spacing), -far, far) for each in own]
            middle = np.median(signed, axis=0)
            distances[int(value)] = middle
            inside = middle < nearest
            label[box][inside], nearest[inside] = value, middle[inside]
        label[np.any([each < 0 for each in labels], axis=0)] = -1
        return Consensus(label, box, distances)

    @staticmethod
    def of_label(label: np.ndarray, spacing: Sequence[float], others: Sequence[np.ndarray] = ()) -> Consensus:
        """What is taken for one, for instance a model's classes. others: (*grid) labels to be compared with it."""
        box = _around(np.any([each > 0 for each in (label, *others)], axis=0))
        values = np.unique(label[box])
        distances = {int(v): signed_distance(label[box] == v, spacing) for v in values[values > 0]}
        return Consensus(label, box, distances)


def consensus_label(labels: Sequence[np.ndarray], spacing: Sequence[float]) -> np.ndarray:
    """(*grid) classes, see `Consensus.of_raters`."""
    return Consensus.of_raters(labels, spacing).label


def _around(mask: np.ndarray) -> tuple[slice, ...]:
    """A box that holds the mask and MARGIN voxels more; of an empty one its first voxel."""
    return bounding_box(mask, MARGIN) or (slice(0, 1),) * mask.ndim


class ContourMoments(NamedTuple):
    """Over the places of two outlines: mean and variance of how far one lies outside the other, in mm and mm²."""

    mean: float
    variance: float


def contour_moments(
    label: np.ndarray, distance: np.ndarray, spacing: Sequence[float], left_out: np.ndarray | None = None
) -> ContourMoments | None:
    """How far the outline of a mask lies outside another, place by place.

    label: (*grid) bool; distance: (*grid) mm to the other outline, negative inside; spacing: mm along the axes. At both
    layers of voxels that meet at an outline, the distance to the other less that to the label's own; the places of
    either outline count as much as those of the other, those in `left_out`, (*grid) bool, not at all. None where one of
    the masks is empty, fills the grid, or has no place left.
    """
    other = distance < 0
    if not label.any() or not other.any() or label.all() or other.all():
        return None
    outside = distance.astype(float) - signed_distance(label, spacing)
    counted = np.ones(label.shape, bool) if left_out is None else ~left_out
    places = [outside[_surface(mask) & counted] for mask in (label, other)]
    if not all(len(values) and np.isfinite(values).all() for values in places):
        return None
    first, second = (float(np.mean([(values**power).mean() for values in places])) for power in (1, 2))
    return ContourMoments(first, max(second - first**2, 0.0))


def _surface(mask: np.ndarray) -> np.ndarray:
    """Both layers of voxels that meet at the mask's outline; the edge of the array is none."""
    inner = mask & ~ndimage.binary_erosion(mask, border_value=1)
    outer: np.ndarray = inner | (~mask & ndimage.binary_dilation(mask))
    return outer


@dataclass(frozen=True)
class RatedCase:
    """One rater's label of one case. outlines: of each class that both the rater and the consensus have; dice: mean
    over classes, None where neither has any; left_out, alone: whether the rater drew nothing of a class of the
    consensus, and something of a class that it has nothing of; confidence: mean label confidence, where it is known."""

    rater: str
    case: str
    outlines: tuple[ContourMoments, ...]
    dice: float | None
    left_out: bool
    alone: bool
    confidence: float | None = None


def rated_case(
    rater: str,
    case: str,
    label: np.ndarray,
    consensus: Consensus,
    spacing: Sequence[float],
    confidence: float | None = None,
) -> RatedCase:
    """label: (*grid) whole numbers; where it or the consensus is negative no class is compared. Outlines are compared
    where they meet the background: between two classes one's gain is the other's loss."""
    known = (label >= 0) & (consensus.label >= 0)
    label, agreed_label = np.where(known, label, 0), np.where(known, consensus.label, 0)
    drawn, agreed = (set(np.unique(values[values > 0]).tolist()) for values in (label, agreed_label))
    both = [values[consensus.box] for values in (label, agreed_label)]
    outlines = []
    for value in sorted(drawn & agreed):
        others = np.any([(part > 0) & (part != value) for part in both], axis=0)
        beside = ndimage.binary_dilation(others, iterations=2)
        found = contour_moments(both[0] == value, consensus.distances[value], spacing, beside)
        outlines += [found] if found is not None else []
    dice = mean_dice(label, agreed_label)
    return RatedCase(rater, case, tuple(outlines), dice, bool(agreed - drawn), bool(drawn - agreed), confidence)


def rater_rows(rated: Iterable[RatedCase], unit: Unit = "mm") -> list[dict[str, Any]]:
    """A row a rater, in the order they come in: cases; bias, + where the rater draws larger than the consensus, with a
    95 % interval over cases (bootstrap, see `reader_agreement.figure`); noise: root mean square of what is left of the
    distances without the bias, over places and cases; mean Dice; cases where a class was left out, or drawn alone;
    mean confidence. Lengths are in mm, or in pixels as the names say; what is not known is None."""
    groups: dict[str, list[RatedCase]] = {}
    for one in rated:
        groups.setdefault(one.rater, []).append(one)
    return [_row(rater, cases, SHORT[unit]) for rater, cases in groups.items()]


def _row(rater: str, cases: Sequence[RatedCase], short: str) -> dict[str, Any]:
    known = {c.case: [float(np.mean([o.mean for o in c.outlines]))] for c in cases if c.outlines}
    bias = figure(known, mean)
    places = [o for c in cases for o in c.outlines]
    noise = None
    if bias.value is not None:
        noise = float(np.sqrt(np.mean([o.variance + (o.mean - bias.value) ** 2 for o in places])))
    return {
        "rater": rater,
        "cases": len(cases),
        f"bias_{short}": bias.value,
        f"low_{short}": bias.low,
        f"high_{short}": bias.high,
        f"noise_{short}": noise,
        "dice": mean([c.dice for c in cases if c.dice is not None]),
        "left_out": sum(c.left_out for c in cases),
        "drawn_alone": sum(c.alone for c in cases),
        "confidence": mean([c.confidence for c in cases if c.confidence is not None]),
    }


def rater_sentence(row: dict[str, Any], name: str) -> str:
    """A row of `rater_rows` in words. name: as the rater is to be called."""
    short = "mm" if "bias_mm" in row else "px"
    bias, low, high, noise = (row[f"{what}_{short}"] for what in ("bias", "low", "high", "noise"))
    said = [f"{name} drew {row['cases']} case{'' if row['cases'] == 1 else 's'}"]
    if bias is not None:
        interval = "" if low is None else f" (95 % interval {low:+.2f} to {high:+.2f})"
        said += [f"bias {bias:+.2f} {short}{interval}", f"noise {noise:.2f} {short}"]
    said += [] if row["dice"] is None else [f"Dice with the consensus {row['dice']:.3f}"]
    said += [] if row["confidence"] is None else [f"mean confidence {row['confidence']:.2f}"]
    said += [f"left something out in {row['left_out']}"] if row["left_out"] else []
    said += [f"drew something alone in {row['drawn_alone']}"] if row["drawn_alone"] else []
    return ", ".join(said) + "."
