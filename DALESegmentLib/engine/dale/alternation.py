"""Alternation: which voxels a training step listens to.

    stable step:  ω = 1 - f
    fuzzy step:   ω = 1 - f + f w        (it replays the stable voxels)

followed by `keep_class_mass`. Trusted voxels have f = 0, hence ω = 1 in every step.
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST_SCALE = 3.0


def step_weights(fuzzy_step: bool, f: Tensor, w: Tensor) -> Tensor:
    """ω in [0, 1]; f and w have one shape."""
    return 1.0 - f + f * w if fuzzy_step else 1.0 - f


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
    scale = (wanted / present.clamp_min(1e-6)).clamp(1.0, LARGEST_SCALE)[index]
    scaled = torch.where(counted > 0, flat * scale, flat)
    return scaled.reshape(weights.shape)
