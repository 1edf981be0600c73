"""The loss of a fine-tune: that of the training, and a pull back to the model it started from, away from what was
confirmed.

    L = L_training + λ Σ_i valid_i (1 - trusted_i) KL( p_before,i || p_i ) / Σ_i valid_i

The pull is Learning without Forgetting (Li and Hoiem, 2016), voxel by voxel: a few confirmed voxels must not move what
the model does everywhere else.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..dale.objective import Batch, Objective, StepResult
from .plan import Plan
from .settings import TrainSettings

PULL = 8.0
"""λ"""


class KeepingObjective(Objective):
    """before: the network as it is now; it is copied."""

    def __init__(self, plan: Plan, settings: TrainSettings, before: nn.Module) -> None:
        super().__init__(plan.classes, settings.objective_settings, settings.trusted_share)
        self.before = copy.deepcopy(before).eval().requires_grad_(False)

    def __call__(self, batch: Batch, logits: Tensor, features: Tensor | None, step: int, share: float) -> StepResult:
        result = super().__call__(batch, logits, features, step, share)
        device = batch.image.device.type
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            before = self.before(batch.image)
        result.loss = result.loss + PULL * _distance(before.float(), logits, batch)
        return result


def _distance(before: Tensor, now: Tensor, batch: Batch) -> Tensor:
    """before, now: (B, K, *grid) logits."""
    log_before = before.log_softmax(1)
    divergence = (log_before.exp() * (log_before - now.log_softmax(1))).sum(1)
    weights = batch.valid * ~batch.trusted
    return (weights * divergence).sum() / batch.valid.sum().clamp_min(1)
