"""Voxels of each class, evenly taken over a case, a slab of it at a time.

Lists of all voxels would take several times the memory of the image; these take no more than what is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from .label_state import LabelState, Where


def class_voxels(
    labels: LabelState, every: Mapping[int, int], passed: Mapping[int, int] | None = None
) -> dict[int, Tensor]:
    """(N,) int64 indices into the flattened grid, in its order, by class of the target.

    every: by class, n where every n-th of its voxels is taken, beginning with the first; passed: how many voxels of the
    class, of other cases, are counted before.
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
