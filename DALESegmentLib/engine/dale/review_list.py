"""The review list of several cases: whose labels a model cannot judge, and which contradictions recur.

A network that has hardly learned a class contradicts labels of it everywhere, and a list of that is a list of false
alarms. Two figures tell without the truth, for each class of each case: the network's Dice with the given label, and
the Dice that the network's own probabilities expect of what it draws. Where both are low on most cases, or the first is
very low, the network is too weak to judge labels of that class, and nothing is listed of it.

A whole object that is "missing" or "extra" in the same surroundings in many cases, the dark rim of a lens for instance,
is no row of errors by many annotators: it is the network's error, or a rule that the annotators kept. Such regions
become one row at the end of the list. The same surroundings are

- the edge of the image, with intensities that few labelled objects have, in a tenth of the cases; or
- the edge of the image, or the same place in it, in half of the cases: what most labels lack is a rule.

Parts of outlines are left as they are: on sets where all objects lie in the same place they recur, too, and half of
them are label errors where labels are noisy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

from ..core.errors import checkpoint
from .candidates import most_probable
from .config import ReviewListConfig
from .issues import Region, ranking

DEFAULT = ReviewListConfig()


@dataclass(frozen=True)
class ClassAgreement:
    """Of a network with the given label of one class in one case. dice: of what is labelled and what is most probable;
    expected_dice: of what is most probable and what the probabilities expect to be there; labelled: whether the label
    has any of it."""

    dice: float
    expected_dice: float
    labelled: bool = True


Agreements = Mapping[int, Sequence[ClassAgreement]]
"""By label value, over cases."""


def class_agreement(
    label: np.ndarray, probabilities: np.ndarray, class_values: Sequence[int] | None = None
) -> dict[int, ClassAgreement]:
    """By label value, for the classes that label or network have in a case.

    label: (*grid) the model's classes, 0 for background; probabilities: (K, *grid); class_values: the label value of
    each class. With m the voxels where a class with the probabilities p is the most probable one, the expected Dice is
    2 Σ_m p / (|m| + Σ p).
    """
    values = range(len(probabilities)) if class_values is None else class_values
    model = most_probable(probabilities, np.dtype(np.int32))
    found = {}
    for index in range(1, len(probabilities)):
        checkpoint()
        given, drawn = label == index, model == index
        sizes = int(given.sum()) + int(drawn.sum())
        if sizes:
            p = probabilities[index]
            held, everywhere = float(p[drawn].sum(dtype=float)), float(p.sum(dtype=float))
            expected = 2 * held / (int(drawn.sum()) + everywhere) if drawn.any() else 0.0
            both = int((given & drawn).sum())
            found[int(values[index])] = ClassAgreement(2 * both / sizes, min(expected, 1.0), bool(given.any()))
    return found


def pooled_agreement(
    cases: Iterable[Mapping[int, ClassAgreement]], stored: Agreements | None = None, config: ReviewListConfig = DEFAULT
) -> dict[int, list[ClassAgreement]]:
    """By label value, over the cases whose label has it. Where these are few, what is stored with the model counts as
    well; without that, a single case says nothing: its label may be wrong altogether."""
    pooled: dict[int, list[ClassAgreement]] = {}
    for case in cases:
        for value, one in case.items():
            if one.labelled:
                pooled.setdefault(value, []).append(one)
    for value, earlier in (stored or {}).items():
        if len(pooled.get(value, ())) < config.few_cases:
            pooled.setdefault(value, []).extend(earlier)
    return {value: found for value, found in pooled.items() if len(found) > 1 or (stored or {}).get(value)}


@dataclass(frozen=True)
class WeakClass:
    """A class whose labels a model cannot judge. dice, expected_dice: medians over so many cases."""

    label_value: int
    class_name: str
    cases: int
    dice: float
    expected_dice: float
    unsure: bool

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "sentence": self.sentence}

    @property
    def sentence(self) -> str:
        where = "" if self.cases == 1 else f"on half of {self.cases} cases "
        low = f"is {self.dice:.2f}" if self.cases == 1 else f"is below {max(self.dice, 0.01):.2f}"
        name = self.class_name if self.class_name.startswith("class ") else f"class {self.class_name}"
        unsure = ", and it is unsure of its own outlines" if self.unsure else ""
        return (
            f"The model is too weak to judge labels of {name}: {where}its Dice with the given labels "
            f"{low}{unsure}; train longer or with more cases."
        )


def weak_classes(
    pooled: Agreements, class_names: Mapping[int, str], config: ReviewListConfig = DEFAULT
) -> list[WeakClass]:
    """The classes that a model is too weak to judge labels of, by label value. pooled: see `pooled_agreement`."""
    found = []
    for value in sorted(pooled):
        dice = median(one.dice for one in pooled[value])
        expected = median(one.expected_dice for one in pooled[value])
        weak = dice < config.weak_dice
        unsure = dice < config.enough_dice and expected < config.sure_dice
        if weak or unsure:
            name = class_names.get(value, f"class {value}")
            found.append(WeakClass(value, name, len(pooled[value]), dice, expected, unsure and not weak))
    return found


WHOLE = ("missing", "extra")
"""Suspicions about whole objects."""


@dataclass(frozen=True)
class Surroundings:
    """Of a region. at_edge: whether its box touches the edge of the image; place: its centre as shares of the image's
    size, (i, j(, k)); intensity: the mean of its voxels, in standard deviations from the image's mean."""

    at_edge: bool
    place: tuple[float, ...]
    intensity: float


