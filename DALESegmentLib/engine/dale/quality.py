"""Label confidence w: how far the given label of a voxel can be trusted, in closed form.

With l = -log p_y and d = -log max_{c≠y} p_c, the label margin is m = d - l = z_y - max_{c≠y} z_c. The confidence
minimises over w in [0, 1]

    J(w) = w l + (1 - w) d + T KL( Bern(w) || Bern(π) )

J is strictly convex (its second derivative is T / (w (1 - w)) > 0) and J'(w) = l - d + T (logit w - logit π)
vanishes only at

    w* = sigmoid( logit π + m / T ).

Substituting w* with d frozen gives F(l) = -T log( π e^{-l/T} + (1 - π) e^{-d/T} ), bounded above by d - T log(1 - π),
with dF/dl = w*: weighing the loss by the detached w* is the exact gradient of F, and a step in w followed by a
descent step in l cannot raise J. That proof covers w*; `consistent_margin` is a heuristic on top of it.

The distance prior π: that label and network agree about a voxel says little beside an outline, much far from any.

Labels err where outlines were drawn, and at objects that somebody overlooked or made up. Before the network is asked
how sure it is, a label that it shares is therefore right with the odds

    logit π = agreement_log_odds · min(d / r, 1),

d being mm to the outline of what is given the same class and not contradicted by the network, and r the radius of the
case's objects in mm. A label that is contradicted has even odds (π = ½), so π has no step anywhere. So has every voxel
of a case where nothing is labelled: what was overlooked there may lie anywhere. π enters the label confidence as its
prior, see `label_confidence`. A heuristic: where the network shares an error of some size, it makes the confidence too
high.

The calibration makes a frequency of it: a network is surer of itself than it should be, of labels with w* = 0.15 half
are right. The label quality is

    q = sigmoid( A logit w* + B )

(Platt 1999), with A and B fitted where the errors are known (`LabelQualityConfig`). It keeps the order of all voxels.

The recalibration says what review found out about the confidence: of the labels held at 0.4, how many were right when
somebody looked? At eleven knots c_j = 0, 0.1 .. 1, the share of right voxels, read from what was looked at and leaning
on the confidence itself as if it had been right once more at every knot:

    r_j = ( c_j + Σ_i v_i h_j(c_i) right_i ) / ( 1 + Σ_i v_i h_j(c_i) ),     recalibrated(c) = Σ_j r_j h_j(c)

h_j is the hat function of linear interpolation; v_i makes each place looked at count once, however large it is: its
voxels are right or wrong together. r is made monotone (isotonic regression), so that no two voxels change their order.
With no looks nothing changes. A heuristic in so far as people look at doubtful places, not at random ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..core.errors import checkpoint, needed_by
from ..geometry.distance import Box, bounding_box, margin_voxels, signed_distance
from .arrays import checked_arrays, checked_disagreement, checked_number
from .config import LabelQualityConfig
from .label_state import LabelDisagreement

DEFAULT = LabelQualityConfig()
_TINY = 1e-6


def label_margin(logits: Tensor, label: Tensor) -> Tensor:
    """m = z_y - max_{c≠y} z_c.

    logits: (B, K, *grid); label: (B, *grid) whole numbers in [0, K). Returns (B, *grid).
    """
    index = label.unsqueeze(1).long()
    given = logits.gather(1, index)
    rival = logits.scatter(1, index, -torch.inf).amax(1, keepdim=True)
    return (given - rival).squeeze(1)


def label_confidence(margin: Tensor, prior_logit: Tensor | float = 0.0, temperature: float = 1.0) -> Tensor:
    """w* = sigmoid(logit π + m / T), element by element; the prior may differ from voxel to voxel."""
    return torch.sigmoid(prior_logit + margin / temperature)


def consistent_margin(margin: Tensor, disagreement: Tensor) -> Tensor:
    """½ (m + logit(1 - s)): full trust needs today's loss and its history to be low; one of them alone moves it half as
    far. A heuristic: the smaller of the two would be too low where a label is hard to learn and yet right."""
    return 0.5 * (margin + torch.logit(1.0 - disagreement, eps=1e-4))


def agreement_logit(
    label: np.ndarray,
    contradicted: np.ndarray,
    spacing: Sequence[float],
    radius: float | None = None,
    config: LabelQualityConfig = DEFAULT,
) -> np.ndarray:
    """logit π, (*grid) float32.

    label: (*grid) classes; contradicted: (*grid) bool; spacing: mm along the array's axes; radius: mm, of the image's
    objects where the grid is only a part of it, 0 where it has none. The edge of the grid is no outline.
    """
    objects = label > 0
    if radius is None:
        with needed_by("The distance prior"):
            from ..geometry.objects import object_radius
        radius = object_radius(objects, spacing)
    if not radius:
        return np.zeros(label.shape, np.float32)
    largest = config.agreement_log_odds
    odds = np.where(contradicted, np.float32(0.0), np.float32(largest))
    box = bounding_box(objects | contradicted, margin_voxels(radius, spacing))
    if box is None:  # of a part
        return odds
    for value in np.flatnonzero(np.bincount(label[box].ravel())):
        checkpoint()
        shared = (label[box] == value) & ~contradicted[box]
        inside = bounding_box(shared, 1)
        if inside is None or shared.all():
            continue
        shared = shared[inside]
        sure = -signed_distance(shared, spacing)
        sure *= largest / radius
        np.copyto(odds[box][inside], np.minimum(sure, largest, out=sure), where=shared)
    return odds


KNOTS = np.linspace(0.0, 1.0, 11)
"""As stored with a model."""


@dataclass(frozen=True)
class Recalibration:
    """looks, right: how much was looked at around each knot, in places, and how much of that was right."""

    looks: tuple[float, ...] = (0.0,) * len(KNOTS)
    right: tuple[float, ...] = (0.0,) * len(KNOTS)

    def __post_init__(self) -> None:
        counts = np.array([self.looks, self.right], float)
        if counts.shape != (2, len(KNOTS)) or not np.isfinite(counts).all() or (counts < 0).any():
            raise ValueError("a recalibration needs two counts, not negative, for each of its knots")

    def looked(self, confidence: np.ndarray, right: np.ndarray, place: np.ndarray) -> Recalibration:
        """With more that was looked at: confidence in [0, 1], right bool, place whole numbers; (n,) each."""
        if not len(confidence):
            return self
        _, index, sizes = np.unique(place, return_inverse=True, return_counts=True)
        share = 1.0 / sizes[index]
        left = np.clip((confidence * 10).astype(int), 0, len(KNOTS) - 2)
        upper = np.clip(confidence * 10 - left, 0.0, 1.0)
        looks, correct = np.array(self.looks), np.array(self.right)
        for knot, height in ((left, 1 - upper), (left + 1, upper)):
            np.add.at(looks, knot, share * height)
            np.add.at(correct, knot, share * height * right)
        return Recalibration(tuple(looks.tolist()), tuple(correct.tolist()))

    def apply(self, confidence: np.ndarray, config: LabelQualityConfig = DEFAULT) -> np.ndarray:
        """float32 of the same shape; what was not looked at stays as it is."""
        if not any(self.looks):
            return confidence
        with needed_by("Recalibrated label quality"):
            from scipy.optimize import isotonic_regression
        prior = config.recalibration_prior
        weight = np.array(self.looks) + prior
        share = (np.array(self.right) + prior * KNOTS) / weight
        rising = isotonic_regression(share, weights=weight).x
        return np.interp(confidence, KNOTS, rising).astype(np.float32)


@dataclass(frozen=True)
class RegionContext:
    """More of the image that a part comes from. label: (*wide) network classes; box: where the part lies in it;
    radius: mm, of the whole image's objects (`object_radius`)."""

    label: np.ndarray
    box: Box
    radius: float


