"""The label-confidence map of a case: for every voxel, how far the label given there can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..cases.case import Case
from ..dale.agreement import agreement_logit
from ..dale.confidence import consistent_margin, label_confidence
from ..dale.label_state import LabelDisagreement
from ..errors import Check, EngineError, no_check
from ..review.boundary import Box
from ..review.recalibration import Recalibration
from .plan import Plan

_TINY = 1e-6
_UNKNOWN = -1


@dataclass(frozen=True)
class Around:
    """More of the image that a part comes from. label: (*wide) network classes; here: where the part lies in it;
    radius: mm, of the whole image's objects (`object_radius`)."""

    label: np.ndarray
    here: Box
    radius: float


def label_classes(case: Case, plan: Plan) -> np.ndarray:
    """The case's label as network classes (*grid). Raises EngineError for a class the model does not know."""
    assert case.label is not None
    table = np.full(max(int(case.label.max()), max(plan.class_values)) + 1, _UNKNOWN, np.int64)
    table[plan.class_values] = np.arange(plan.classes)
    classes = table[np.asarray(case.label, np.int64)]
    if (classes == _UNKNOWN).any():
        value = int(case.label[classes == _UNKNOWN][0])
        known = ", ".join(str(v) for v in plan.class_values if v)
        raise EngineError(
            "unknown-class",
            f"The label of {case.name} has the value {value}, but the model knows only {known}; "
            "leave that segment out or train a model that has it.",
        )
    return classes


def confidence_map(
    case: Case,
    plan: Plan,
    probabilities: np.ndarray,
    disagreement: LabelDisagreement | None,
    check: Check = no_check,
    recalibration: Recalibration | None = None,
    around: Around | None = None,
    even_odds: bool = False,
) -> np.ndarray:
    """float32 in [0, 1], (*grid): the closed-form confidence of the label, 1 where trusted.

    probabilities: (K, *grid) of the model; disagreement: what training found about this very label, on
    its grid, or None for a case the model was not trained on, whose confidence then follows from the model alone;
    recalibration: what review has found out about this confidence; around: of a case that is a part of an image;
    even_odds: leave out how much an agreement says (`agreement_logit`).
    """
    classes = torch.from_numpy(label_classes(case, plan))
    check()
    sampling = tuple(reversed(case.geometry.spacing))
    p = torch.from_numpy(probabilities)
    confidence = confidence_of(p, classes, disagreement, None if even_odds else sampling, check, around).numpy()
    if recalibration is not None:
        confidence = recalibration.apply(confidence)
    if case.trusted is not None:
        confidence[np.asarray(case.trusted, bool)] = 1.0
    return confidence


def confidence_of(
    probabilities: Tensor,
    classes: Tensor,
    disagreement: LabelDisagreement | None,
    sampling: Sequence[float] | None,
    check: Check = no_check,
    around: Around | None = None,
) -> Tensor:
    """float32 (*grid), the closed form alone; probabilities (K, *grid), classes (*grid) int64, disagreement on the
    same grid; sampling: mm along the grid's axes; None for even odds."""
    p, index = probabilities.clamp(_TINY, 1.0), classes.unsqueeze(0)
    given = p.gather(0, index)[0]
    rival = p.scatter(0, index, 0.0).amax(0)
    check()
    margin = given.log() - rival.clamp_min(_TINY).log()
    if disagreement is not None:
        # what no patch ever covered says nothing
        consistent = consistent_margin(margin, disagreement.values.float())
        margin = torch.where(disagreement.seen, consistent, margin)
    check()
    if sampling is None:
        return label_confidence(margin).float()
    prior = _prior(classes.numpy(), (margin < 0).numpy(), sampling, check, around)
    return label_confidence(margin, torch.from_numpy(prior)).float()


def _prior(
    classes: np.ndarray, contradicted: np.ndarray, sampling: Sequence[float], check: Check, around: Around | None
) -> np.ndarray:
    """logit π (*grid), see `agreement_logit`; what the network holds of the surroundings is not known."""
    if around is None:
        return agreement_logit(classes, contradicted, sampling, check=check)
    wide = np.zeros(around.label.shape, bool)
    wide[around.here] = contradicted
    return agreement_logit(around.label, wide, sampling, around.radius, check)[around.here].copy()