@dataclass(frozen=True)
class CaseFindings:
    """What a list takes of a case. surroundings: of its whole objects by region_id; labelled: mean intensity of what is
    labelled, as in `Surroundings`, by label value."""

    regions: list[Region]
    surroundings: Mapping[int, Surroundings] = field(default_factory=dict)
    labelled: Mapping[int, float] = field(default_factory=dict)


def find_surroundings(
    regions: Iterable[Region], region_map: np.ndarray, image: np.ndarray, label: np.ndarray
) -> CaseFindings:
    """region_map, label: (*grid), label values; image: (C, *grid), of which the channels' mean counts."""
    count = image[0].size * len(image)
    mean = float(image.sum(dtype=np.float64)) / count
    spread = float(np.mean([float(np.square(c - mean, dtype=np.float64).mean()) for c in image])) ** 0.5 or 1.0

    def intensity(box: tuple[slice, ...], mask: np.ndarray) -> float:
        return (float(np.mean([channel[box][mask].mean(dtype=np.float64) for channel in image])) - mean) / spread

    regions, surroundings = list(regions), {}
    for region in regions:
        checkpoint()
        if region.suspicion in WHOLE:
            corners = list(zip(region.first_voxel, region.last_voxel, label.shape[::-1], strict=True))
            box = tuple(slice(a, b + 1) for a, b, _ in reversed(corners))
            surroundings[region.region_id] = Surroundings(
                any(a == 0 or b == n - 1 for a, b, n in corners),
                tuple((x + 0.5) / n for x, n in zip(region.centre_voxel, label.shape[::-1], strict=True)),
                intensity(box, region_map[box] == region.region_id),
            )
    whole = (slice(None),) * label.ndim
    labelled = {int(v): intensity(whole, label == v) for v in np.unique(label) if v}
    return CaseFindings(regions, surroundings, labelled)


def with_recurring(cases: Sequence[CaseFindings], config: ReviewListConfig = DEFAULT) -> list[Region]:
    """The regions of all cases in one ranking, with one row at the end for those that recur in the same surroundings:
    the one that comes first of them, with in how many cases they were found, in `recurs_in_cases` and `note`."""
    of = {id(region): case.surroundings.get(region.region_id) for case in cases for region in case.regions}
    rows = sorted((region for case in cases for region in case.regions), key=ranking)
    together: list[Region] = []
    for value, suspicion in dict.fromkeys((r.label_value, r.suspicion) for r in rows if r.suspicion in WHOLE):
        places = [
            (region, around)
            for region in rows
            if (region.label_value, region.suspicion) == (value, suspicion) and (around := of[id(region)]) is not None
        ]
        labelled = [case.labelled[value] for case in cases if value in case.labelled]
        for where, group in _recurring(places, labelled, len(cases), config):
            gone = {id(region) for region in group}
            rows = [region for region in rows if id(region) not in gone]
            found = len({region.case for region in group})
            often = f"recurs in {found} of {len(cases)} cases {where}"
            note = f"{often}: probably the model's error or a rule of the annotators"
            together.append(replace(group[0], recurs_in_cases=found, note=note))
    ranked = rows + sorted(together, key=ranking)
    return [replace(region, rank=rank) for rank, region in enumerate(ranked, start=1)]


Placed = list[tuple[Region, Surroundings]]


def _recurring(
    regions: Placed, labelled: Sequence[float], cases: int, config: ReviewListConfig
) -> Iterator[tuple[str, list[Region]]]:
    """Groups of the regions of one kind, with a few words on where they lie. labelled: the intensities of labelled
    objects, one a case that has any."""

    def in_cases(group: Placed, share: float) -> bool:
        return len({region.case for region, _ in group}) >= max(config.recurs_min_cases, share * cases)

    left = regions
    for where, group, share in _at_edge(regions, labelled, config):
        group = [each for each in group if each in left]
        if in_cases(group, share):
            yield where, [region for region, _ in group]
            left = [each for each in left if each not in group]
    while left:
        place = left[0][1].place
        group = [each for each in left if np.abs(np.subtract(each[1].place, place)).max() <= config.recurs_place]
        if in_cases(group, config.recurs_share):
            yield "at the same place in the image", [region for region, _ in group]
        else:
            group = left[:1]
        left = [each for each in left if each not in group]


def _at_edge(
    regions: Placed, labelled: Sequence[float], config: ReviewListConfig
) -> Iterator[tuple[str, Placed, float]]:
    """What lies at the edge of the image, all of it and what is unlike the labelled objects, each with the share of the
    cases in which it has to be found."""
    edge = [(region, at) for region, at in regions if at.at_edge]
    yield "at the edge of the image", edge, config.recurs_share
    if len(labelled) >= config.few_cases:
        low, high = np.quantile(labelled, [config.recurs_unlike, 1 - config.recurs_unlike])
        for word, unlike in (("darker", lambda x: x < low), ("brighter", lambda x: x > high)):
            where = f"at the edge of the image, {word} than what is labelled"
            yield where, [(region, at) for region, at in edge if unlike(at.intensity)], config.recurs_edge_share


def without_weak(case: CaseFindings, weak: Iterable[WeakClass]) -> CaseFindings:
    """Without the regions in which a class is in question that the model cannot judge."""
    values = {one.label_value for one in weak}
    kept = [r for r in case.regions if values.isdisjoint((r.label_value, r.suggested_value))]
    return replace(case, regions=kept)
