"""Whether a fine-tuned model may take the place of the one it came from without anybody being asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from ..core.distributed import Ranks
from ..core.progress import Progress
from ..inference.predictor import Predictor
from ..io.case import Case
from ..planning.preprocessing import PreparedCase, to_native
from ..review.reviewed_voxels import followed, violations

UNLEARNED_SHARE = 0.01
"""Of the confirmed voxels that the earlier model had right; an outline moves by some voxels in any training."""
TRADED_SHARE = 0.05
"""The same for a model that follows more of the confirmed voxels than the earlier one did."""
DICE_MARGIN = 0.02


@dataclass
class ReviewedScore:
    """A model on what is known: voxels confirmed, those it contradicts, and by case where it agrees."""

    confirmed: int = 0
    violated: int = 0
    right: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class ReviewedCase:
    """A case somebody confirmed something in. label, trusted: (*grid) on its own grid; prepared: the same case."""

    label: np.ndarray
    trusted: np.ndarray
    prepared: PreparedCase

    @staticmethod
    def of(case: Case, prepared: PreparedCase) -> ReviewedCase | None:
        if case.trusted is None or not np.any(case.trusted):
            return None
        return ReviewedCase(np.asarray(case.label), np.asarray(case.trusted, bool), prepared)


def score_reviewed(
    cases: Sequence[ReviewedCase],
    predictor: Predictor,
    progress: Progress,
    seen: Callable[[PreparedCase, Tensor], None] | None = None,
) -> ReviewedScore:
    """The confirmed voxels of these cases under a model. seen: is handed each case's prepared probabilities."""
    judged = ReviewedScore()
    for i, case in enumerate(cases):
        progress.check()
        progress.report(100.0 * i / len(cases), "predicting", "Checking the confirmed voxels")
        prepared = case.prepared
        probabilities = predictor.prepared_probabilities(prepared.image, progress)
        progress.check()
        prediction = predictor.segmentation(to_native(probabilities, prepared.affine, prepared.geometry))
        judged.right[prepared.name] = case.trusted & (prediction == case.label)
        judged.confirmed += int(case.trusted.sum())
        judged.violated += violations(case.trusted, case.label, prediction)
        if seen is not None:
            seen(prepared, probabilities)
    return judged


def compare_scores(
    before: ReviewedScore,
    after: ReviewedScore,
    dice_before: float | None,
    dice_after: float | None,
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """What the fine-tune's result says about it; `objections` are sentences, and without one it is accepted.

    before, after: of the rank's own cases. Without validation cases nothing is said about the Dice:
    validation_dice_before is then None.
    """
    unlearned = sum(int((right & ~after.right[name]).sum()) for name, right in before.right.items())
    were_right = sum(int(right.sum()) for right in before.right.values())
    own = (unlearned, were_right, before.violated, after.violated, after.confirmed)
    every = zip(*(ranks or Ranks()).gather_all(own), strict=True)
    unlearned, were_right, violated_before, violated, confirmed = (sum(each) for each in every)
    objections = []
    if unlearned > (TRADED_SHARE if violated < violated_before else UNLEARNED_SHARE) * were_right:
        objections.append(
            f"The new model follows {followed(confirmed, violated)} and unlearned {unlearned:,} that the "
            "earlier one had right."
        )
    if dice_before is not None and dice_after is not None and dice_before - dice_after > DICE_MARGIN:
        objections.append(
            f"The Dice of the validation cases fell from {dice_before:.3f} to {dice_after:.3f} with the new model."
        )
    return {
        "confirmed_voxels": confirmed,
        "confirmed_violated": violated,
        "confirmed_unlearned": unlearned,
        "validation_dice_before": dice_before,
        "accepted": not objections,
        "objections": objections,
    }
