"""The thresholds of the soft partition over all cases, whichever rank they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..dale.partition import stride, threshold
from ..dale.settings import DaleSettings
from ..distributed.ranks import Ranks
from .prepare import PreparedCase

Voxels = tuple[Tensor, ...]


class Thresholds:
    """Which voxels of each class are looked at, chosen once; where labels are drawn anew, they are chosen anew.

    cases: the rank's own. It is the voxels that would be chosen if those of all cases lay one after the other, so that
    the number of ranks changes nothing.
    """

    def __init__(self, cases: Sequence[PreparedCase], classes: int, ranks: Ranks) -> None:
        self.cases = cases
        self.ranks = ranks
        self.chosen = [self._choose(c) for c in range(classes)]

    def of(self, settings: DaleSettings) -> Tensor:
        """(classes,) float32 from the disagreement as it is now, see `threshold`."""
        return torch.tensor([self._threshold(voxels, settings) for voxels in self.chosen])

    def _choose(self, c: int) -> list[Voxels]:
        own = [torch.nonzero(case.label == c, as_tuple=True) for case in self.cases]
        counts = self.ranks.together([len(voxels[0]) for voxels in own])
        step = stride(sum(counts))
        before = self.ranks.share([int(n) for n in np.cumsum([0, *counts[:-1]])])
        return [tuple(axis[-n % step :: step] for axis in voxels) for voxels, n in zip(own, before, strict=True)]

    def _threshold(self, chosen: list[Voxels], settings: DaleSettings) -> float:
        samples = [case.disagreement[voxels].numpy() for case, voxels in zip(self.cases, chosen, strict=True)]
        return threshold(np.concatenate(self.ranks.together(samples)), settings)
