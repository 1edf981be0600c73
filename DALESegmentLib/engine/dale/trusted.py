"""Trusted voxels: what a clinician confirmed or corrected is not outvoted by the many voxels nobody looked at."""

from __future__ import annotations

import torch
from torch import Tensor

from ..distributed.totals import over_ranks

LARGEST_SCALE = 30.0


def emphasise_trusted(weights: Tensor, trusted: Tensor, share: float) -> Tensor:
    """Scale the weights of trusted voxels up to `share` of all weight in the batch; never down.

    weights: (B, *grid) ≥ 0; trusted: (B, *grid) bool; share in [0, 1). A few corrected voxels would otherwise be a
    thousandth of the loss. The scale is limited to LARGEST_SCALE. A heuristic.
    """
    if share <= 0:
        return weights
    inside, everywhere = over_ranks(weights[trusted].sum(), weights.sum())
    outside = everywhere - inside
    scale = (share / (1.0 - share) * outside / inside.clamp_min(1e-6)).clamp(1.0, LARGEST_SCALE)
    return torch.where(trusted, weights * scale, weights)
