"""Alternation: which voxels a training step listens to, and with which loss.

                 cross-entropy   Dice
    stable step  1 - f           1 - f
    fuzzy step   1 - f + f w     1 - f      (it replays the stable voxels)

followed by `keep_class_mass`. Trusted voxels have f = 0, hence weight 1 everywhere in every step. Fuzzy voxels stay
out of Dice, which at its best splits the posterior far from ½ where labels contradict each other (see `class_prior`);
cross-entropy does not. Where all labels are good, f = 0 and both steps are plain Dice + cross-entropy. A heuristic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..distributed.totals import over_ranks
from .settings import DaleSettings

LARGEST_SCALE = 3.0


def step_weights(fuzzy_step: bool, f: Tensor, w: Tensor, settings: DaleSettings) -> tuple[Tensor, Tensor]:
    """Weights in [0, 1] of the cross-entropy and of Dice; f and w have one shape.

    Without a partition no voxel is stable, and w alone weighs both losses.
    """
    if not settings.partition:
        return w, w
    stable = 1.0 - f
    return (stable + f * w if fuzzy_step else stable), stable


def keep_class_mass(weights: Tensor, label: Tensor, classes: int, fixed: Tensor | None = None) -> Tensor:
    """Scale ω so that each class keeps the mass it had with ω = 1.

    Without it, down-weighting the boundary on one side lets the other side pull it over. A heuristic; the scale
    is limited to LARGEST_SCALE. `fixed` marks voxels (trusted ones) that keep their weight and are not counted.
    weights, label, fixed: (B, *grid); weights 0 outside the image are not counted.
    """
    flat, index = weights.flatten(), label.flatten().long()
    counted = (torch.ones_like(flat) if fixed is None else (~fixed.flatten()).float()) * (flat > 0)
    wanted = flat.new_zeros(classes).index_add(0, index, counted)
    present = flat.new_zeros(classes).index_add(0, index, flat * counted)
    wanted, present = over_ranks(wanted, present)
    scale = (wanted / present.clamp_min(1e-6)).clamp(1.0, LARGEST_SCALE)[index]
    scaled = torch.where(counted > 0, flat * scale, flat)
    return scaled.reshape(weights.shape)
