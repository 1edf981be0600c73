"""The soft partition into stable and fuzzy voxels, by each class's own threshold on the disagreement.

    f = sigmoid( (s - τ_c) / T_f ),   f = 0 where trusted

τ_c is Otsu's threshold of s over the voxels labelled c, raised to `lowest_threshold` and then until at most
`largest_fuzzy_share` of the class lies above it. Where labels are good, s is low nearly everywhere, nothing
reaches τ_c, and training is plain. The choice of τ_c is a heuristic.
"""

from __future__ import annotations

import numpy as np
import torch
from skimage.filters import threshold_otsu
from torch import Tensor

from .settings import DaleSettings

_SAMPLE = 50_000


def stride(voxels: int) -> int:
    """Of so many voxels of a class, every how manieth is looked at."""
    return max(1, voxels // _SAMPLE)


def threshold(disagreement: np.ndarray, settings: DaleSettings) -> float:
    """τ of one class, from what is looked at of it, (N,)."""
    s = disagreement.astype(np.float32)
    if len(s) == 0 or np.ptp(s) < 1e-3:
        return settings.lowest_threshold
    share_limit = float(np.quantile(s, 1.0 - settings.largest_fuzzy_share))
    return max(float(threshold_otsu(s)), settings.lowest_threshold, share_limit)


def fuzziness(disagreement: Tensor, label: Tensor, thresholds: Tensor, sharpness: float) -> Tensor:
    """f in (0, 1), the shape of `disagreement`. thresholds: (K,)."""
    at = thresholds.index_select(0, label.flatten().long()).view_as(disagreement)
    return torch.sigmoid((disagreement - at) / sharpness)
