"""Label confidence w: how far the given label of a voxel can be trusted, in closed form.

With l = -log p_y and d = -log max_{c≠y} p_c, the label margin is m = d - l = z_y - max_{c≠y} z_c. The confidence
minimises over w in [0, 1]

    J(w) = w l + (1 - w) d + T KL( Bern(w) || Bern(π) )

J is strictly convex (its second derivative is T / (w (1 - w)) > 0) and J'(w) = l - d + T (logit w - logit π)
vanishes only at

    w* = sigmoid( logit π + m / T ).

Substituting w* with d frozen gives F(l) = -T log( π e^{-l/T} + (1 - π) e^{-d/T} ), bounded above by d - T log(1 - π),
with dF/dl = w*: weighing the loss by the detached w* is the exact gradient of F, and a step in w followed by a
descent step in l cannot raise J. That proof covers w*; `consistent_margin` is a heuristic on top of it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def label_margin(logits: Tensor, label: Tensor) -> Tensor:
    """m = z_y - max_{c≠y} z_c.

    logits: (B, K, *grid); label: (B, *grid) whole numbers in [0, K). Returns (B, *grid).
    """
    index = label.unsqueeze(1).long()
    given = logits.gather(1, index)
    rival = logits.scatter(1, index, -torch.inf).amax(1, keepdim=True)
    return (given - rival).squeeze(1)


def label_confidence(margin: Tensor, prior_logit: Tensor | float = 0.0, temperature: float = 1.0) -> Tensor:
    """w* = sigmoid(logit π + m / T), element by element; the prior may differ from voxel to voxel."""
    return torch.sigmoid(prior_logit + margin / temperature)


def consistent_margin(margin: Tensor, disagreement: Tensor) -> Tensor:
    """½ (m + logit(1 - s)): full trust needs today's loss and its history to be low; one of them alone moves it half as
    far. A heuristic: the smaller of the two would be too low where a label is hard to learn and yet right."""
    return 0.5 * (margin + torch.logit(1.0 - disagreement, eps=1e-4))
