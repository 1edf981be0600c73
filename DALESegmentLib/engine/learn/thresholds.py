"""The thresholds of the soft partition over all cases, whichever rank they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..dale.config import DaleConfig
from ..dale.partition import stride, threshold
from ..distributed.ranks import Ranks
from .class_voxels import class_voxels
from .prepare import PreparedCase


class Thresholds:
    """Which voxels of each class are looked at, chosen once; where the learned labels change, they are chosen anew.

    cases: the rank's own. It is the voxels that would be chosen if those of all cases lay one after the other, so that
    the number of ranks changes nothing.
    """

    def __init__(self, cases: Sequence[PreparedCase], classes: int, ranks: Ranks) -> None:
        self.cases = cases
        self.classes = classes
        self.ranks = ranks
        own = [case.labels.class_counts() for case in cases]
        counts = np.array(ranks.together([[each.get(c, 0) for c in range(classes)] for each in own]))
        every = dict(enumerate(stride(int(n)) for n in counts.sum(0)))
        before = ranks.share([*np.cumsum([np.zeros_like(counts[0]), *counts[:-1]], axis=0)])
        self.chosen = [
            class_voxels(case.labels, every, dict(enumerate(n.tolist()))) for case, n in zip(cases, before, strict=True)
        ]

    def of(self, settings: DaleConfig) -> Tensor:
        """(classes,) float32 from the disagreement as it is now, see `threshold`."""
        return torch.tensor([self._threshold(c, settings) for c in range(self.classes)])

    def _threshold(self, c: int, settings: DaleConfig) -> float:
        samples = [
            case.labels.disagreement.view(-1)[chosen[c]].numpy()
            for case, chosen in zip(self.cases, self.chosen, strict=True)
        ]
        return threshold(np.concatenate(self.ranks.together(samples)), settings)
