"""How much the network disagrees with each label voxel, and the partition of the voxels that follows from it.

The disagreement s of a voxel is the running average of how much, and how often, the network contradicts its label. It
is our reading of the paper's two quantities, an average error and an error rate:

    s <- μ s + (1 - μ) ½ [ (1 - p_y) + 1(argmax z ≠ y) ]

s begins with what the first step at the voxel gives; `LabelState.seen` tells which voxels had one. It is stored as
float16, whose spacing near 1 is 1/2048, so μ must leave room to move: with μ = 0.999 a float16 average stands still,
μ ≤ 0.9 is safe.

The soft partition divides the voxels into stable and fuzzy ones, by a threshold on s for each class:

    f = sigmoid( (s - τ_c) / T_f ),   f = 0 where reviewed

and f = 0 farther from every outline than `fuzzy_reach` radii of the labelled objects: annotators err beside the
outlines that they draw. They also overlook objects altogether, so a case with nothing but background is fuzzy wherever
s is high. What a network contradicts elsewhere it has not learned yet. τ_c is `lowest_threshold`, raised until at most
`largest_fuzzy_share` of the voxels labelled c lies above it. Where labels are good, s is low nearly everywhere, nothing
reaches τ_c, and training is plain. The choice of τ_c, and the reach, are heuristics.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.distributed import all_reduce_sum
from .config import DaleConfig


def instant_disagreement(posterior: Tensor, label: Tensor, margin: Tensor) -> Tensor:
    """½ [(1 - p_y) + 1(m < 0)], in [0, 1].

    posterior p: (B, K, *grid); label, margin (see `quality.label_margin`) and result: (B, *grid). A negative margin
    is the same as argmax z ≠ y.
    """
    given = posterior.gather(1, label.unsqueeze(1).long()).squeeze(1)
    return 0.5 * ((1.0 - given) + (margin < 0).float())


def ema_update(disagreement: Tensor, seen: Tensor, now: Tensor, memory: float) -> Tensor:
    """The next s, float32. disagreement, seen (bool) and now have one shape; memory is μ."""
    s, now = disagreement.float(), now.float()
    return torch.where(seen, torch.lerp(now, s, memory), now)


_SAMPLE = 50_000


def stride(voxels: int) -> int:
    """A class of so many voxels is sampled by taking every n-th of them; returns n."""
    return max(1, voxels // _SAMPLE)


def threshold(disagreement: np.ndarray, config: DaleConfig) -> float:
    """τ of one class. disagreement: (N,), a sample of its voxels."""
    s = disagreement.astype(np.float32)
    if len(s) == 0 or np.ptp(s) < 1e-3:  # no share of a class that is contradicted all alike stands out
        return config.lowest_threshold
    return max(config.lowest_threshold, float(np.quantile(s, 1.0 - config.largest_fuzzy_share)))


def fuzziness(disagreement: Tensor, label: Tensor, thresholds: Tensor, sharpness: float) -> Tensor:
    """f in (0, 1), the shape of `disagreement`. thresholds: (K,)."""
    at = thresholds.index_select(0, label.flatten().long()).view_as(disagreement)
    return torch.sigmoid((disagreement - at) / sharpness)


def near_outlines(label: Tensor, reach: float) -> Tensor:
    """(B, *grid) bool: within so many radii of an outline, as boxes measure distance. label: (B, *grid) classes; the
    radius is that of a ball as large as what is labelled in a patch, the mean over the patches with something, those of
    all processes that train together."""
    dims = label.ndim - 1
    sizes = (label > 0).flatten(1).sum(1).float()
    radii = (sizes / math.pi).sqrt() if dims == 2 else (sizes * 0.75 / math.pi).pow(1 / 3)
    total, count = all_reduce_sum(radii.sum(), (sizes > 0).float().sum())
    if not count:
        return torch.zeros_like(label, dtype=torch.bool)
    width = max(1, round(reach * float(total / count)))
    classes = label.unsqueeze(1).float()
    return (_largest(classes, width) + _largest(-classes, width)).squeeze(1) > 0


def _largest(values: Tensor, width: int) -> Tensor:
    """Of so many voxels to either side along each axis; (B, 1, *grid)."""
    dims = values.ndim - 2
    pool = F.max_pool2d if dims == 2 else F.max_pool3d
    for axis in range(dims):
        size = [2 * width + 1 if n == axis else 1 for n in range(dims)]
        values = pool(values, size, 1, [n // 2 for n in size])
    return values