def label_quality(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    spacing: Sequence[float] | None = None,
    disagreement: LabelDisagreement | ArrayLike | None = None,
    reviewed: ArrayLike | None = None,
    distance_prior: bool = True,
    temperature: float = 1.0,
    calibrator: Recalibration | None = None,
    config: LabelQualityConfig = DEFAULT,
) -> np.ndarray:
    """How far the label of each voxel can be trusted, from the softmax output of any model.

    The model should not have been fitted to this very label, or have been stopped early (cross-validation, as for
    cleanlab): what has learned an error by heart does not find it.

    Args:
        labels: (*grid), 2D or 3D, whole numbers in [0, K), 0 for background.
        probs: (K, *grid) floating-point probabilities of the classes, which sum to 1 over K.
        spacing: mm along the axes of `labels`, in their order. Only the ratios count here; None for equal edges.
            SimpleITK's arrays and nnU-Net's .npz have the axes (z, y, x): pass `image.GetSpacing()[::-1]`, or the
            "spacing" of nnU-Net's properties as it is. nibabel's arrays have (x, y, z): pass
            `image.header.get_zooms()[:3]`.
        disagreement: (*grid) in [0, 1], how much and how often the network contradicted the label in training, NaN
            where it never saw the voxel; or a LabelDisagreement.
        reviewed: (*grid) True where a person has confirmed or corrected the label; the quality is 1 there.
        distance_prior: whether a label that the model shares is trusted the more, the further it lies from any outline
            (needs SimpleITK and scipy); else every label has even odds before the model is asked.
        temperature: T > 0; larger values draw the quality towards that prior.
        calibrator: what review has found out about this quality.
        config: how much the distance prior and the calibrator's own prior count.

    Returns:
        (*grid) float32 in [0, 1], q of the formula above.

    Raises:
        ValueError: the arrays do not fit together, or do not hold labels and probabilities.
    """
    arrays = checked_arrays(labels, probs, spacing=spacing, reviewed=reviewed)
    checked_number("temperature", temperature, above=True)
    if calibrator is not None and not isinstance(calibrator, Recalibration):
        raise ValueError(f"calibrator is {calibrator!r}; give a Recalibration.")
    known = checked_disagreement(disagreement, arrays.labels.shape)
    return quality_of(
        arrays.probs,
        arrays.labels,
        None if known is None else LabelDisagreement(*map(torch.from_numpy, known)),
        arrays.spacing if distance_prior else None,
        calibrator=calibrator,
        reviewed=arrays.reviewed,
        temperature=temperature,
        config=config,
    )


