"""Losses that are robust by themselves: the noise-robust Dice alone, and the T-Loss.

    NR-Dice: see `gce`
    T-Loss = -log Γ((ν + D) / 2) + log Γ(ν / 2) + D / 2 log(π ν) + (ν + D) / 2 log(1 + |δ|² / ν)
                                                   (Gonzalez-Jimenez et al., MICCAI 2023, with Σ = I)

The T-Loss is the negative log-likelihood of an image's errors δ = p - y under Student's t distribution of D dimensions.
D is the number of voxels of a patch, times that of the classes without background. ν = exp(ν') + ε is learned with the
network; a small one forgives images that are far off.

Differences to the paper: it is divided by D, so that its size does not depend on the patch; δ holds every class, where
the paper has one; ν' is moved by an Adam of its own, with the network's first learning rate.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from DALESegmentLib.engine.training.sampling import Batch

from .baseline import Baseline
from .gce import noise_robust_dice

EPSILON = 1e-8
START = 1.0
"""Of ν', so that ν begins at e."""


class NoiseRobustDice(Baseline):
    def loss(self, batch: Batch, logits: Tensor, share: float) -> Tensor:
        return noise_robust_dice(logits, batch.target, batch.valid)


def t_loss(logits: Tensor, label: Tensor, valid: Tensor, nu: Tensor) -> Tensor:
    """A scalar, the mean over the batch. logits: (B, K, *grid); label, valid: (B, *grid); nu: a scalar above 0."""
    p = logits.double().softmax(1)
    y = torch.zeros_like(p).scatter_(1, label.long().unsqueeze(1), 1.0)
    delta = ((p - y) * valid.unsqueeze(1))[:, 1:]
    square = delta.square().flatten(1).sum(1)
    d = (valid.flatten(1).sum(1) * delta.shape[1]).clamp_min(1).double()
    constant = torch.lgamma(nu / 2) - torch.lgamma((nu + d) / 2) + d / 2 * torch.log(math.pi * nu)
    return ((constant + (nu + d) / 2 * torch.log1p(square / nu)) / d).mean().float()


class TLoss(Baseline):
    """learning_rate: of ν'."""

    def __init__(self, classes: int, learning_rate: float) -> None:
        super().__init__(classes)
        self.log_nu = nn.Parameter(torch.tensor(START, dtype=torch.float64))
        self.optimizer = torch.optim.Adam([self.log_nu], lr=learning_rate)

    @property
    def nu(self) -> Tensor:
        return self.log_nu.exp() + EPSILON

    def loss(self, batch: Batch, logits: Tensor, share: float) -> Tensor:
        if self.log_nu.grad is not None:  # of the step before
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return t_loss(logits, batch.target, batch.valid, self.nu)
