"""Disagreement s: the running average of how much, and how often, the network contradicts a label.

Our reading of the paper's two quantities, an average error and an error rate:

    s <- μ s + (1 - μ) ½ [ (1 - p_y) + 1(argmax z ≠ y) ]

s starts as what the first look at the voxel gives; which voxels were seen is kept beside it (`LabelState.seen`).

One number a labelled voxel. It is stored as float16, whose spacing near 1 is 1/2048, so μ must leave room to
move: with μ = 0.999 a float16 average stands still, μ ≤ 0.9 is safe.
"""

from __future__ import annotations

import torch
from torch import Tensor


def instant_disagreement(posterior: Tensor, label: Tensor, margin: Tensor) -> Tensor:
    """½ [(1 - p_y) + 1(m < 0)], in [0, 1].

    posterior p: (B, K, *grid); label, margin (see `confidence.label_margin`) and result: (B, *grid). A negative margin
    is the same as argmax z ≠ y.
    """
    given = posterior.gather(1, label.unsqueeze(1).long()).squeeze(1)
    return 0.5 * ((1.0 - given) + (margin < 0).float())


def ema_update(disagreement: Tensor, seen: Tensor, now: Tensor, memory: float) -> Tensor:
    """The next s, float32. disagreement, seen (bool) and now have one shape; memory is μ."""
    s, now = disagreement.float(), now.float()
    return torch.where(seen, torch.lerp(now, s, memory), now)
