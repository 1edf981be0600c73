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


def thresholds_of(cases: Sequence[PreparedCase], classes: int, settings: DaleSettings, ranks: Ranks) -> Tensor:
    """(classes,) float32, see `class_thresholds`. cases: the rank's own. What is looked at of a class is what would be
    if its voxels of all cases lay one after the other, so that the number of ranks changes nothing."""
    return torch.tensor([_threshold(cases, c, settings, ranks) for c in range(classes)])


def _threshold(cases: Sequence[PreparedCase], c: int, settings: DaleSettings, ranks: Ranks) -> float:
    own = [case.disagreement[case.label == c].numpy() for case in cases]
    counts = ranks.together([len(s) for s in own])
    step = stride(sum(counts))
    before = ranks.share([int(n) for n in np.cumsum([0, *counts[:-1]])])
    samples = ranks.together([s[-start % step :: step] for s, start in zip(own, before, strict=True)])
    return threshold(np.concatenate(samples), settings)
