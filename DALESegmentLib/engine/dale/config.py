"""What of DALE is switched on, and the numbers that steer the method, each with what it does and how it was chosen.

"By hand" says: chosen by hand and not tuned further. Limits of memory and time, and what keeps a division or a
logarithm finite, stand where they are used. Standard library only. pydantic reads these dataclasses as parts of its
models: it refuses fields that there are none of and applies the bounds in the fields' metadata.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

STRICT = {"extra": "forbid"}
_WORDS = {
    "ge": ("greater than or equal to", operator.ge),
    "gt": ("greater than", operator.gt),
    "le": ("less than or equal to", operator.le),
    "lt": ("less than", operator.lt),
}
"""pydantic's names of bounds, with its words."""


def bounded(default: float, description: str | None = None, **bounds: float) -> Any:
    """A field with bounds by pydantic's names."""
    return field(default=default, metadata=bounds | ({} if description is None else {"description": description}))


class CheckedConfig:
    """Raises ValueError where a number lies outside its bounds, or a switch is neither True nor False."""

    def __post_init__(self) -> None:
        for one in fields(self):  # type: ignore[arg-type]
            value = getattr(self, one.name)
            wrong = f"{one.name} is {value!r}, but it should be"
            for kind, (words, holds) in _WORDS.items():
                if kind in one.metadata and not isinstance(value, (int, float)):
                    raise ValueError(f"{wrong} a number")
                if kind in one.metadata and not holds(value, one.metadata[kind]):
                    raise ValueError(f"{wrong} {words} {one.metadata[kind]:g}")
            switch, is_switch = isinstance(one.default, bool), isinstance(value, bool)
            if switch and not is_switch:
                raise ValueError(f"{wrong} True or False")
            if isinstance(one.default, int) and not switch and (is_switch or not isinstance(value, int)):
                raise ValueError(f"{wrong} a whole number")


@dataclass(frozen=True)
class ImageEvidenceConfig(CheckedConfig):
    """The numbers of `correctors.image_evidence`. "Chosen" says: by hand, while looking at the training and test cases
    of LIDC and PH2 with simulated noise; other patients had no part in it."""

    __pydantic_config__: ClassVar = STRICT

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
    min_voxels: int = bounded(8, ge=1)
    """With fewer voxels inside or outside nothing is learned of a case: there are about as many weights."""
    max_log_odds: float = bounded(5.0, gt=0.0)
    """Largest log-odds of a voxel (odds of 148), so that no single intensity decides. Chosen."""
    penalty: float = bounded(5.0, ge=0.0)
    """Weighs the squared weights, of features with unit variance, against the sum of the voxels' log-losses. Chosen."""
    separable: tuple[float, float] = (0.90, 0.98)
    """Balanced accuracy at which a case's intensities begin to count, and at which they count in full. Chosen."""
    preference: tuple[float, float] = (0.62, 0.72)
    """The same for `preference_auc`. Chosen, between good labels and spoiled ones."""
    systematic_ratio: float = 0.75
    """Mean over spread of the logs of the size ratios beyond which outlines are moved one way. Chosen on an averaged
    brain, whose outlines all grew."""
    min_shift: float = 0.1
    """Mean of the logs of the size ratios up to which they are not: a tenth of the size. Chosen."""
    min_cases: int = bounded(5, ge=1)
    """With fewer cases that say something nobody can tell whether they all say the same."""
    min_disputes: int = bounded(100, ge=1)
    """Voxels in dispute either way without which no preference is known: its standard error would exceed 0.04."""
    histogram_bins: int = bounded(41, ge=1)
    """Of the log-odds, by which disputes are counted: a quarter each, one of them around 0."""
    max_fitted: int = bounded(5000, ge=1)
    """Voxels of each side, about, that the regression is fitted to: it has a handful of weights."""


@dataclass(frozen=True)
class MissedObjectsConfig(CheckedConfig):
    """The numbers of `correctors.missed_objects`, chosen by hand while looking at three sets (LIDC, PH2, hippocampus)
    with simulated noise."""

    __pydantic_config__: ClassVar = STRICT

    min_precision: float = 0.95
    """Share of the objects found in labelled cases that must be labelled: one in twenty may be invented."""
    min_detection_rate: float = 0.5
    """Share of the cases without a label in which more must be found; else nothing is meant to be there mostly."""
    min_cases: int = bounded(5, ge=1)
    """With fewer labelled cases, or objects found in them, nobody can tell whether the network can be believed."""
    smallest_percentile: float = bounded(5.0, ge=0.0, le=100.0)
    """Of the labelled objects' sizes, from which the smallest credible size follows: the smallest are often debris."""
    size_factor: float = 0.5
    """Objects count from this share of that size on: a network may outline them smaller."""


