"""Dice + cross-entropy with a weight a voxel for each. With all weights 1 it is MONAI's DiceCELoss (batch Dice).

CE   = Σ ω l / Σ valid
Dice = 1 - mean_c ( 2 Σ δ p_c y_c + ε ) / ( Σ δ p_c + Σ δ y_c + ε ),   c = 1 .. K-1
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..distributed.totals import over_ranks

SMOOTH = 1e-5


def weighted_dice_ce(logits: Tensor, label: Tensor, ce_weights: Tensor, dice_weights: Tensor, valid: Tensor) -> Tensor:
    """A scalar. logits: (B, K, *grid); label, ω, δ: (B, *grid); valid: (B, *grid), 0 in padding."""
    logits, label = logits.float(), label.long()
    log_probability = F.log_softmax(logits, 1)
    index = label.unsqueeze(1)
    cross_entropy = -(ce_weights * valid * log_probability.gather(1, index).squeeze(1)).sum()
    probability = log_probability.exp()
    one_hot = torch.zeros_like(probability).scatter_(1, index, 1.0)
    axes = [0, *range(2, logits.ndim)]
    w = (dice_weights * valid).unsqueeze(1)
    overlap = (w * probability * one_hot).sum(axes)
    size = (w * (probability + one_hot)).sum(axes)
    cross_entropy, overlap, size, voxels = over_ranks(cross_entropy, overlap, size, valid.sum())
    dice = (2 * overlap + SMOOTH) / (size + SMOOTH)
    return cross_entropy / voxels.clamp_min(1) + 1.0 - dice[1:].mean()
