"""The two terms of the paper that change a training step: alternation of steps, and alignment of features.

Alternation says which voxels a step listens to, and with which loss:

                 cross-entropy   Dice
    stable step  1 - f           1 - f
    fuzzy step   1 - f + f w     1 - f      (it replays the stable voxels)

followed by `keep_class_mass`. Reviewed voxels have f = 0, hence weight 1 everywhere in every step. Fuzzy voxels stay
out of Dice, which at its best splits the posterior far from ½ where labels contradict each other (see
`loss.ClassPrior`); cross-entropy does not. Where all labels are good, f = 0 and both steps are plain Dice +
cross-entropy. A heuristic.

Alignment draws the features of fuzzy voxels towards the distribution of the stable ones of the same class. For
Gaussians with diagonal covariance the squared 2-Wasserstein distance is closed form,

    W² = |μ₁ - μ₂|² + |σ₁ - σ₂|²        (Dowson & Landau 1982, for commuting covariances)

Stable statistics are running averages without gradient, by label; fuzzy voxels are sorted by the class the network
*predicts*, because their label is what is in doubt. Distances are in units of the stable features' own spread, so that
the weight means the same for every network. A heuristic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.distributed import all_reduce_sum
from .config import DaleConfig
from .patches import PatchLabels

DEFAULT = DaleConfig()


def step_weights(f: Tensor, w: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights in [0, 1] of the cross-entropy and of Dice; f and w have one shape, and w is None in a stable step."""
    stable = 1.0 - f
    return (stable if w is None else stable + f * w), stable


def keep_class_mass(
    weights: Tensor,
    label: Tensor,
    classes: int,
    fixed: Tensor | None = None,
    max_scale: float = DEFAULT.max_class_scale,
) -> Tensor:
    """Scale ω so that each class keeps the mass it had with ω = 1.

    Without it, down-weighting the boundary on one side lets the other side pull it over. A heuristic; the scale
    is at most `max_scale`. `fixed` marks voxels (reviewed ones) that keep their weight and are not counted.
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
    scale = (wanted / present.clamp_min(1e-6)).clamp(1.0, max_scale)
    return (flat + mass * (scale.index_select(0, index) - 1.0)).reshape(weights.shape)


def gaussian_wasserstein2(mean_a: Tensor, std_a: Tensor, mean_b: Tensor, std_b: Tensor) -> Tensor:
    """Squared distance of two diagonal Gaussians; the last axis is the features'."""
    return ((mean_a - mean_b) ** 2).sum(-1) + ((std_a - std_b) ** 2).sum(-1)


@dataclass
class ClassStatistics:
    """Of the features of each class: enough (K,) bool, whether there are enough voxels; mean, variance (K, F), the
    latter unbiased."""

    enough: Tensor
    mean: Tensor
    variance: Tensor

    @staticmethod
    def of(
        features: Tensor,
        of_class: Tensor,
        chosen: Tensor,
        classes: int,
        min_voxels: int = DEFAULT.alignment_min_voxels,
    ) -> ClassStatistics:
        """Over the chosen voxels of all processes, with gradients; features (N, F) float32, of_class (N,) int64,
        chosen (N,) bool; min_voxels of a class are enough."""
        members = (F.one_hot(of_class, classes) * chosen.unsqueeze(1)).to(features).t()
        count, total = all_reduce_sum(members.sum(1), members @ features.detach())
        n = count.unsqueeze(1)
        # squares far from 0 cancel in float32, so they are those of distances to the mean; any shift gives the same
        shift = total / n.clamp_min(1.0)
        apart = features - shift[of_class]
        moved, squares = all_reduce_sum(members @ apart, members @ apart.square())
        moved = moved / n.clamp_min(1.0)
        variance = (squares - n * moved.square()).clamp_min(0.0) / (n - 1.0).clamp_min(1.0)
        return ClassStatistics(count >= min_voxels, shift + moved, variance)


