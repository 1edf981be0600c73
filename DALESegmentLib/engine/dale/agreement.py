"""How well a model agrees with the labels of each class, and of which it is too weak to judge the labels.

A network that has hardly learned a class contradicts labels of it everywhere, and a list of that is a list of false
alarms. Two figures tell without the truth, for each class of each case: the network's Dice with the given label, and
the Dice that the network's own probabilities expect of what it draws. Where both are low on most cases, or the first is
very low, the network is too weak to judge labels of that class, and nothing is listed of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from ..core.errors import checkpoint
from .candidates import most_probable
from .config import ReviewListConfig

DEFAULT = ReviewListConfig()


@dataclass(frozen=True)
class ClassAgreement:
    """Of a network with the given label of one class in one case. dice: of what is labelled and what is most probable;
    expected_dice: of what is most probable and what the probabilities expect to be there; labelled: whether the label
    has any of it; sizes: voxels of label and network together, 0 where that is not known."""

    dice: float
    expected_dice: float
    labelled: bool = True
    sizes: int = 0

    def without(self, voxels: int) -> ClassAgreement:
        """As if the network had not drawn so many voxels that are not labelled."""
        left = self.sizes - voxels
        return self if left <= 0 else replace(self, dice=min(self.dice * self.sizes / left, 1.0), sizes=left)


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
    classes = len(probabilities)
    given, drawn, both = (np.zeros(classes, np.int64) for _ in range(3))
    held, everywhere = np.zeros(classes), np.zeros(classes)
    for k in range(len(label)) if label.ndim == 3 else [...]:  # slice by slice, for the memory
        checkpoint()
        p, own = probabilities[:, k], label[k].ravel()
        model = most_probable(p, np.dtype(np.int32)).ravel()
        given += np.bincount(own, minlength=classes)
        drawn += np.bincount(model, minlength=classes)
        both += np.bincount(own[own == model], minlength=classes)
        held += np.bincount(model, p.max(0).ravel(), classes)
        everywhere += p.sum(axis=tuple(range(1, p.ndim)), dtype=np.float64)
    found = {}
    for index in range(1, classes):
        sizes = int(given[index] + drawn[index])
        if sizes:
            expected = 2 * held[index] / (drawn[index] + everywhere[index]) if drawn[index] else 0.0
            value = index if class_values is None else int(class_values[index])
            dice = 2 * int(both[index]) / sizes
            found[value] = ClassAgreement(dice, min(float(expected), 1.0), bool(given[index]), sizes)
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
    """A class whose labels a model cannot judge. cases: labels that it was compared with, those stored with the model
    included; dice, expected_dice: medians over these."""

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
        where = "" if self.cases == 1 else f"in half of {self.cases} comparisons "
        low = f"is {self.dice:.2f}" if self.cases == 1 else f"is below {max(self.dice, 0.01):.2f}"
        name = self.class_name if self.class_name.startswith("class ") else f"class {self.class_name}"
        unsure = ", and it is unsure of its own outlines" if self.unsure else ""
        return (
            f"The model is too weak to judge labels of {name}: {where}its Dice with the given labels "
            f"{low}{unsure}; train longer or with more cases."
        )


def weak_classes(
    pooled: Agreements,
    class_names: Mapping[int, str],
    stored: Agreements | None = None,
    config: ReviewListConfig = DEFAULT,
) -> list[WeakClass]:
    """The classes that a model is too weak to judge labels of, by label value. pooled: see `pooled_agreement`. stored:
    the agreement kept with the model; where that is good, and the model is as sure of itself as ever, labels that it
    hardly agrees with are what is to be looked at."""
    found = []
    for value in sorted(pooled):
        dice = median(one.dice for one in pooled[value])
        expected = median(one.expected_dice for one in pooled[value])
        weak = dice < config.weak_dice
        unsure = dice < config.enough_dice and expected < config.sure_dice
        known = (stored or {}).get(value)
        is_good = known and median(one.dice for one in known) >= config.enough_dice and expected >= config.sure_dice
        if (weak or unsure) and not is_good:
            name = class_names.get(value, f"class {value}")
            found.append(WeakClass(value, name, len(pooled[value]), dice, expected, unsure and not weak))
    return found
