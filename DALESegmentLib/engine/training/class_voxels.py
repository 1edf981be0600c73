"""Some voxels of each class, evenly taken over a case: found a slab at a time, so that they cost no more than they are.

A list of all voxels would take several times the memory of the image.

The thresholds of the soft partition over all cases, whichever rank they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..core.distributed import Ranks
from ..dale.config import DaleConfig
from ..dale.label_state import LabelState, Where
from ..dale.memory import stride, threshold
from ..planning.preprocessing import PreparedCase


def class_voxels(
    labels: LabelState, every: Mapping[int, int], passed: Mapping[int, int] | None = None
) -> dict[int, Tensor]:
    """(N,) int64 indices into the flattened grid, in its order, by class of the target.

    every: for each class, every how manieth of its voxels is taken, beginning with the first; passed: how many voxels
    of the class, of other cases, are counted before.
    """
    return _taken(labels, labels.target, every, dict(passed or {}))


def reviewed_voxels(labels: LabelState, most: int) -> np.ndarray:
    """(N, dims) int32, so many reviewed voxels at most, or up to twice as many."""
    count = sum(int(labels.reviewed[where].sum()) for where in labels.slabs())
    found = _taken(labels, lambda where: labels.reviewed[where], {1: max(1, count // most)}, {})
    return points(found[1], labels.shape)


def points(flat: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """(N, dims) int32 of (N,) flat indices."""
    return np.stack(np.unravel_index(flat.numpy(), shape), axis=1).astype(np.int32)


def _taken(
    labels: LabelState, label: Callable[[Where], Tensor], every: Mapping[int, int], passed: dict[int, int]
) -> dict[int, Tensor]:
    taken: dict[int, list[Tensor]] = {value: [torch.zeros(0, dtype=torch.int64)] for value in every}
    start = 0
    for where in labels.slabs():
        part = label(where).flatten()
        for value in _present(part, every):
            at = (part == value).nonzero().squeeze(1)
            before = passed.get(value, 0)
            taken[value].append(at[-before % every[value] :: every[value]] + start)
            passed[value] = before + len(at)
        start += len(part)
    return {value: torch.cat(parts) for value, parts in taken.items()}


def _present(part: Tensor, values: Iterable[int]) -> list[int]:
    there = set(torch.unique(part).tolist())
    return [value for value in values if value in there]


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
        counts = np.array(ranks.all_gather([[each.get(c, 0) for c in range(classes)] for each in own]))
        every = dict(enumerate(stride(int(n)) for n in counts.sum(0)))
        before = ranks.shard([*np.cumsum([np.zeros_like(counts[0]), *counts[:-1]], axis=0)])
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
        return threshold(np.concatenate(self.ranks.all_gather(samples)), settings)
