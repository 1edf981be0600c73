"""The label-confidence map of a case: for every voxel, how far the label given there can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.errors import checkpoint
from ..dale.label_state import LabelDisagreement
from ..dale.quality import Recalibration, agreement_logit, consistent_margin, label_confidence
from ..geometry.distance import Box
from ..io.case import Case
from ..planning.plan import Plan
from ..planning.preprocessing import label_classes

_TINY = 1e-6


@dataclass(frozen=True)
class RegionContext:
    """More of the image that a part comes from. label: (*wide) network classes; box: where the part lies in it;
    radius: mm, of the whole image's objects (`object_radius`)."""

    label: np.ndarray
    box: Box
    radius: float


def confidence_map(
    case: Case,
    plan: Plan,
    probabilities: np.ndarray,
    disagreement: LabelDisagreement | None,
    recalibration: Recalibration | None = None,
    around: RegionContext | None = None,
    even_odds: bool = False,
) -> np.ndarray:
    """float32 in [0, 1], (*grid): the closed-form confidence of the label, 1 where trusted.

    probabilities: (K, *grid) of the model; disagreement: what training found about this very label, on
    its grid, or None for a case the model was not trained on, whose confidence then follows from the model alone;
    recalibration: what review has found out about this confidence; around: of a case that is a part of an image;
    even_odds: leave out how much an agreement says (`agreement_logit`).
    """
    classes = torch.from_numpy(label_classes(case, plan))
    checkpoint()
    spacing = case.geometry.array_spacing
    p = torch.from_numpy(probabilities)
    confidence = confidence_of(p, classes, disagreement, None if even_odds else spacing, around).numpy()
    if recalibration is not None:
        confidence = recalibration.apply(confidence)
    if case.trusted is not None:
        confidence[np.asarray(case.trusted, bool)] = 1.0
    return confidence


def confidence_of(
    probabilities: Tensor,
    classes: Tensor,
    disagreement: LabelDisagreement | None,
    spacing: Sequence[float] | None,
    around: RegionContext | None = None,
) -> Tensor:
    """float32 (*grid), the closed form alone; probabilities (K, *grid), classes (*grid) whole numbers, disagreement on
    the same grid; spacing: mm along the grid's axes; None for even odds."""
    margin = _margin(probabilities, classes)
    if disagreement is not None:
        # what no patch ever covered says nothing
        consistent = consistent_margin(margin, disagreement.values.float())
        margin = torch.where(disagreement.seen, consistent, margin)
    checkpoint()
    if spacing is None:
        return label_confidence(margin).float()
    prior = _prior(classes.numpy(), (margin < 0).numpy(), spacing, around)
    return label_confidence(margin, torch.from_numpy(prior)).float()


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
    classes: np.ndarray, contradicted: np.ndarray, spacing: Sequence[float], around: RegionContext | None
) -> np.ndarray:
    """logit π (*grid), see `agreement_logit`; what the network holds of the surroundings is not known."""
    if around is None:
        return agreement_logit(classes, contradicted, spacing)
    wide = np.zeros(around.label.shape, bool)
    wide[around.box] = contradicted
    return agreement_logit(around.label, wide, spacing, around.radius)[around.box].copy()
