"""The review list of several cases: what a model can judge, what recurs, and how many rows are real errors.

A whole object that is "missing" or "extra" in the same surroundings in many cases, the dark rim of a lens for instance,
is no row of errors by many annotators: it is the network's error, or a rule that the annotators kept. Such regions
become one row at the end of the list. The same surroundings are

- the edge of the image, with intensities that few labelled objects have, in a tenth of the cases; or
- the edge of the image, or the same place in it, in half of the cases: what most labels lack is a rule.

A row is a real error where at least half of its voxels are wrong. With the mean confidence c of the row, its odds are

    logit P(real) = β₀ - β₁ logit c + β₂ · median shortfall of the class + β₃ · shortfall of the class in the case,

where the shortfall is the expected Dice less the Dice: a network that agrees with the labels as well as it expects of
itself was given good ones, however much it doubts the outlines' last voxels. The four numbers are fitted to benchmark
cells. What review decided about labels of that confidence (`Recalibration`) is weighed against them by its number.

Parts of outlines are left as they are: on sets where all objects lie in the same place they recur, too, and half of
them are label errors where labels are noisy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import checkpoint
from .agreement import Agreements, ClassAgreement, WeakClass, pooled_agreement, weak_classes
from .config import ReviewListConfig
from .issues import Region, ranking

if TYPE_CHECKING:
    from .quality import Recalibration

DEFAULT = ReviewListConfig()


WHOLE = ("missing", "extra")
"""Suspicions about whole objects."""
MANY_SLICES = 8
"""Along an axis of fewer voxels everything is near the edge, and nothing is told by it."""


@dataclass(frozen=True)
class Surroundings:
    """Of a region. at_edge: whether its box touches the edge of the image; place: its centre as shares of the image's
    size, (i, j(, k)); intensity: the mean of its voxels, in standard deviations from the image's mean."""

    at_edge: bool
    place: tuple[float, ...]
    intensity: float


@dataclass(frozen=True)
class CaseFindings:
    """What a list takes of a case. agreement: see `class_agreement`; surroundings: of its whole objects by region_id;
    labelled: mean intensity of what is labelled, as in `Surroundings`, by label value."""

    regions: list[Region]
    agreement: Mapping[int, ClassAgreement]
    surroundings: Mapping[int, Surroundings]
    labelled: Mapping[int, float]


def find_surroundings(
    regions: Iterable[Region],
    region_map: np.ndarray,
    image: np.ndarray,
    label: np.ndarray,
    agreement: Mapping[int, ClassAgreement],
    class_values: Sequence[int] | None = None,
) -> CaseFindings:
    """region_map, label: (*grid), the model's classes; image: (C, *grid), of which the channels' mean counts;
    class_values: the label value of each class."""
    voxels, sums, mean, spread = _intensities(image, label)

    def inside(region: Region) -> Surroundings:
        corners = list(zip(region.first_voxel, region.last_voxel, label.shape[::-1], strict=True))
        box = tuple(slice(a, b + 1) for a, b, _ in reversed(corners))
        mask = region_map[box] == region.region_id
        own = float(np.mean([channel[box][mask].mean(dtype=np.float64) for channel in image]))
        return Surroundings(
            any(a == 0 or b == n - 1 for a, b, n in corners if n >= MANY_SLICES),
            tuple((x + 0.5) / n for x, n in zip(region.centre_voxel, label.shape[::-1], strict=True)),
            (own - mean) / spread,
        )

    regions = list(regions)
    surroundings = {region.region_id: inside(region) for region in regions if region.suspicion in WHOLE}
    values = range(len(voxels)) if class_values is None else class_values
    means = {c: float(sums[c] / voxels[c]) for c in np.flatnonzero(voxels).tolist() if c}
    labelled = {int(values[c]): (own - mean) / spread for c, own in means.items()}
    return CaseFindings(regions, agreement, surroundings, labelled)