@dataclass(frozen=True)
class AnnotatorBiasConfig(CheckedConfig):
    """The numbers of `correctors.annotator_bias`, chosen by hand with one simulated bias."""

    __pydantic_config__: ClassVar = STRICT

    min_agreement: float = 0.8
    """Share of the places moved one way, by the lower end of its interval: 14 places, if all are."""
    interval: float = bounded(0.95, gt=0.0, lt=1.0)
    """Level of that interval (one-sided, exact, Clopper and Pearson's); the usual one."""
    reach: float = 1.5
    """Radii from an object within which its outline can have been misdrawn: further away lies another object."""
    quantile: float = bounded(0.25, ge=0.0, le=1.0)
    """Of the displacements, the one that is undone: three places in four bear it out."""


@dataclass(frozen=True)
class CrossFittingConfig(CheckedConfig):
    """The numbers of `training.early_stopping` and `training.cross_fitting`, chosen on training cases of LIDC, PH2 and
    hippocampus."""

    __pydantic_config__: ClassVar = STRICT

    min_looks: float = bounded(100.0, ge=0.0)
    """Times that a voxel is drawn on the average, up to which no training is followed: none had memorised by then."""
    min_validation: int = bounded(10, ge=2)
    """Validation cases from which on they are followed; with fewer, folds of the training cases are."""
    folds: int = bounded(3, ge=2)
    """Parts of the training cases, each unseen by one network. Halves are much less to learn from, another training."""
    min_cases: int = bounded(12, ge=2)
    """With fewer in all folds nothing is compared: the error of a mean would be as large as what is to be found. A
    patient with many cases can leave a fold with few: half of its share is enough."""
    level: float = bounded(0.05, ge=0.0, le=1.0)
    """p-value below which a difference over unseen cases counts; the usual one."""
    evaluations: int = bounded(20, ge=1)
    """Of the agreement along a training, at most."""
    long_past: float = bounded(0.01, ge=0.0, le=1.0)
    """p-value of the agreement lying below its best, twice as late, from where a training is no longer followed."""
    windows: int = bounded(8, ge=1)
    """Of a case, at most, on which agreement is computed: as many steps as that cost."""
    cases: int = bounded(40, ge=1)
    """Of each fold, at most, on which agreement is computed: the error of a mean is then near a point."""
    time_share: float = bounded(0.5, gt=0.0, lt=1.0)
    """Of a time budget, at most, for all trainings on folds together."""


@dataclass(frozen=True)
class LabelQualityConfig(CheckedConfig):
    """The numbers of `quality`."""

    __pydantic_config__: ClassVar = STRICT

    agreement_log_odds: float = bounded(4.0, ge=0.0)
    """Of a label that the network shares being right, a radius and more from any outline (odds of 55). By hand."""
    calibration_slope: float = bounded(0.46, gt=0.0)
    """Platt's A: a network's doubt says less than half of what it claims. This and B are fitted to training cases of
    LIDC, PH2 and hippocampus with good labels, raters' and simulated errors."""
    calibration_intercept: float = 0.88
    """Platt's B: of labels that network and history leave at even odds, 71 % are right."""
    recalibration_prior: float = bounded(1.0, gt=0.0)
    """Looks at each knot that the confidence counts for, as if it had been right: one, a heuristic."""


