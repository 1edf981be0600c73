"""Alternation: which labels a training step listens to, and with which loss.

                 cross-entropy      Dice
    stable step  ω = 1 - f + f w    1 - f      doubted labels count as far as they can be trusted
    fuzzy step   ω = 1              1 - f      every label counts

followed by `keep_class_mass`. Trusted voxels have f = 0, hence weight 1 everywhere in every step.

Dice never listens to fuzzy voxels: at its best it splits the posterior far from ½ where labels contradict each other
(see `class_prior`). Cross-entropy does, because the posterior of a label that is never shown is not estimated any
more: a network that only hears what it agrees with confirms itself, and its confidence says nothing. Where all labels
are good, f = 0 and both steps are plain Dice + cross-entropy. A heuristic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .settings import DaleSettings

LARGEST_SCALE = 3.0


def step_weights(fuzzy_step: bool, f: Tensor, w: Tensor, settings: DaleSettings) -> tuple[Tensor, Tensor]:
    """Weights in [0, 1] of the cross-entropy and of Dice; f and w have one shape.

    Without alternation every step is the mean of both kinds. Without a partition nothing is stable: w alone weighs
    both losses.
    """
    if not settings.partition:
        return w, w
    trusting = 1.0 - f + f * w
    if not settings.alternation:
        return 0.5 * (1.0 + trusting), 1.0 - f
    return (torch.ones_like(f) if fuzzy_step else trusting), 1.0 - f


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
