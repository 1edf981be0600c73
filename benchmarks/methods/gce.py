"""Generalised cross-entropy, with the noise-robust Dice beside it in place of Dice + cross-entropy.

    GCE     = mean_i (1 - p_y^q) / q,  q = 0.7           (Zhang & Sabuncu, NeurIPS 2018)
    NR-Dice = mean_c Σ |p_c - y_c|^γ / (Σ p_c² + Σ y_c² + ε),  γ = 1.5, c = 1 .. K-1
                                                          (Wang et al., IEEE TMI 2020)

q -> 0 is cross-entropy, q = 1 the mean absolute error; in between, voxels with a small p_y pull less.
"""

from __future__ import annotations

import torch
from torch import Tensor

from DALESegmentLib.engine.training.sampling import Batch

from .baseline import Baseline

Q = 0.7
GAMMA = 1.5
SMOOTH = 1e-5


def generalised_cross_entropy(logits: Tensor, label: Tensor, valid: Tensor, q: float = Q) -> Tensor:
    """logits: (B, K, *grid); label, valid: (B, *grid). A scalar, the mean over valid voxels."""
    p = logits.float().softmax(1).gather(1, label.long().unsqueeze(1)).squeeze(1)
    # the power's slope is infinite at 0
    each = (1.0 - p.clamp_min(1e-6) ** q) / q
    return (each * valid).sum() / valid.sum().clamp_min(1)


def noise_robust_dice(logits: Tensor, label: Tensor, valid: Tensor, gamma: float = GAMMA) -> Tensor:
    """As above; the mean over the classes without background, pooled over the batch."""
    p = logits.float().softmax(1)
    y = torch.zeros_like(p).scatter_(1, label.long().unsqueeze(1), 1.0)
    p, y = p * valid.unsqueeze(1), y * valid.unsqueeze(1)
    axes = [0, *range(2, p.ndim)]
    # the small constant keeps the slope of |x|^γ finite where p = y
    error = ((p - y).abs() + 1e-8).pow(gamma).sum(axes)
    return (error / (p.square().sum(axes) + y.square().sum(axes) + SMOOTH))[1:].mean()


class GeneralisedCrossEntropy(Baseline):
    def loss(self, batch: Batch, logits: Tensor, share: float) -> Tensor:
        return generalised_cross_entropy(logits, batch.target, batch.valid) + noise_robust_dice(
            logits, batch.target, batch.valid
        )
