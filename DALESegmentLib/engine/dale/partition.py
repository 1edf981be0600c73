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

_SAMPLE = 200_000


def class_thresholds(disagreement: np.ndarray, label: np.ndarray, classes: int, settings: DaleSettings) -> list[float]:
    """τ_c for c = 0 .. classes - 1. disagreement, label: (N,) over the labelled voxels of all cases."""
    thresholds = []
    for c in range(classes):
        s = disagreement[label == c].astype(np.float32)
        s = s[:: max(1, len(s) // _SAMPLE)]
        if len(s) == 0 or np.ptp(s) < 1e-3:
            thresholds.append(settings.lowest_threshold)
            continue
        share_limit = float(np.quantile(s, 1.0 - settings.largest_fuzzy_share))
        thresholds.append(max(float(threshold_otsu(s)), settings.lowest_threshold, share_limit))
    return thresholds


def fuzziness(disagreement: Tensor, label: Tensor, thresholds: Tensor, sharpness: float) -> Tensor:
    """f in (0, 1), the shape of `disagreement`. thresholds: (K,)."""
    return torch.sigmoid((disagreement - thresholds[label.long()]) / sharpness)
