"""Whether a fine-tuned model may take the place of the one it came from without anybody being asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..cases.source import CaseSource
from ..learn.predictor import Predictor
from ..process.progress import Progress
from ..review.corrections import violations
from .survey import read_labelled

UNLEARNED_SHARE = 0.01
"""Of the confirmed voxels that the earlier model had right; an outline moves by some voxels in any training."""
DICE_MARGIN = 0.02


@dataclass
class Judged:
    """A model on what is known: voxels confirmed, those it contradicts, and by case where it agrees."""

    confirmed: int = 0
    violated: int = 0
    right: dict[str, np.ndarray] = field(default_factory=dict)


def judge(sources: Sequence[CaseSource], predictor: Predictor, progress: Progress) -> Judged:
    """The confirmed voxels of these cases under a model. Raises what reading and predicting them raise."""
    judged = Judged()
    for i, source in enumerate(sources):
        progress.check()
        case = read_labelled(source, predictor.plan.class_names)
        if case.trusted is None or not np.any(case.trusted):
            continue
        progress.report(100.0 * i / len(sources), "predicting", "Checking the confirmed voxels")
        trusted = np.asarray(case.trusted, bool)
        prediction = predictor.label(case, progress)
        label = np.asarray(case.label)
        right = trusted & (prediction == label)
        judged.right[source.name] = right
        judged.confirmed += int(trusted.sum())
        judged.violated += violations(trusted, label, prediction)
    return judged


def verdict(before: Judged, after: Judged, dice_before: float | None, dice_after: float | None) -> dict[str, Any]:
    """What the fine-tune's result says about it; `objections` are sentences, and without one it is accepted.

    Without validation cases nothing is said about the Dice: validation_dice_before is then None.
    """
    unlearned = sum(int((right & ~after.right[name]).sum()) for name, right in before.right.items())
    were_right = sum(int(right.sum()) for right in before.right.values())
    objections = []
    if unlearned > UNLEARNED_SHARE * were_right:
        objections.append(
            f"The new model contradicts {unlearned} of {were_right} confirmed voxels that the earlier one had right."
        )
    if dice_before is not None and dice_after is not None and dice_before - dice_after > DICE_MARGIN:
        objections.append(
            f"The Dice of the validation cases fell from {dice_before:.3f} to {dice_after:.3f} with the new model."
        )
    return {
        "confirmed_voxels": after.confirmed,
        "confirmed_violated": after.violated,
        "confirmed_unlearned": unlearned,
        "validation_dice_before": dice_before,
        "accepted": not objections,
        "objections": objections,
    }
