"""Alignment: draw the features of fuzzy voxels towards the distribution of the stable ones of the same class.

For Gaussians with diagonal covariance the squared 2-Wasserstein distance is closed form,

    W² = |μ₁ - μ₂|² + |σ₁ - σ₂|²        (Dowson & Landau 1982, for commuting covariances)

Stable statistics are running averages without gradient, by given label; fuzzy voxels are sorted by the class the
network *predicts*, because their given label is what is in doubt. Distances are in units of the stable features'
own spread, so that the weight means the same for every network. A heuristic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..distributed.totals import alone, count_of, mean_and_variance

FEWEST_VOXELS = 16


def gaussian_wasserstein2(mean_a: Tensor, std_a: Tensor, mean_b: Tensor, std_b: Tensor) -> Tensor:
    """Squared distance of two diagonal Gaussians; the last axis is the features'."""
    return ((mean_a - mean_b) ** 2).sum(-1) + ((std_a - std_b) ** 2).sum(-1)


class FeatureAlignment:
    """Running class statistics (K, F) of stable features, and the loss of the fuzzy ones against them."""

    def __init__(self, classes: int, memory: float = 0.9) -> None:
        self.classes = classes
        self.memory = memory
        self.mean: Tensor | None = None
        self.std: Tensor | None = None
        self.seen = [False] * classes

    def observe(self, features: Tensor, label: Tensor, stable: Tensor) -> None:
        """features: (N, F); label: (N,); stable: (N,) bool."""
        features = features.detach().float()
        if self.mean is None or self.std is None:
            self.mean = features.new_zeros(self.classes, features.shape[1])
            self.std = torch.ones_like(self.mean)
        for c in range(self.classes):
            chosen = features[stable & (label == c)]
            if count_of(chosen) < FEWEST_VOXELS:
                continue
            memory = self.memory if self.seen[c] else 0.0
            mean, variance = mean_and_variance(chosen)
            self.mean[c] = memory * self.mean[c] + (1 - memory) * mean
            self.std[c] = memory * self.std[c] + (1 - memory) * (chosen.std(0) if alone() else variance.sqrt())
            self.seen[c] = True

    def loss(self, features: Tensor, predicted: Tensor, fuzzy: Tensor) -> Tensor:
        """Mean W² over the classes seen, features (N, F) with gradient, predicted (N,), fuzzy (N,) bool."""
        total, terms = features.new_zeros(()), 0
        if self.mean is None or self.std is None:
            return total
        unit = self.std[torch.tensor(self.seen)].square().mean().clamp_min(1e-6)
        for c in range(self.classes):
            chosen = features[fuzzy & (predicted == c)].float()
            if not self.seen[c] or count_of(chosen) < FEWEST_VOXELS:
                continue
            mean, variance = mean_and_variance(chosen)
            # the small constant keeps the gradient of the root finite where a feature is constant
            std = (variance + 1e-6).sqrt()
            distance = gaussian_wasserstein2(mean, std, self.mean[c], self.std[c])
            total, terms = total + distance / (unit * chosen.shape[1]), terms + 1
        return total / max(terms, 1)
