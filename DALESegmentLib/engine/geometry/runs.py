"""Masks as runs of voxels, short enough for a line of text: [[first, count], ...], counted in C order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def runs_of(mask: np.ndarray) -> list[list[int]]:
    """Of the True voxels of a mask."""
    edges = np.flatnonzero(np.diff(mask.ravel().astype(np.int8), prepend=0, append=0))
    return [[int(a), int(b - a)] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def mask_of(runs: Iterable[Sequence[int]], shape: Sequence[int]) -> np.ndarray:
    """bool of that shape, as `runs_of` was given it."""
    mask = np.zeros(int(np.prod(shape)), bool)
    for first, count in runs:
        mask[first : first + count] = True
    return mask.reshape(shape)
