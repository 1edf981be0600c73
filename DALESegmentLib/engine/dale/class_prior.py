"""The class prior π: what to add to the logits so that the network gives each class as much as the annotators did.

Soft Dice is at its best not where the posterior is split at ½ but at half the Dice that can be reached (Lipton et al.
2014 for F1). With noisy labels that is far below ½: the network draws too large, and judged by its raw logits, labels
would look wrong on one side of the outline. So labels are judged by z + b, with b solved along the way for

    Σ_i softmax(z_i + b)_c = Σ_i 1(y_i = c)      by      b_c <- b_c + η ( log L_c - log P_c )

L and P are running averages of the labelled and the given mass of the class. In the closed form of the label
confidence, b_y - b_c is T logit π. That b restores the posterior is exact where the logits are off by a constant a
class, a heuristic otherwise; the network's own output is left as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..distributed.totals import over_ranks

LARGEST = 4.0
_FLOOR = 1e-4


class ClassPrior:
    """state: (3, K) float32: b, L and P; all 0 before the first batch."""

    def __init__(self, classes: int, rate: float = 0.1, memory: float = 0.95) -> None:
        self.rate = rate
        self.memory = memory
        self.state = torch.zeros(3, classes)

    def judged(self, logits: Tensor) -> Tensor:
        """z + b; logits: (B, K, *grid)."""
        offset = self.state[0].to(logits.device)
        return logits + offset.reshape(1, -1, *[1] * (logits.ndim - 2))

    def observe(self, posterior: Tensor, label: Tensor, valid: Tensor) -> None:
        """posterior: (B, K, *grid), softmax of what `judged` gives, without gradient; label, valid: (B, *grid), valid 0
        in padding."""
        given = (posterior * valid.unsqueeze(1)).sum([0, *range(2, posterior.ndim)])
        counted = torch.bincount(label.flatten(), valid.flatten(), minlength=posterior.shape[1])
        given, counted, voxels = over_ranks(given, counted.to(given), valid.sum())
        fresh = torch.stack([counted, given]) / voxels.clamp_min(1.0)
        self.state = self.state.to(fresh.device)
        masses = self.state[1:]
        masses = torch.where(masses.any(), torch.lerp(fresh, masses, self.memory), fresh)
        labelled, predicted = masses.clamp_min(_FLOOR)
        offset = self.state[0] + self.rate * (labelled / predicted).log()
        offset = (offset - offset[0]).clamp(-LARGEST, LARGEST)  # a constant for all classes changes nothing
        self.state = torch.cat([offset[None], masses])
