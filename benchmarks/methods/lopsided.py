"""A lopsided bootstrap loss for labels that lack objects, after Yi et al. (MIDL 2020, arXiv 2001.09501).

A voxel that is labelled as an object is taken at its word. One that is labelled as background may lie in an object that
was overlooked, so it is taken at its word in part only; for the rest, the network is to be sure of what it says itself:

    l = -log p_y                                        where y > 0
    l = -β log p_0 - (1 - β) Σ_k p_k log p_k            where y = 0

The second is the soft bootstrapping of Reed et al. (ICLR workshop 2015), cross-entropy with an entropy regulariser. The
mean over voxels is the whole loss: Dice would hold every voxel that is found beyond the label against the network.

Written from the paper's description, an entropy regulariser for background alone, without its numbers at hand. β = 0.2
was chosen from the slope of l, not on any data: an object in background that is found with a probability of 0.7 to 0.85
is not drawn back, and "background" counts a fifth of what "object" does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from DALESegmentLib.engine.training.sampling import Batch

from .baseline import Baseline

BETA = 0.2


def lopsided_loss(logits: Tensor, label: Tensor, valid: Tensor, beta: float = BETA) -> Tensor:
    """A scalar, the mean over valid voxels. logits: (B, K, *grid); label, valid: (B, *grid)."""
    log_p = F.log_softmax(logits.float(), 1)
    given = -log_p.gather(1, label.long().unsqueeze(1)).squeeze(1)
    entropy = -(log_p.exp() * log_p).sum(1)
    each = torch.where(label > 0, given, beta * given + (1.0 - beta) * entropy)
    return (each * valid).sum() / valid.sum().clamp_min(1)


class Lopsided(Baseline):
    def loss(self, batch: Batch, logits: Tensor, share: float) -> Tensor:
        return lopsided_loss(logits, batch.target, batch.valid)