@dataclass(frozen=True)
class ReviewListConfig(CheckedConfig):
    """The numbers of `candidates`, `issues`, `agreement` and `review_list`."""

    __pydantic_config__: ClassVar = STRICT

    excess_doubt: float = bounded(0.5, gt=0.0, le=1.0)
    """Doubt beyond what is usual, from which a voxel is suspected. Chosen on training cases of LIDC, PH2 and
    hippocampus; with .35 a list has more rows, and fewer of its first are real."""
    contradicted_doubt: float = bounded(0.5, ge=0.0, le=1.0)
    """Doubt above which a voxel is, where the model prefers another class: the label is rather wrong than right."""
    object_share: float = bounded(0.8, ge=0.0, le=1.0)
    """An object is "extra" when the model would not draw this share of it. By hand."""
    min_voxels: int = bounded(8, ge=0)
    """Smallest region, where no volume is asked for. By hand."""
    min_wrong_share: float = bounded(0.5, ge=0.0)
    """Of the smallest region, that must be expected to be wrong in any. By hand."""
    boundary_reach_mm: float = bounded(20.0, gt=0.0)
    """From an outline within which the usual doubt goes by the distance to it. By hand."""
    shrinkage_voxels: float = bounded(20.0, gt=0.0)
    """Voxels that the usual doubt of all classes, or nearer to the outline, counts for at a distance. By hand."""
    max_usual_doubt: float = bounded(0.3, ge=0.0, le=1.0)
    """Of an outline's voxels that the network leaves at even odds (`LabelQualityConfig.calibration_intercept`)."""
    pieces_across: float = bounded(3.0, gt=0.0)
    """Pieces of a long region to a diameter of the object. By hand."""
    max_piece_mm: float = bounded(15.0, gt=0.0)
    """Largest size of such a piece. By hand."""
    min_piece_voxels: float = bounded(4.0, gt=0.0)
    """Smallest size of such a piece, along the finest axis. By hand."""

    weak_dice: float = bounded(0.45, ge=0.0, le=1.0)
    """Median Dice with the given labels below which a model is too weak to judge a class. This and the next two are
    chosen on 30 training cases each of PH2, hippocampus and LIDC, after 45 to 300 steps on good and noisy labels."""
    enough_dice: float = bounded(0.65, ge=0.0, le=1.0)
    """Median Dice from which it is not; between the two it is where it is unsure of itself."""
    sure_dice: float = bounded(0.65, ge=0.0, le=1.0)
    """Median Dice that a model's probabilities expect of its outlines, below which it is unsure of itself."""
    few_cases: int = bounded(5, ge=1)
    """With fewer cases, what training stored of its own counts along. By hand."""
    recurs_min_cases: int = bounded(3, ge=2)
    """Cases in which a contradiction recurs at least. By hand."""
    recurs_edge_share: float = bounded(0.1, gt=0.0, le=1.0)
    """Share of the cases in which it does at the image's edge, unlike what is labelled: rims of PH2 in 3 to 6 of 30."""
    recurs_unlike: float = bounded(0.1, ge=0.0, le=0.5)
    """Share of labelled objects that are as dark, or as bright, as what counts as unlike them. By hand."""
    recurs_share: float = bounded(0.5, gt=0.0, le=1.0)
    """Share of the cases in which it does at the edge or the same place. By hand: what most labels lack is a rule."""
    recurs_place: float = bounded(0.1, ge=0.0, le=1.0)
    """Of the image's size, by which the same place may differ along an axis. By hand."""
    first_rows: int = bounded(20, ge=1)
    """Rows of a list whose real errors are told: what a reader looks at in one go."""
    real_odds: tuple[float, float, float, float] = (-1.7, 1.0, 6.2, 5.4)
    """β₀ to β₃ of a row's odds of being real: logistic regression on the first 20 rows of 33 lists of such cases."""
    real_prior_looks: float = bounded(5.0, gt=0.0)
    """Decisions about labels of that confidence that these odds count for. By hand."""


