"""Alternation: which voxels a training step listens to, and with which loss.

                 cross-entropy   Dice
    stable step  1 - f           1 - f
    fuzzy step   1 - f + f w     1 - f      (it replays the stable voxels)

followed by `keep_class_mass`. Trusted voxels have f = 0, hence weight 1 everywhere in every step. Fuzzy voxels stay
out of Dice, which at its best splits the posterior far from ½ where labels contradict each other (see `ClassPrior`);
cross-entropy does not. Where all labels are good, f = 0 and both steps are plain Dice + cross-entropy. A heuristic.

Alignment: draw the features of fuzzy voxels towards the distribution of the stable ones of the same class.

For Gaussians with diagonal covariance the squared 2-Wasserstein distance is closed form,

    W² = |μ₁ - μ₂|² + |σ₁ - σ₂|²        (Dowson & Landau 1982, for commuting covariances)

Stable statistics are running averages without gradient, by given label; fuzzy voxels are sorted by the class the
network *predicts*, because their given label is what is in doubt. Distances are in units of the stable features'
own spread, so that the weight means the same for every network. A heuristic.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.distributed import all_reduce_sum

LARGEST_SCALE = 3.0


def step_weights(f: Tensor, w: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights in [0, 1] of the cross-entropy and of Dice; f and w have one shape, and w is None in a stable step."""
    stable = 1.0 - f
    return (stable if w is None else stable + f * w), stable


def keep_class_mass(weights: Tensor, label: Tensor, classes: int, fixed: Tensor | None = None) -> Tensor:
    """Scale ω so that each class keeps the mass it had with ω = 1.

    Without it, down-weighting the boundary on one side lets the other side pull it over. A heuristic; the scale
    is limited to LARGEST_SCALE. `fixed` marks voxels (trusted ones) that keep their weight and are not counted.
    weights, label, fixed: (B, *grid); weights 0 outside the image are not counted.
    """
    flat, index = weights.flatten(), label.flatten().long()
    counted = (flat > 0).to(flat)
    if fixed is not None:
        counted = counted.masked_fill(fixed.flatten(), 0.0)
    mass = flat * counted
    # a product a class: for the few classes there are, faster than adding up by index
    members = [(index == c).to(flat) for c in range(classes)]
    wanted = torch.stack([member.dot(counted) for member in members])
    present = torch.stack([member.dot(mass) for member in members])
    wanted, present = all_reduce_sum(wanted, present)
    scale = (wanted / present.clamp_min(1e-6)).clamp(1.0, LARGEST_SCALE)
    return (flat + mass * (scale.index_select(0, index) - 1.0)).reshape(weights.shape)


FEWEST_VOXELS = 16


def gaussian_wasserstein2(mean_a: Tensor, std_a: Tensor, mean_b: Tensor, std_b: Tensor) -> Tensor:
    """Squared distance of two diagonal Gaussians; the last axis is the features'."""
    return ((mean_a - mean_b) ** 2).sum(-1) + ((std_a - std_b) ** 2).sum(-1)


@dataclass
class ClassStatistics:
    """Of the features of each class: enough (K,) bool, whether there are FEWEST_VOXELS; mean, variance (K, F), the
    latter unbiased."""

    enough: Tensor
    mean: Tensor
    variance: Tensor

    @staticmethod
    def of(features: Tensor, of_class: Tensor, chosen: Tensor, classes: int) -> ClassStatistics:
        """Over the chosen voxels of all processes, with gradients; features (N, F) float32, of_class (N,) int64,
        chosen (N,) bool."""
        members = (F.one_hot(of_class, classes) * chosen.unsqueeze(1)).to(features).t()
        count, total = all_reduce_sum(members.sum(1), members @ features.detach())
        n = count.unsqueeze(1)
        # squares far from 0 cancel in float32, so they are those of distances to the mean; any shift gives the same
        shift = total / n.clamp_min(1.0)
        apart = features - shift[of_class]
        moved, squares = all_reduce_sum(members @ apart, members @ apart.square())
        moved = moved / n.clamp_min(1.0)
        variance = (squares - n * moved.square()).clamp_min(0.0) / (n - 1.0).clamp_min(1.0)
        return ClassStatistics(count >= FEWEST_VOXELS, shift + moved, variance)


class FeatureAlignment:
    """Running class statistics (K, F) of stable features, and the loss of the fuzzy ones against them."""

    def __init__(self, classes: int, memory: float = 0.9) -> None:
        self.classes = classes
        self.memory = memory
        self.mean: Tensor | None = None
        self.std: Tensor | None = None
        self.seen = torch.zeros(classes, dtype=torch.bool)

    def observe(self, features: Tensor, label: Tensor, stable: Tensor) -> None:
        """features: (N, F); label: (N,); stable: (N,) bool."""
        now = ClassStatistics.of(features.detach().float(), label, stable, self.classes)
        if self.mean is None or self.std is None:
            self.mean, self.std = torch.zeros_like(now.mean), torch.ones_like(now.mean)
        seen = self.seen.to(now.mean.device)
        # the first time as it is, later a little; and not at all where there are too few voxels to say anything
        step = torch.where(seen, 1.0 - self.memory, 1.0).masked_fill(~now.enough, 0.0).unsqueeze(1)
        self.mean = torch.lerp(self.mean, now.mean, step)
        self.std = torch.lerp(self.std, now.variance.sqrt(), step)
        self.seen = seen | now.enough

    def loss(self, features: Tensor, predicted: Tensor, fuzzy: Tensor) -> Tensor:
        """Mean W² over the classes seen, features (N, F) with gradient, predicted (N,), fuzzy (N,) bool."""
        if self.mean is None or self.std is None:
            return features.new_zeros(())
        now = ClassStatistics.of(features.float(), predicted, fuzzy, self.classes)
        seen = self.seen.unsqueeze(1)
        unit = (self.std.square() * seen).mean(1).sum() / self.seen.sum().clamp_min(1)
        # the small constant keeps the gradient of the root finite where a feature is constant
        distance = gaussian_wasserstein2(now.mean, (now.variance + 1e-6).sqrt(), self.mean, self.std)
        counts = self.seen & now.enough
        total = torch.where(counts, distance, 0.0).sum() / (unit.clamp_min(1e-6) * features.shape[1])
        return total / counts.sum().clamp_min(1)
