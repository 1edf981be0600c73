"""What of DALE is switched on, and its numbers.

Standard library only. pydantic reads these dataclasses as parts of its models: it refuses fields that there are none of
and applies the bounds in the fields' metadata, which `__post_init__` holds for everybody else.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

Bounds = tuple[float, float]

_STRICT = {"extra": "forbid"}
_WORDS = {
    "ge": ("greater than or equal to", operator.ge),
    "gt": ("greater than", operator.gt),
    "le": ("less than or equal to", operator.le),
    "lt": ("less than", operator.lt),
}
"""pydantic's names of bounds, with its words."""


def _bounded(default: float, description: str | None = None, **bounds: float) -> Any:
    """A field with bounds by pydantic's names."""
    return field(default=default, metadata=bounds | ({} if description is None else {"description": description}))


@dataclass(frozen=True)
class ImageEvidenceConfig:
    """The numbers of `correctors.image_evidence`. "Chosen" says: by hand, while looking at the training and test cases
    of LIDC and PH2 with simulated noise; other patients had no part in it."""

    __pydantic_config__: ClassVar = _STRICT

    boundary_prior: float = 6.0
    """Log-odds that move an outline by one radius. Chosen."""
    core_margin: float = 0.1
    """Radii from both outlines beyond which label and network are taken to be right. Chosen."""
    core_margin_voxels: float = 2.5
    """The least of that margin, in voxels: an edge of voxels is uncertain by one or two."""
    search_band: float = 0.5
    """Radii around an object from which its surroundings are learned. Chosen: further away lies other anatomy."""
    search_band_voxels: float = 10.0
    """The least of that band, in voxels: small objects need enough voxels around them."""
    dispute_band: float = 0.15
    """Radii from the middle between both outlines in which disputes are counted, where either may be right. Chosen."""
    smoothing: tuple[float, ...] = (1.0, 2.0)
    """Voxels (of the finest spacing) by which the intensities are smoothed. Chosen."""
    min_voxels: int = 8
    """With fewer voxels inside or outside nothing is learned of a case: there are about as many weights."""
    max_log_odds: float = 5.0
    """Largest log-odds of a voxel (odds of 148), so that no single intensity decides. Chosen."""
    penalty: float = 5.0
    """Weighs the squared weights, of features with unit variance, against the sum of the voxels' log-losses. Chosen."""
    separable: Bounds = (0.90, 0.98)
    """Balanced accuracy at which a case's intensities begin to count, and at which they count in full. Chosen."""
    preference: Bounds = (0.62, 0.72)
    """The same for `preference_auc`. Chosen, between good labels and spoiled ones."""
    systematic_ratio: float = 0.75
    """Mean over spread of the logs of the size ratios beyond which outlines are moved one way. Chosen on an averaged
    brain, whose outlines all grew."""
    min_shift: float = 0.1
    """Mean of the logs of the size ratios up to which they are not: a tenth of the size. Chosen."""
    min_cases: int = 5
    """With fewer cases that say something nobody can tell whether they all say the same."""
    min_disputes: int = 100
    """Voxels in dispute either way without which no preference is known: its standard error would exceed 0.04."""
    histogram_bins: int = 41
    """Of the log-odds, by which disputes are counted: a quarter each, one of them around 0."""
    max_fitted: int = 5000
    """Voxels of each side, about, that the regression is fitted to: it has a handful of weights."""


@dataclass(frozen=True)
class MissedObjectsConfig:
    """The numbers of `correctors.missed_objects`, chosen by hand while looking at three sets (LIDC, PH2, hippocampus)
    with simulated noise."""

    __pydantic_config__: ClassVar = _STRICT

    min_precision: float = 0.95
    """Share of the objects found in labelled cases that must be labelled: one in twenty may be invented."""
    min_detection_rate: float = 0.5
    """Share of the cases without a label in which more must be found; else nothing is meant to be there mostly."""
    min_cases: int = 5
    """With fewer labelled cases, or objects found in them, nobody can tell whether the network can be believed."""
    smallest_percentile: float = 5.0
    """Of the labelled objects' sizes, from which the smallest credible size follows: the smallest are often debris."""
    size_factor: float = 0.5
    """Objects count from this share of that size on: a network may outline them smaller."""


@dataclass(frozen=True)
class AnnotatorBiasConfig:
    """The numbers of `correctors.annotator_bias`, chosen by hand with one simulated bias."""

    __pydantic_config__: ClassVar = _STRICT

    min_agreement: float = 0.8
    """Share of the places moved one way, by the lower end of its interval: 16 places, if all are."""
    interval: float = 0.95
    """Level of that interval (Wilson's); the usual one."""
    reach: float = 1.5
    """Radii from an object within which its outline can have been misdrawn: further away lies another object."""
    quantile: float = 0.25
    """Of the displacements, the one that is undone: three places in four bear it out."""


