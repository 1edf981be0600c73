"""The soft partition into stable and fuzzy voxels, by each class's own threshold on the disagreement.

    f = sigmoid( (s - τ_c) / T_f ),   f = 0 where trusted

τ_c is `lowest_threshold`, raised until at most `largest_fuzzy_share` of the voxels labelled c lies above it. Where
labels are good, s is low nearly everywhere, nothing reaches τ_c, and training is plain. The choice of τ_c is a
heuristic.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .config import DaleConfig

_SAMPLE = 50_000


def stride(voxels: int) -> int:
    """Of so many voxels of a class, every how manieth is looked at."""
    return max(1, voxels // _SAMPLE)


def threshold(disagreement: np.ndarray, settings: DaleConfig) -> float:
    """τ of one class, from what is looked at of it, (N,)."""
    s = disagreement.astype(np.float32)
    if len(s) == 0 or np.ptp(s) < 1e-3:  # no share of a class that is contradicted all alike stands out
        return settings.lowest_threshold
    return max(settings.lowest_threshold, float(np.quantile(s, 1.0 - settings.largest_fuzzy_share)))


def fuzziness(disagreement: Tensor, label: Tensor, thresholds: Tensor, sharpness: float) -> Tensor:
    """f in (0, 1), the shape of `disagreement`. thresholds: (K,)."""
    at = thresholds.index_select(0, label.flatten().long()).view_as(disagreement)
    return torch.sigmoid((disagreement - at) / sharpness)
