"""Image evidence: outlines refined where the intensities side with the network against the labels.

Where a network contradicts a label, either may be wrong, and the training alone cannot tell. A third source can: how
the object looks in this very case. From the voxels that label and network agree about, well inside and well outside,
a logistic regression on the intensities, as they are and smoothed, gives every voxel the log-odds

    a = log P(intensities | inside) / P(intensities | outside),   each side counting as much,

and the outline that all three give is where

    v a - boundary_prior ((1 - v/2) d_label + (v/2) d_network) / r = 0,

d being signed distances in mm (negative inside), r the radius of the class's objects, and v in [0, 1] how far the image
is trusted. With v = 0 this is the outline as it was given. v is the product of

- how well the intensities tell the two sides apart in this case (`ClassEvidence.separability`), and
- whether they side with the network where it contradicts the labels, in all cases together (`preference_auc`).

It is 0 where the images would move nearly all outlines the same way (`is_systematic`): they show another edge then than
the annotators mean, as where a thin layer of a third tissue lies between inside and outside.

With good labels the image sides with them, no outline moves, and training stays what it is. A heuristic: where objects
look like what is around them, the image says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage, optimize, special

from ...core.errors import checkpoint
from ...geometry.distance import bounding_box, signed_distance
from ...geometry.objects import object_radius
from ..config import ImageEvidenceConfig
from ..label_state import NO_PROPOSAL
from .base import Gather, LabelledImage, Predictions, alone

DEFAULT = ImageEvidenceConfig()


class ImageEvidence:
    """Refines the outlines of all cases, see above.

    image_trust: how far the images are trusted over all cases, None until it is fitted; then it is kept, because a
    network that has learned what the images say is no independent source any more. slice_axis: of images whose slices
    are outlined one by one.
    """

    name = "image_evidence"

    def __init__(
        self,
        config: ImageEvidenceConfig = DEFAULT,
        slice_axis: int | None = None,
        gather: Gather = alone,
    ) -> None:
        self.config = config
        self.slice_axis = slice_axis
        self.image_trust: float | None = None
        self._gather = gather

    @property
    def is_active(self) -> bool:
        """Whether it may still propose anything."""
        return self.image_trust != 0.0

    def fit(self, cases: Iterable[LabelledImage], predictions: Predictions) -> None:
        """Find out, once, how far the images are trusted."""
        if self.image_trust is not None:
            return
        disputes, ratios = np.zeros((2, self.config.histogram_bins)), []
        for case in cases:
            label = case.labels.initial().numpy()
            for evidence in self._evidence(case, label, predictions.classes(case)):
                if evidence.separability > 0.0:
                    disputes += evidence.separability * evidence.disagreement_histograms
                    ratios.append(log_size_ratio(label, evidence, self.config))
        every = self._gather((disputes, ratios))
        preference = preference_auc(np.sum([each for each, _ in every], axis=0), self.config)
        systematic = is_systematic([ratio for _, own in every for ratio in own], self.config)
        self.image_trust = 0.0 if systematic else ramp(preference, self.config.preference)

    def propose(self, case: LabelledImage, predictions: Predictions) -> np.ndarray | None:
        """(*grid) classes where an outline moves, NO_PROPOSAL elsewhere; None where images are not trusted."""
        if not self.image_trust:
            return None
        initial = case.labels.initial().numpy()
        label = initial.copy()
        for evidence in self._evidence(case, initial, predictions.classes(case)):
            view, inside = label[evidence.box], refine_mask(initial, evidence, self.image_trust, self.config)
            view[~inside & (view == evidence.value)] = 0
            view[inside & (view == 0) & evidence.editable] = evidence.value
        return np.where(label == initial, np.asarray(NO_PROPOSAL, label.dtype), label)

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"image_trust": self.image_trust}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.image_trust = state["image_trust"]

    def _evidence(self, case: LabelledImage, label: np.ndarray, network: np.ndarray) -> list[ClassEvidence]:
        image = case.image.numpy()
        return [*class_evidence(image, label, network, case.spacing, self.slice_axis, self.config)]


@dataclass(frozen=True)
class ClassEvidence:
    """Of one case about one class, on `box` of its grid.

    log_odds, label, network: (*box) float32, the last two signed distances in mm to the outlines; editable: bool
    (*box), voxels that are of this class or background; radius: mm; separability: 0 to 1, of inside and outside by the
    intensities; disagreement_histograms: (2, bins), how many voxels the network alone and how many the label alone has
    inside, by log-odds.
    """

    value: int
    box: tuple[slice, ...]
    log_odds: np.ndarray
    label: np.ndarray
    network: np.ndarray
    editable: np.ndarray
    radius: float
    separability: float
    disagreement_histograms: np.ndarray


def class_evidence(
    image: np.ndarray,
    label: np.ndarray,
    network: np.ndarray,
    sampling: Sequence[float],
    slice_axis: int | None = None,
    config: ImageEvidenceConfig = DEFAULT,
) -> Iterator[ClassEvidence]:
    """One for each class of the label that there are voxels to learn from of.

    image: (C, *grid); label, network: (*grid) classes; sampling: mm along the axes; slice_axis: of images whose slices
    are outlined one by one, each for itself.
    """
    for value in np.unique(label[label > 0]):
        evidence = _of_class(image, label, network, int(value), tuple(sampling), slice_axis, config)
        if evidence is not None:
            yield evidence


def preference_auc(disputes: np.ndarray, config: ImageEvidenceConfig = DEFAULT) -> float:
    """Whom the images side with: the chance that a voxel which the network alone has inside looks more like the inside
    than one which the label alone has inside (the AUC of Mann and Whitney). ½ where they side with neither, or there
    are too few disputes; 0 where every dispute is decided for the label.

    disputes: (2, bins) as `ClassEvidence.disagreement_histograms`, summed over cases, each weighed by its separability.
    """
    if disputes.sum(1).min() < config.min_disputes:
        return 0.5
    network, label = disputes / disputes.sum(1, keepdims=True)
    below = np.cumsum(label) - label / 2.0
    return float((network * below).sum())


def log_size_ratio(label: np.ndarray, evidence: ClassEvidence, config: ImageEvidenceConfig = DEFAULT) -> float:
    """Log of the refined size, the image trusted in full, over the size as given. label: (*grid) as given."""
    given = int((label[evidence.box] == evidence.value).sum())
    return float(np.log(max(int(refine_mask(label, evidence, 1.0, config).sum()), 1) / given))


def is_systematic(log_ratios: Sequence[float], config: ImageEvidenceConfig = DEFAULT) -> bool:
    """Whether nearly all outlines would be moved the same way, or too few are there to tell; log_ratios: see
    `log_size_ratio`, of the cases whose images are separable."""
    if len(log_ratios) < config.min_cases:
        return True
    mean, spread = float(np.mean(log_ratios)), float(np.std(log_ratios))
    return abs(mean) > max(config.systematic_ratio * spread, config.min_shift)


def ramp(value: float, bounds: tuple[float, float]) -> float:
    """0 up to the first bound, 1 from the second."""
    return float(np.clip((value - bounds[0]) / (bounds[1] - bounds[0]), 0.0, 1.0))


def refine_mask(
    label: np.ndarray, evidence: ClassEvidence, image_trust: float, config: ImageEvidenceConfig = DEFAULT
) -> np.ndarray:
    """(*box) bool, the class by all three; what it had before where another class is. label: (*grid) as given."""
    v = image_trust * evidence.separability
    distance = (1.0 - v / 2.0) * evidence.label + v / 2.0 * evidence.network
    inside = v * evidence.log_odds > config.boundary_prior / evidence.radius * distance
    return np.where(evidence.editable, inside, label[evidence.box] == evidence.value)


def _of_class(
    image: np.ndarray,
    label: np.ndarray,
    network: np.ndarray,
    value: int,
    sampling: tuple[float, ...],
    slice_axis: int | None,
    config: ImageEvidenceConfig,
) -> ClassEvidence | None:
    drawn, found = label == value, network == value
    radius = object_radius(drawn, sampling, slice_axis)
    planes = tuple(np.inf if axis == slice_axis else step for axis, step in enumerate(sampling))
    finest = min(planes)
    sure = max(config.core_margin * radius, config.core_margin_voxels * finest)
    reach = max(config.search_band * radius, config.search_band_voxels * finest)
    margin = tuple(0 if np.isinf(step) else int(np.ceil(reach / step)) + 1 for step in planes)
    box = bounding_box(drawn, margin)
    assert box is not None
    checkpoint()
    ours = signed_distance(drawn[box], sampling, slice_axis)
    theirs = signed_distance(found[box], sampling, slice_axis)
    checkpoint()
    # where one of them has nothing at all, there is nothing to compare
    theirs = np.where(np.isfinite(theirs), theirs, ours)
    ours = np.where(np.isfinite(ours), ours, theirs)
    editable = (label[box] == 0) | drawn[box]
    outer, inner = np.maximum(ours, theirs), np.minimum(ours, theirs)
    inside = outer < -sure
    inside = inside if inside.sum() >= config.min_voxels else outer < 0
    outside = (inner > sure) & (inner < reach) & editable
    if min(inside.sum(), outside.sum()) < config.min_voxels:
        return None
    features = _features(np.stack([channel[box] for channel in image]), planes, config.smoothing)
    checkpoint()
    log_odds, accuracy = _log_odds(features, inside, outside, config)
    near = editable & (np.abs(ours + theirs) < 2 * config.dispute_band * radius)
    sides = (near & found[box] & ~drawn[box], near & drawn[box] & ~found[box])
    edges = np.linspace(-config.max_log_odds, config.max_log_odds, config.histogram_bins + 1)
    disputes = np.stack([np.histogram(log_odds[side], edges)[0] for side in sides])
    return ClassEvidence(
        value,
        box,
        log_odds,
        ours.astype(np.float32),
        theirs.astype(np.float32),
        editable,
        radius,
        ramp(accuracy, config.separable),
        disputes,
    )


def _features(image: np.ndarray, planes: tuple[float, ...], smoothing: tuple[float, ...]) -> np.ndarray:
    """(F, *box): every channel as it is, and smoothed; not across slices that are outlined one by one."""
    finest = min(planes)
    smoothed = [
        ndimage.gaussian_filter(image, (0.0, *(scale * finest / step for step in planes)), mode="nearest")
        for scale in smoothing
    ]
    return np.concatenate([image, *smoothed])


def _log_odds(
    features: np.ndarray, inside: np.ndarray, outside: np.ndarray, config: ImageEvidenceConfig
) -> tuple[np.ndarray, float]:
    """(*box) float32 and the balanced accuracy on what it was learned from."""
    sides = [_thinned(features[:, side], config.max_fitted) for side in (inside, outside)]
    x, counts = np.concatenate(sides, axis=1), [side.shape[1] for side in sides]
    y = np.repeat([1.0, -1.0], counts)
    share = np.repeat([sum(counts) / (2 * n) for n in counts], counts)
    mean, spread = x.mean(1, keepdims=True), x.std(1, keepdims=True) + 1e-6
    z = np.concatenate([(x - mean) / spread, np.ones((1, x.shape[1]))])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = y * (weights @ z)
        slope = -share * y * special.expit(-margin)
        penalised = np.append(weights[:-1], 0.0)
        value = (share * np.logaddexp(0.0, -margin)).sum() + config.penalty * (penalised**2).sum()
        return float(value), z @ slope + 2.0 * config.penalty * penalised

    weights = optimize.minimize(loss, np.zeros(len(z)), jac=True, method="L-BFGS-B").x
    right = y * (weights @ z) > 0
    accuracy = 0.5 * (right[y > 0].mean() + right[y < 0].mean())
    slopes = weights[:-1] / spread[:, 0]
    odds = np.tensordot(slopes, features, 1) + weights[-1] - slopes @ mean[:, 0]
    return np.clip(odds, -config.max_log_odds, config.max_log_odds).astype(np.float32), float(accuracy)


def _thinned(values: np.ndarray, most: int) -> np.ndarray:
    """(F, N), N at most about so many, evenly taken."""
    return values[:, :: max(1, values.shape[1] // most)]
