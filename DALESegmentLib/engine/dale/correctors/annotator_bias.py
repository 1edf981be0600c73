"""Annotator bias: what reviewed voxels in many places say about outlines that nobody has reviewed.

At every reviewed place, the outline as given and as it is now give a shift: the signed distance from the given outline
that best tells the voxels of the class from those of the background. Where an annotator errs by chance, shifts go both
ways; one who always draws too large, or too small, is known by nearly all going one way. Then

    true outline = given outline + offset,   offset = the quartile of the shifts that is nearer to 0

in mm or in radii of the object, whichever varies less. The quartile, not the mean: places were picked because they were
bad, and an outline should move no further than three places in four bear out. A heuristic; that places say nothing
where they disagree is tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy import ndimage, stats

from ...core.errors import checkpoint
from ...geometry.distance import bounding_box, margin_voxels, signed_distance
from ...geometry.objects import components, equivalent_diameter
from ..config import AnnotatorBiasConfig
from ..label_state import NO_PROPOSAL
from .base import Gather, LabelledImage, Predictions, alone

DEFAULT = AnnotatorBiasConfig()
Unit = Literal["mm", "radius"]


@dataclass(frozen=True)
class ReviewedLabel:
    """One case: given, now: (*grid) classes before and after the review; reviewed: (*grid) bool; spacing: mm along the
    axes."""

    given: np.ndarray
    now: np.ndarray
    reviewed: np.ndarray
    spacing: tuple[float, ...]


@dataclass(frozen=True)
class Bias:
    """offset: from the given outline to the true one, negative inwards (given too large); agreeing of `places` were
    moved that way."""

    offset: float
    unit: Unit
    places: int
    agreeing: int

    def describe(self) -> str:
        size = "mm" if self.unit == "mm" else "of the object's radius"
        amount = f"{abs(self.offset):.1f} {size}" if self.unit == "mm" else f"{100 * abs(self.offset):.0f} % {size}"
        direction = "large" if self.offset < 0 else "small"
        return f"{self.agreeing} of {self.places} reviewed places were drawn too {direction}, most by {amount} or more"


@dataclass(frozen=True)
class ContourShift:
    """Of a reviewed stretch of an outline: how far it was moved, outwards positive."""

    moved_mm: float
    moved_radii: float
    finest_mm: float

    @property
    def direction(self) -> int:
        return 0 if abs(self.moved_mm) < self.finest_mm / 2 else int(np.sign(self.moved_mm))


class AnnotatorBias:
    """Undoes the bias that reviewed voxels show in the labels nobody has reviewed. Needs no network.

    bias: None until it is fitted, or where there is none to be told. gather: every process's value from the own one.
    """

    name = "annotator_bias"

    def __init__(self, config: AnnotatorBiasConfig = DEFAULT, gather: Gather = alone) -> None:
        self.config = config
        self.gather = gather
        self.bias: Bias | None = None

    @property
    def is_active(self) -> bool:
        return True

    def fit(self, cases: Iterable[LabelledImage], predictions: Predictions | None = None) -> None:
        """From the cases whose reviewed voxels are known as they were given."""
        told = (_reviewed(case) for case in cases if _tells(case))
        own = [shift for one in told for shift in contour_shifts(one, self.config)]
        self.bias = bias_of([shift for shifts in self.gather(own) for shift in shifts], self.config)

    def propose(self, case: LabelledImage, predictions: Predictions | None = None) -> np.ndarray | None:
        """(*grid) classes where an outline moves, NO_PROPOSAL elsewhere; None without a bias."""
        if self.bias is None:
            return None
        label, reviewed = case.labels.below(self.name).numpy(), case.labels.reviewed.numpy()
        corrected = apply_bias(label, self.bias, case.spacing, reviewed, self.config)
        return np.where(corrected == label, np.asarray(NO_PROPOSAL, label.dtype), corrected)

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"bias": None if self.bias is None else asdict(self.bias)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.bias = None if state["bias"] is None else Bias(**state["bias"])


def correct_bias(
    cases: Sequence[LabelledImage],
    others: Sequence[LabelledImage] = (),
    config: AnnotatorBiasConfig = DEFAULT,
    gather: Gather = alone,
) -> Bias | None:
    """Learn from the reviewed voxels of these cases, and undo in them and in the others, what bias they show; None
    where they show none. Before a training: other correctors build on it. gather: see `AnnotatorBias`."""
    corrector = AnnotatorBias(config, gather)
    corrector.fit(cases)
    for case in (*cases, *others) if corrector.bias is not None else ():
        case.labels.set_proposal(corrector.name, corrector.propose(case))
    return corrector.bias


def _tells(case: LabelledImage) -> bool:
    return case.labels.corrected is not None and bool(case.labels.reviewed.any())


def _reviewed(case: LabelledImage) -> ReviewedLabel:
    labels = case.labels
    now = labels.below(AnnotatorBias.name)
    return ReviewedLabel(labels.given.numpy(), now.numpy(), labels.reviewed.numpy(), case.spacing)


def estimate_bias(reviewed: Iterable[ReviewedLabel], config: AnnotatorBiasConfig = DEFAULT) -> Bias | None:
    """None unless nearly all places say the same."""
    return bias_of([shift for one in reviewed for shift in contour_shifts(one, config)], config)


def bias_of(shifts: Sequence[ContourShift], config: AnnotatorBiasConfig = DEFAULT) -> Bias | None:
    """As `estimate_bias`, of the places themselves."""
    if not shifts:
        return None
    directions = [shift.direction for shift in shifts]
    direction = 1 if directions.count(1) >= directions.count(-1) else -1
    agreeing = directions.count(direction)
    test = stats.binomtest(agreeing, len(shifts), alternative="greater")
    lower = test.proportion_ci(config.interval, method="exact").low
    if lower < config.min_agreement:
        return None
    moved: dict[Unit, np.ndarray] = {
        "mm": np.array([abs(s.moved_mm) for s in shifts if s.direction == direction]),
        "radius": np.array([abs(s.moved_radii) for s in shifts if s.direction == direction]),
    }
    unit = min(moved, key=lambda u: _relative_spread(moved[u]))
    return Bias(direction * float(np.quantile(moved[unit], config.quantile)), unit, len(shifts), agreeing)


def contour_shifts(one: ReviewedLabel, config: AnnotatorBiasConfig = DEFAULT) -> Iterator[ContourShift]:
    """Objects that were missed or invented have no outline on both sides, and are no places."""
    for value in np.unique(one.given[one.given > 0]):
        outline = _Outline.of(one.given, int(value), one.spacing, config.reach)
        if outline is None:
            continue
        given, now = one.given[outline.box], one.now[outline.box]
        known = one.reviewed[outline.box] & np.isin(now, (0, value)) & np.isfinite(outline.distance)
        for box, part in components(known):
            distance, inside = outline.distance[box][part], given[box][part] == value
            if inside.any() and not inside.all():
                moved = _best_cut(distance, now[box][part] == value)
                radius = float(outline.radius[box][part].mean())
                yield ContourShift(moved, moved / radius, min(one.spacing))


def apply_bias(
    label: np.ndarray,
    bias: Bias,
    spacing: Sequence[float],
    reviewed: np.ndarray,
    config: AnnotatorBiasConfig = DEFAULT,
) -> np.ndarray:
    """The label as it would be without the bias; (*grid) classes. Reviewed voxels stay, classes grow into background
    only, and no object vanishes: what is deepest in it is kept."""
    out = label.copy()
    nearest = np.full(label.shape, np.inf)
    for value in np.unique(label[label > 0]):
        outline = _Outline.of(label, int(value), spacing, config.reach)
        if outline is None:
            continue
        limit = bias.offset * (1.0 if bias.unit == "mm" else outline.radius)
        mine, view = label[outline.box] == value, out[outline.box]
        if bias.offset < 0:
            view[mine & (outline.distance >= np.maximum(limit, outline.core))] = 0
        else:
            distance = np.where(label[outline.box] == 0, outline.distance, np.inf)
            grown = (distance < limit) & (distance < nearest[outline.box])
            view[grown] = value
            nearest[outline.box][grown] = distance[grown]
    return np.where(reviewed, label, out)


@dataclass(frozen=True)
class _Outline:
    """Of one class against the background, on `box`. distance: signed mm to it, negative inside, infinite in other
    classes; radius: mm, of the object it belongs to; core: half the depth (negative) of that object."""

    box: tuple[slice, ...]
    distance: np.ndarray
    radius: np.ndarray
    core: np.ndarray

    @staticmethod
    def of(label: np.ndarray, value: int, spacing: Sequence[float], reach_radii: float) -> _Outline | None:
        sampling = tuple(spacing)
        reach = reach_radii * equivalent_diameter(int((label == value).sum()), sampling) / 2
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