def quality_of(
    probabilities: np.ndarray,
    classes: np.ndarray,
    disagreement: LabelDisagreement | None,
    spacing: Sequence[float] | None,
    *,
    around: RegionContext | None = None,
    calibrator: Recalibration | None = None,
    reviewed: np.ndarray | None = None,
    temperature: float = 1.0,
    config: LabelQualityConfig = DEFAULT,
) -> np.ndarray:
    """`label_quality` of arrays that are known to fit together, float32 probabilities among them. spacing: None for
    even odds; around: of arrays that are a part of an image."""
    p, label = torch.from_numpy(probabilities), torch.from_numpy(classes)
    quality = confidence_of(p, label, disagreement, spacing, around, temperature, config).numpy()
    if calibrator is not None:
        quality = calibrator.apply(quality, config)
    if reviewed is not None:
        quality[np.asarray(reviewed, bool)] = 1.0
    return quality


def confidence_of(
    probabilities: Tensor,
    classes: Tensor,
    disagreement: LabelDisagreement | None,
    spacing: Sequence[float] | None,
    around: RegionContext | None = None,
    temperature: float = 1.0,
    config: LabelQualityConfig = DEFAULT,
) -> Tensor:
    """float32 (*grid), calibrated, before any recalibration; probabilities (K, *grid), classes (*grid) whole numbers,
    disagreement on the same grid; spacing: mm along the grid's axes; None for even odds."""
    margin = _margin(probabilities, classes)
    if disagreement is not None:
        # what no patch ever covered says nothing
        consistent = consistent_margin(margin, disagreement.values.float())
        margin = torch.where(disagreement.seen, consistent, margin)
    checkpoint()
    log_odds = margin / temperature
    if spacing is not None:
        log_odds += torch.from_numpy(_prior(classes.numpy(), (margin < 0).numpy(), spacing, around, config))
    return torch.sigmoid(config.calibration_slope * log_odds + config.calibration_intercept).float()


def _margin(probabilities: Tensor, classes: Tensor) -> Tensor:
    """log p_y - log max_{c≠y} p_c, (*grid), class by class: never a copy of all probabilities."""
    given = torch.full_like(probabilities[0], _TINY)
    rival = given.clone()
    for index, own in enumerate(probabilities):
        mine = classes == index
        torch.where(mine, own, given, out=given)
        torch.where(mine, rival, torch.maximum(rival, own), out=rival)
    return given.clamp_(_TINY, 1.0).log_().sub_(rival.clamp_(_TINY, 1.0).log_())


def _prior(
    classes: np.ndarray,
    contradicted: np.ndarray,
    spacing: Sequence[float],
    around: RegionContext | None,
    config: LabelQualityConfig,
) -> np.ndarray:
    """logit π (*grid), see `agreement_logit`; what the network holds of the surroundings is not known."""
    if around is None:
        return agreement_logit(classes, contradicted, spacing, config=config)
    wide = np.zeros(around.label.shape, bool)
    wide[around.box] = contradicted
    return agreement_logit(around.label, wide, spacing, around.radius, config)[around.box].copy()