@dataclass(frozen=True)
class CrossFittingConfig:
    """The numbers of `training.cross_fitting`, chosen on training cases of LIDC, PH2 and hippocampus."""

    __pydantic_config__: ClassVar = _STRICT

    min_cases: int = 10
    """With fewer than half as many in a half nothing is compared: the error of a mean would be as large as what is to
    be found. A patient with many cases can leave a half with few."""
    refine: bool = True
    """Whether refinement is tried; without it the length alone is decided, and the training is plain."""
    level: float = 0.05
    """p-value below which a difference over unseen cases counts; the usual one."""
    evaluations: int = 20
    """Of the agreement along a training, at most."""
    long_past: float = 0.001
    """p-value of the agreement lying below its best, twice as late, from where a training is no longer followed."""
    windows: int = 8
    """Of a case, at most, on which agreement is computed: as many steps as that cost."""
    cases: int = 40
    """Of each half, at most, on which agreement is computed: the error of a mean is then near a point."""
    time_share: float = 0.5
    """Of a time budget, at most, for all trainings on halves together."""


@dataclass(frozen=True)
class DaleConfig:
    """The switches of the method's parts and their constants; the defaults are meant to be kept.

    Raises ValueError where a number lies outside its bounds, where a switch is neither True nor False, or where no
    voxel would have a weight.

    cross_fitting: first find out on unseen cases whether refinement helps, and when to stop (off: always refine).
    confidence: weigh fuzzy voxels by label confidence (off: by 0).
    consistency: confidence needs today's loss and its history to agree (off: today's alone).
    partition: tell fuzzy from stable voxels (off: label confidence weighs every untrusted voxel, in every step).
    alternation: stable and fuzzy steps in turn (off: every step is a fuzzy step).
    alignment: draw the features of fuzzy voxels towards those of stable ones.
    image_evidence: refine outlines where the images side with the network against the labels. Off by default: it cost
        up to ten Dice points on patients that its constants had not been chosen on.
    missed_objects: learn objects that the labels of some cases lack.
    bias_correction: undo elsewhere the systematic bias that reviewed voxels show.
    """

    __pydantic_config__: ClassVar = _STRICT

    cross_fitting: bool = False
    confidence: bool = True
    consistency: bool = True
    partition: bool = True
    alternation: bool = True
    alignment: bool = True
    image_evidence: bool = False
    missed_objects: bool = True
    bias_correction: bool = True

    memory: float = _bounded(0.9, "share of the old disagreement kept at an update", ge=0.0, le=0.9)
    temperature: float = _bounded(1.0, "T of the label confidence", gt=0.0)
    sharpness: float = _bounded(0.05, "T_f of the soft partition", gt=0.0)
    lowest_threshold: float = _bounded(0.8, "disagreement below this is never fuzzy", ge=0.0, le=1.0)
    largest_fuzzy_share: float = _bounded(0.3, "of the voxels of a class", gt=0.0, le=1.0)
    warm_up: float = _bounded(0.5, "share of the training that is plain at most", ge=0.0, lt=1.0)
    alignment_weight: float = _bounded(0.01, ge=0.0)
    alignment_start: float = _bounded(0.6, "share of the training before alignment", ge=0.0, le=1.0)

    image_evidence_config: ImageEvidenceConfig = ImageEvidenceConfig()
    missed_objects_config: MissedObjectsConfig = MissedObjectsConfig()
    annotator_bias_config: AnnotatorBiasConfig = AnnotatorBiasConfig()
    cross_fitting_config: CrossFittingConfig = CrossFittingConfig()

    @property
    def alternates(self) -> bool:
        """Without a partition no voxel is stable, and there is nothing to take turns with."""
        return self.alternation and self.partition

    def __post_init__(self) -> None:
        for one in fields(self):
            _check(one.name, getattr(self, one.name), one.metadata)
            if isinstance(one.default, bool) and not isinstance(getattr(self, one.name), bool):
                raise ValueError(f"{one.name} is {getattr(self, one.name)!r}, but it should be True or False")
        if not (self.partition or self.confidence):
            raise ValueError("without partition and confidence no voxel has a weight; keep one of them, or train plain")


def _check(name: str, value: Any, bounds: Mapping[str, Any]) -> None:
    """Raises ValueError where a field lies outside its bounds."""
    for kind, (words, holds) in _WORDS.items():
        if kind not in bounds:
            continue
        if not isinstance(value, (int, float)):
            raise ValueError(f"{name} is {value!r}, but it should be a number")
        if not holds(value, bounds[kind]):
            raise ValueError(f"{name} is {value!r}, but it should be {words} {bounds[kind]:g}")