@dataclass(frozen=True)
class DaleConfig(CheckedConfig):
    """The switches of the method's parts and their constants; the defaults are meant to be kept.

    Raises ValueError where a number lies outside its bounds, where a switch is neither True nor False, or where no
    voxel would have a weight.

    early_stopping: end the training where it agrees best with labels that it does not learn from, the validation
        cases' or, where those are few, by turns the training cases'.
    cross_fitting: first find out on unseen cases whether refinement helps (off: always refine).
    confidence: weigh fuzzy voxels by label confidence (off: by 0).
    consistency: confidence needs today's loss and its history to agree (off: today's alone).
    partition: tell fuzzy from stable voxels (off: label confidence weighs every untrusted voxel, in every step).
    alternation: stable and fuzzy steps in turn (off: every step is a fuzzy step).
    alignment: draw the features of fuzzy voxels towards those of stable ones.
    image_evidence: refine outlines where the images side with the network against the labels. Off by default: it cost
        up to ten Dice points on patients that its constants had not been chosen on.
    missed_objects: learn objects that the labels of some cases lack.
    volume_calibration: shift the trained network's logits where it draws clearly larger than the labels are.
    bias_correction: undo elsewhere the systematic bias that reviewed voxels show.
    """

    __pydantic_config__: ClassVar = STRICT

    early_stopping: bool = True
    cross_fitting: bool = False
    confidence: bool = True
    consistency: bool = True
    partition: bool = True
    alternation: bool = True
    alignment: bool = True
    image_evidence: bool = False
    missed_objects: bool = True
    volume_calibration: bool = True
    bias_correction: bool = True

    memory: float = bounded(0.9, "share of the old disagreement kept at an update", ge=0.0, le=0.9)
    """μ. By hand, at its bound: above it a float16 average hardly moves."""
    temperature: float = bounded(1.0, "T of the label confidence", gt=0.0)
    """1, with which the odds of the label are those of the network."""
    sharpness: float = bounded(0.05, "T_f of the soft partition", gt=0.0)
    """By hand."""
    lowest_threshold: float = bounded(0.8, "disagreement below this is never fuzzy", ge=0.0, le=1.0)
    """By hand, so that training is plain where labels are good."""
    largest_fuzzy_share: float = bounded(0.1, "of the voxels of a class", gt=0.0, le=1.0)
    """Chosen on LIDC, PH2 and hippocampus: .3 gives up more of what is hard and right, by 1 to 2 Dice points."""
    fuzzy_reach: float = bounded(0.75, "radii of objects from an outline beyond which nothing is fuzzy", gt=0.0)
    """By hand, on PH2: dark rims of pictures, once taken for lesions, were never learned."""
    warm_up: float = bounded(0.5, "share of the training that is plain at most", ge=0.0, lt=1.0)
    """By hand."""
    alignment_weight: float = bounded(0.01, ge=0.0)
    """Of W² in the loss, at the end of the training. By hand."""
    alignment_start: float = bounded(0.6, "share of the training before alignment", ge=0.0, le=1.0)
    """By hand."""

    warm_up_blocks: int = bounded(20, ge=4)
    """Parts of the training between which the warm-up may end: twentieths, two against the two before. By hand."""
    warm_up_slope: float = 0.05
    """It ends where the mean loss of two parts is no more than this share below that of the two before. By hand."""
    prior_rate: float = bounded(0.1, ge=0.0)
    """η of `loss.ClassPrior`: how far a step moves the logits' offset. By hand."""
    prior_memory: float = bounded(0.95, ge=0.0, lt=1.0)
    """Share of the old masses of the classes kept at a step. By hand."""
    max_prior_offset: float = bounded(4.0, ge=0.0)
    """Largest offset: a class that never comes must not run away. By hand."""
    max_class_scale: float = bounded(3.0, ge=1.0)
    """Largest scale by which a class keeps its mass where its voxels are down-weighted. By hand."""
    max_reviewed_scale: float = bounded(30.0, ge=1.0)
    """Largest scale of reviewed voxels, also in plain training. By hand."""
    alignment_settling: float = bounded(0.1, ge=0.0, le=1.0)
    """Share of the training in which the statistics are gathered before: ten times their memory, and more."""
    alignment_memory: float = bounded(0.9, ge=0.0, lt=1.0)
    """Share of the old statistics kept at a step. By hand."""
    alignment_min_voxels: int = bounded(16, ge=1)
    """Of a class in a batch, with fewer of which it says nothing there. By hand."""
    alignment_max_voxels: int = bounded(4096, ge=1)
    """Of a batch; means and spreads of so many voxels say the same as those of all."""
    refinement_times: tuple[float, ...] = (0.35, 0.5, 0.65, 0.8)
    """Shares of the training after which labels are refined: the first when a network knows most objects and has not
    yet learned the labels' errors by heart, the later ones because a better network sees better. By hand."""
    refinement_time_share: float = bounded(0.03, ge=0.0)
    """Of a time budget, for each refinement of all cases. By hand."""

    volume_level: float = bounded(0.05, ge=0.0, le=1.0)
    """p-value of drawn sizes being larger than labelled ones, below which they are calibrated; the usual one."""
    volume_target: float = bounded(1.05, gt=0.0)
    """Times the labelled size (median) that the full offset makes of them. Chosen on LIDC, PH2 and hippocampus."""
    volume_share: float = bounded(0.5, gt=0.0, le=1.0)
    """Of the full offset that is taken. Half gains as much on the mean of 36 trainings on those sets, and loses 3.1
    Dice points at worst instead of 6.7: sizes in training cases say little where the labels happen to be small."""
    volume_max_offset: float = bounded(0.5, ge=0.0)
    """Largest offset, in logits. At that the worst of them loses 2.4 points."""

    image_evidence_config: ImageEvidenceConfig = ImageEvidenceConfig()
    missed_objects_config: MissedObjectsConfig = MissedObjectsConfig()
    annotator_bias_config: AnnotatorBiasConfig = AnnotatorBiasConfig()
    cross_fitting_config: CrossFittingConfig = CrossFittingConfig()

    @property
    def alternates(self) -> bool:
        """Without a partition no voxel is stable, and there is nothing to take turns with."""
        return self.alternation and self.partition

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.partition or self.confidence):
            raise ValueError("without partition and confidence no voxel has a weight; keep one of them, or train plain")
