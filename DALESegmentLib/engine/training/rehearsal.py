"""Keep the classes of a model in a training on labels that do not speak of them.

Where a label set has none of a class that the model knows, its background may hold it. These voxels are learned as the
model before draws them, where it is sure (pseudo-labels, as in Learning without Forgetting, Li and Hoiem, 2016), and
are not learned from elsewhere: a voxel whose class is unknown is no background.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from ..core.progress import Progress
from ..dale.label_state import IGNORED
from ..inference.predictor import Predictor
from ..planning.preprocessing import PreparedCase

SURE = 0.7
"""Of the probability of background and kept classes, so much is the most probable one's at least. By hand."""


def rehearse(cases: Sequence[PreparedCase], kept: Collection[int], before: Predictor, progress: Progress) -> None:
    """Fill the background of these cases' given labels with what the model before predicts of the classes kept.

    kept: indices of classes that no label of the set speaks of. What a reader confirmed stays as it is.
    """
    for i, case in enumerate(cases):
        progress.check()
        progress.report(
            100.0 * i / len(cases), "predicting", f"Looking for the classes kept, case {i + 1} of {len(cases)}"
        )
        probabilities = before.prepared_probabilities(case.image, progress)
        learned = rehearsed(case.labels.given, case.labels.reviewed, probabilities, kept)
        case.labels.given.copy_(learned)
        case.labels.version += 1
        case.labels.target_version += 1


def rehearsed(given: Tensor, reviewed: Tensor, probabilities: Tensor, kept: Collection[int]) -> Tensor:
    """The label to learn from.

    Args:
        given: (*grid) classes of the wider model, whose first ones are the model's before.
        reviewed: (*grid) bool.
        probabilities: (K, *grid) of the model before.
        kept: indices of the classes that the label says nothing of.

    Returns:
        (*grid): where `given` is background and not confirmed, a kept class, background or IGNORED.
    """
    candidates = torch.tensor([0, *sorted(kept)])
    shares = probabilities[candidates].float()
    shares = shares / shares.sum(0, keepdim=True).clamp_min(1e-12)
    most, which = shares.max(0)
    taught = torch.where(most >= SURE, candidates[which], IGNORED).to(given.dtype)
    return torch.where((given == 0) & ~reviewed, taught, given)
