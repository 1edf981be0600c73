"""Dice + cross-entropy with a weight a voxel. With all weights 1 it is MONAI's DiceCELoss (batch Dice).

CE   = Σ ω l / Σ valid
Dice = 1 - mean_c ( 2 Σ ω p_c y_c + ε ) / ( Σ ω p_c + Σ ω y_c + ε ),   c = 1 .. K-1
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH = 1e-5


def weighted_dice_ce(logits: Tensor, label: Tensor, weights: Tensor, valid: Tensor) -> Tensor:
    """logits: (B, K, *grid); label, weights: (B, *grid); valid: (B, *grid), 0 in padding. A scalar."""
    logits, label = logits.float(), label.long()
    weights = weights * valid
    cross_entropy = (weights * F.cross_entropy(logits, label, reduction="none")).sum() / valid.sum().clamp_min(1)
    probability = logits.softmax(1)
    one_hot = torch.zeros_like(probability).scatter_(1, label.unsqueeze(1), 1.0)
    axes = [0, *range(2, logits.ndim)]
    w = weights.unsqueeze(1)
    overlap = (w * probability * one_hot).sum(axes)
    size = (w * (probability + one_hot)).sum(axes)
    dice = (2 * overlap + SMOOTH) / (size + SMOOTH)
    return cross_entropy + 1.0 - dice[1:].mean()