class FeatureAlignment(nn.Module):
    """Class statistics of stable features, and the loss of the fuzzy ones against them.

    mean, std: (K, F) running averages, (K, 0) before the first batch; seen: (K,) bool, whether they say anything.
    """

    mean: Tensor
    std: Tensor
    seen: Tensor

    def __init__(self, num_classes: int, config: DaleConfig = DEFAULT) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.config = config
        self.register_buffer("mean", torch.zeros(num_classes, 0))
        self.register_buffer("std", torch.ones(num_classes, 0))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.bool))

    def forward(
        self,
        features: Tensor,
        logits: Tensor,
        labels: PatchLabels,
        fuzzy: Tensor,
        is_stable_step: bool,
        is_fuzzy_step: bool,
        progress: float,
    ) -> Tensor:
        """The term of a training step, a scalar, ramped in over the last part of the training.

        Args:
            features: (B, F, *coarser), with gradient; logits: (B, K, *patch) without.
            fuzzy: (B, *patch) bool.
            is_stable_step: whether the step feeds the statistics.
            is_fuzzy_step: whether it pays the distance; without alternation every step does both.
        """
        config, zero = self.config, features.new_zeros(())
        if progress <= config.alignment_start - config.alignment_settling:
            return zero
        grid = features.shape[2:]
        every = max(1, (labels.total or features.shape[0]) * grid.numel() // config.alignment_max_voxels)

        def drawn(values: Tensor) -> Tensor:
            """(N, C) of (B, C, *patch) values, on the features' grid."""
            return _at(values, grid).flatten(2)[:, :, ::every].movedim(1, -1).flatten(0, 1)

        fuzzy, inside, label = (
            drawn(values.unsqueeze(1)).squeeze(1) for values in (fuzzy, labels.valid > 0, labels.target)
        )
        flat = drawn(features)
        if is_stable_step and self.training:
            self.observe(flat, label.long(), inside & ~fuzzy)
        if not is_fuzzy_step or progress <= config.alignment_start:
            return zero
        ramp = (progress - config.alignment_start) / max(1.0 - config.alignment_start, 1e-6)
        predicted = drawn(logits).argmax(1)
        return config.alignment_weight * ramp * self.loss(flat, predicted, inside & fuzzy)

    def observe(self, features: Tensor, label: Tensor, stable: Tensor) -> None:
        """features: (N, F); label: (N,); stable: (N,) bool."""
        now = self._statistics(features.detach(), label, stable)
        if self.mean.shape != now.mean.shape:
            self.mean, self.std = torch.zeros_like(now.mean), torch.ones_like(now.mean)
        seen = self.seen.to(now.mean.device)
        # the first time as it is, later a little; and not at all where there are too few voxels to say anything
        step = torch.where(seen, 1.0 - self.config.alignment_memory, 1.0).masked_fill(~now.enough, 0.0).unsqueeze(1)
        self.mean = torch.lerp(self.mean, now.mean, step)
        self.std = torch.lerp(self.std, now.variance.sqrt(), step)
        self.seen = seen | now.enough

    def loss(self, features: Tensor, predicted: Tensor, fuzzy: Tensor) -> Tensor:
        """Mean W² over the classes seen, features (N, F) with gradient, predicted (N,), fuzzy (N,) bool."""
        if not self.mean.shape[1]:
            return features.new_zeros(())
        now = self._statistics(features, predicted, fuzzy)
        seen = self.seen.unsqueeze(1)
        unit = (self.std.square() * seen).mean(1).sum() / self.seen.sum().clamp_min(1)
        # the small constant keeps the gradient of the root finite where a feature is constant
        distance = gaussian_wasserstein2(now.mean, (now.variance + 1e-6).sqrt(), self.mean, self.std)
        counts = self.seen & now.enough
        total = torch.where(counts, distance, 0.0).sum() / (unit.clamp_min(1e-6) * features.shape[1])
        return total / counts.sum().clamp_min(1)

    def _statistics(self, features: Tensor, of_class: Tensor, chosen: Tensor) -> ClassStatistics:
        enough = self.config.alignment_min_voxels
        return ClassStatistics.of(features.float(), of_class, chosen, self.num_classes, enough)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any) -> None:
        """How many features there are is known from the state alone."""
        for name in ("mean", "std"):
            if (stored := state_dict.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(stored, device=self.seen.device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)  # type: ignore[no-untyped-call]


def _at(values: Tensor, grid: torch.Size) -> Tensor:
    """(B, C, *grid) values on the features' grid, which may be coarser than the logits'."""
    if values.shape[2:] == grid:
        return values
    return F.interpolate(values.float(), size=grid, mode="nearest-exact").to(values.dtype)