def _intensities(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Voxels of each class, the sums of their intensities, and mean and standard deviation of the image."""
    classes = int(label.max()) + 1
    voxels, sums, squares = np.bincount(label.ravel(), minlength=classes), np.zeros(classes), 0.0
    for channel in image:
        for k in range(len(label)) if label.ndim == 3 else [...]:  # slice by slice, for the memory
            checkpoint()
            plane = channel[k].astype(np.float64)
            sums += np.bincount(label[k].ravel(), plane.ravel(), classes)
            squares += float(np.square(plane).sum())
    mean = float(sums.sum()) / image.size
    spread = max(squares / image.size - mean**2, 0.0) ** 0.5
    return voxels, sums / len(image), mean, spread or 1.0


def with_recurring(cases: Sequence[CaseFindings], config: ReviewListConfig = DEFAULT) -> list[Region]:
    """The regions of all cases in one ranking, with one row at the end for those that recur in the same surroundings:
    the one that comes first of them, with in how many cases they were found, in `recurs_in_cases` and `note`."""
    around = {
        (region.case, region.region_id): case.surroundings[region.region_id]
        for case in cases
        for region in case.regions
        if region.suspicion in WHOLE
    }
    rows = sorted((region for case in cases for region in case.regions), key=ranking)
    together: list[Region] = []
    for value, suspicion in dict.fromkeys((r.label_value, r.suspicion) for r in rows if r.suspicion in WHOLE):
        kind = [r for r in rows if (r.label_value, r.suspicion) == (value, suspicion)]
        labelled = [case.labelled[value] for case in cases if value in case.labelled]
        places = [around[region.case, region.region_id] for region in kind]
        for where, group in _recurring(kind, places, labelled, len(cases), config):
            gone = {id(region) for region in group}
            rows = [region for region in rows if id(region) not in gone]
            found = len({region.case for region in group})
            often = f"recurs in {found} of {len(cases)} cases {where}"
            note = f"{often}: probably the model's error or a rule of the annotators"
            together.append(replace(group[0], recurs_in_cases=found, note=note))
    ranked = rows + sorted(together, key=ranking)
    return [replace(region, rank=rank) for rank, region in enumerate(ranked, start=1)]


def _recurring(
    regions: Sequence[Region],
    surroundings: Sequence[Surroundings],
    labelled: Sequence[float],
    cases: int,
    config: ReviewListConfig,
) -> Iterator[tuple[str, list[Region]]]:
    """Groups of the regions of one kind, with a few words on where they lie. labelled: the intensities of labelled
    objects, one a case that has any."""
    case = np.unique([region.case for region in regions], return_inverse=True)[1]
    free = np.ones(len(regions), bool)

    def in_cases(group: np.ndarray, share: float) -> bool:
        return len(np.unique(case[group])) >= max(config.recurs_min_cases, share * cases)

    for where, group, share in _at_edge(surroundings, labelled, config):
        if in_cases(group & free, share):
            yield where, [regions[n] for n in np.flatnonzero(group & free).tolist()]
            free &= ~group
    if not in_cases(free, config.recurs_share):
        return
    place = np.array([(*each.place, 0.5)[:3] for each in surroundings])  # of pictures, in the middle
    for n in range(len(regions)):
        if not free[n]:
            continue
        group = free & (np.abs(place - place[n]).max(1) <= config.recurs_place)
        if in_cases(group, config.recurs_share):
            yield "at the same place in the image", [regions[i] for i in np.flatnonzero(group).tolist()]
            free &= ~group


def _at_edge(
    surroundings: Sequence[Surroundings], labelled: Sequence[float], config: ReviewListConfig
) -> Iterator[tuple[str, np.ndarray, float]]:
    """What lies at the edge of the image, all of it and what is unlike the labelled objects, as masks, each with the
    share of the cases in which it has to be found."""
    edge = np.array([each.at_edge for each in surroundings])
    intensity = np.array([each.intensity for each in surroundings])
    yield "at the edge of the image", edge, config.recurs_share
    if len(labelled) >= config.few_cases:
        low, high = np.quantile(labelled, [config.recurs_unlike, 1 - config.recurs_unlike])
        for word, unlike in (("darker", intensity < low), ("brighter", intensity > high)):
            where = f"at the edge of the image, {word} than what is labelled"
            yield where, edge & unlike, config.recurs_edge_share


def without_weak(case: CaseFindings, weak: Iterable[WeakClass]) -> CaseFindings:
    """Without the regions in which a class is in question that the model cannot judge."""
    values = {one.label_value for one in weak}
    kept = [r for r in case.regions if values.isdisjoint((r.label_value, r.suggested_value))]
    return replace(case, regions=kept)


@dataclass(frozen=True)
class ReviewList:
    """regions: in the order of the list; too_weak: the classes of which nothing is listed; rows, expected_real: how
    many of the first so many rows are expected to be real label errors."""

    regions: list[Region]
    too_weak: list[WeakClass]
    rows: int
    expected_real: float

    def about(self) -> dict[str, Any]:
        """What is known of the list as a whole, as plain JSON values."""
        expected = {"rows": self.rows, "expected": round(self.expected_real, 2), "sentence": self.sentence}
        return {"too_weak": [weak.as_dict() for weak in self.too_weak], "expected_real": expected}

    @property
    def sentence(self) -> str:
        """ "" where no row was estimated."""
        if not self.rows:
            return ""
        count = round(self.expected_real)
        many = f"about {count} {'is' if count == 1 else 'are'}" if count else "hardly any is"
        where = "Of the first" if self.rows < len(self.regions) else "Of"
        real = "real label errors" if count > 1 else "a real label error"
        return f"{where} {self.rows} region{'' if self.rows == 1 else 's'}, {many} expected to be {real}."


def make_review_list(
    cases: Sequence[CaseFindings],
    class_names: Mapping[int, str],
    stored: Agreements | None = None,
    recalibration: Recalibration | None = None,
    config: ReviewListConfig = DEFAULT,
) -> ReviewList:
    """One list of several cases. stored: the agreement kept with the model; recalibration: what review has found out
    about the confidence."""
    pooled = pooled_agreement((case.agreement for case in cases), stored, config)
    weak = weak_classes(pooled, class_names, stored, config)
    judged = [without_weak(case, weak) for case in cases]
    ranked = with_recurring(judged, config)
    own_rows = {(region.case, region.region_id) for region in ranked if not region.recurs_in_cases}
    agreements = [_without_recurring(case, own_rows) for case in judged]
    pooled = pooled_agreement(agreements, stored, config)
    usual = {value: median(one.expected_dice - one.dice for one in found) for value, found in pooled.items()}
    agreement = {region.case: of for case, of in zip(cases, agreements, strict=True) for region in case.regions}
    regions = []
    for region in ranked:
        if region.recurs_in_cases:
            regions.append(region)
            continue
        own = agreement[region.case].get(region.label_value)
        shortfalls = usual.get(region.label_value, 0.0), own.expected_dice - own.dice if own else 0.0
        real = real_probability(region.mean_confidence, *shortfalls, recalibration, config)
        regions.append(replace(region, real_probability=real))
    estimates = [r.real_probability for r in regions[: config.first_rows] if r.real_probability is not None]
    return ReviewList(regions, weak, len(estimates), sum(estimates))


def _without_recurring(case: CaseFindings, own_rows: set[tuple[str, int]]) -> dict[int, ClassAgreement]:
    """The agreement, had the network not drawn the missing objects that recur: these are no sign of bad labels."""
    agreement = dict(case.agreement)
    for region in case.regions:
        recurs = (region.case, region.region_id) not in own_rows
        if recurs and region.suspicion == "missing" and region.label_value in agreement:
            agreement[region.label_value] = agreement[region.label_value].without(region.voxels)
    return agreement


def real_probability(
    confidence: float,
    class_shortfall: float,
    case_shortfall: float,
    recalibration: Recalibration | None = None,
    config: ReviewListConfig = DEFAULT,
) -> float:
    """That at least half of a region's voxels are wrong, see above. confidence: their mean, recalibrated where review
    has decided anything; *_shortfall: expected Dice less Dice of the region's class."""
    looks, wrong = 0.0, 0.0
    if recalibration is not None and any(recalibration.looks):
        confidence, looks, wrong = _decided(confidence, recalibration)
    c = min(max(confidence, 0.01), 0.99)
    features = 1.0, -np.log(c / (1 - c)), class_shortfall, case_shortfall
    fitted = float(1 / (1 + np.exp(-np.dot(config.real_odds, features))))
    return (config.real_prior_looks * fitted + wrong) / (config.real_prior_looks + looks)


def _decided(recalibrated: float, recalibration: Recalibration) -> tuple[float, float, float]:
    """The confidence before it was recalibrated, and how many decisions there were around it, and how many of them
    found the label wrong. Of knots that were made equal, all decisions."""
    seen, right = np.array(recalibration.looks), np.array(recalibration.right)
    knots = np.linspace(0.0, 1.0, len(seen))
    values, index = np.unique(recalibration.apply(knots), return_inverse=True)
    weight = seen + 1e-6  # where nobody looked, every knot alike

    def at(each: np.ndarray) -> float:
        return float(np.interp(recalibrated, values, each))

    before = np.bincount(index, weight * knots) / np.bincount(index, weight)
    return at(before), at(np.bincount(index, seen)), at(np.bincount(index, seen - right))
