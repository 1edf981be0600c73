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
    wanted, present = over_ranks(wanted, present)
    scale = (wanted / present.clamp_min(1e-6)).clamp(1.0, LARGEST_SCALE)
    return (flat + mass * (scale.index_select(0, index) - 1.0)).reshape(weights.shape)
