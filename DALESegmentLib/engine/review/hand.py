"""The annotator's hand: what corrections in many places say about outlines nobody has corrected.

At every place that was looked at, the outline as drawn and as it is now give a displacement: the signed distance from
the drawn outline that best tells the voxels of the class from those of the background. Where the hand errs by chance,
displacements go both ways; one that always draws too large, or too small, is known by nearly all going one way. Then

    true outline = drawn outline + offset,   offset = the quartile of the displacements that is nearer to 0

in mm or in radii of the object, whichever varies less. The quartile, not the mean: places were picked because they were
bad, and an outline should move no further than three places in four bear out. A heuristic; that places say nothing
where they disagree is tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage, stats

from ..cancel import checkpoint
from ..geometry.distance import bounding_box, margin_voxels, signed_distance
from ..geometry.objects import components, equivalent_diameter

SAME_WAY = 0.8
"""The share of places moved one way must be this large at least, by its 95 % interval: 16 places, if all are."""
REACH = 1.5
"""Radii from an object within which a hand can have misdrawn its outline."""
Unit = Literal["mm", "radius"]


@dataclass(frozen=True)
class Reviewed:
    """One case: given, now: (*grid) classes before and after the review; trusted: (*grid) bool; sampling: mm along the
    axes."""

    given: np.ndarray
    now: np.ndarray
    trusted: np.ndarray
    sampling: tuple[float, ...]


@dataclass(frozen=True)
class Hand:
    """offset: from the drawn outline to the true one, negative inwards (drawn too large); agreeing of `places` were
    moved that way."""

    offset: float
    unit: Unit
    places: int
    agreeing: int

    def describe(self) -> str:
        size = "mm" if self.unit == "mm" else "of the object's radius"
        amount = f"{abs(self.offset):.1f} {size}" if self.unit == "mm" else f"{100 * abs(self.offset):.0f} % {size}"
        way = "large" if self.offset < 0 else "small"
        return f"{self.agreeing} of {self.places} reviewed places were drawn too {way}, most by {amount} or more"


@dataclass(frozen=True)
class Place:
    """A stretch of outline somebody looked at: how far it was moved, outwards positive."""

    moved_mm: float
    moved_radii: float
    finest_mm: float

    @property
    def way(self) -> int:
        return 0 if abs(self.moved_mm) < self.finest_mm / 2 else int(np.sign(self.moved_mm))


def learn_hand(reviewed: Iterable[Reviewed]) -> Hand | None:
    """None unless nearly all places say the same."""
    places = [place for one in reviewed for place in places_of(one)]
    if not places:
        return None
    ways = [place.way for place in places]
    way = 1 if ways.count(1) >= ways.count(-1) else -1
    agreeing = ways.count(way)
    sure = stats.binomtest(agreeing, len(places)).proportion_ci(0.95, method="wilson").low
    if sure < SAME_WAY:
        return None
    moved: dict[Unit, np.ndarray] = {
        "mm": np.array([abs(p.moved_mm) for p in places if p.way == way]),
        "radius": np.array([abs(p.moved_radii) for p in places if p.way == way]),
    }
    unit = min(moved, key=lambda u: _relative_spread(moved[u]))
    return Hand(way * float(np.quantile(moved[unit], 0.25)), unit, len(places), agreeing)


def places_of(one: Reviewed) -> Iterator[Place]:
    """Objects that were missed or invented have no outline on both sides, and are no places."""
    for value in np.unique(one.given[one.given > 0]):
        outline = _Outline.of(one.given, int(value), one.sampling)
        if outline is None:
            continue
        given, now = one.given[outline.box], one.now[outline.box]
        known = one.trusted[outline.box] & np.isin(now, (0, value)) & np.isfinite(outline.distance)
        for box, part in components(known):
            distance, inside = outline.distance[box][part], given[box][part] == value
            if inside.any() and not inside.all():
                moved = _best_cut(distance, now[box][part] == value)
                radius = float(outline.radius[box][part].mean())
                yield Place(moved, moved / radius, min(one.sampling))


def redraw(label: np.ndarray, hand: Hand, sampling: Sequence[float], trusted: np.ndarray) -> np.ndarray:
    """The label as it would be had the hand not erred; (*grid) classes. Trusted voxels stay, classes grow into
    background only, and no object vanishes: what is deepest in it is kept."""
    out = label.copy()
    nearest = np.full(label.shape, np.inf)
    for value in np.unique(label[label > 0]):
        outline = _Outline.of(label, int(value), sampling)
        if outline is None:
            continue
        limit = hand.offset * (1.0 if hand.unit == "mm" else outline.radius)
        mine, view = label[outline.box] == value, out[outline.box]
        if hand.offset < 0:
            view[mine & (outline.distance >= np.maximum(limit, outline.core))] = 0
        else:
            distance = np.where(label[outline.box] == 0, outline.distance, np.inf)
            grown = (distance < limit) & (distance < nearest[outline.box])
            view[grown] = value
            nearest[outline.box][grown] = distance[grown]
    return np.where(trusted, label, out)


@dataclass(frozen=True)
class _Outline:
    """Of one class against the background, on `box`. distance: signed mm to it, negative inside, infinite in other
    classes; radius: mm, of the object it belongs to; core: half the depth (negative) of that object."""

    box: tuple[slice, ...]
    distance: np.ndarray
    radius: np.ndarray
    core: np.ndarray

    @staticmethod
    def of(label: np.ndarray, value: int, sampling: Sequence[float]) -> _Outline | None:
        sampling = tuple(sampling)
        reach = REACH * equivalent_diameter(int((label == value).sum()), sampling) / 2
        box = bounding_box(label == value, margin_voxels(reach, sampling))
        assert box is not None
        mine, background = label[box] == value, label[box] == 0
        if not background.any():
            return None
        checkpoint()
        outside = np.where(background, signed_distance(mine, sampling), np.inf)
        distance = np.where(mine, -signed_distance(background, sampling), outside)
        nearest = ndimage.distance_transform_edt(~mine, sampling, return_distances=False, return_indices=True)
        checkpoint()
        objects, count = ndimage.label(mine, np.ones((3,) * mine.ndim))
        sizes = np.bincount(objects.ravel(), minlength=count + 1)
        radii = np.array([equivalent_diameter(max(int(n), 1), sampling) / 2 for n in sizes])
        deepest = np.concatenate([[0.0], ndimage.minimum(distance, objects, np.arange(1, count + 1))])
        owner = objects[tuple(nearest)]
        return _Outline(box, distance, radii[owner], deepest[owner] / 2)


def _best_cut(distance: np.ndarray, inside: np.ndarray) -> float:
    """The distance below which voxels are best called inside; of several equally good ones the nearest to 0.

    distance: (N,) mm; inside: (N,) bool.
    """
    order = np.argsort(distance, kind="stable")
    d, y = distance[order], inside[order]
    wrong = np.concatenate([[0], np.cumsum(~y)]) + np.concatenate([np.cumsum(y[::-1])[::-1], [0]])
    edges = np.concatenate([[d[0] - 1e-6], (d[1:] + d[:-1]) / 2, [d[-1] + 1e-6]])
    between = np.concatenate([[True], d[1:] > d[:-1] + 1e-5, [True]])
    cuts, wrong = edges[between], wrong[between]
    best = cuts[wrong == wrong.min()]
    return float(best[np.argmin(np.abs(best))])


def _relative_spread(values: np.ndarray) -> float:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float((high - low) / max(middle, 1e-6))
