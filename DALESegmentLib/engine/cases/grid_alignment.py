"""Moving voxels between grids on one lattice: axes swapped, flipped, cropped, padded, never resampled."""

from __future__ import annotations

import numpy as np

from .geometry import Geometry

TOLERANCE = 0.01  # voxels, at the corners of the target


def onto_grid(array: np.ndarray, geometry: Geometry, target: Geometry) -> np.ndarray | None:
    """The same voxels on the grid of `target`, 0 where `geometry` does not reach; None on another lattice.

    array: (*grid) or (C, *grid) on `geometry`. A 2D grid counts as one slice of 1 mm.
    """
    source_from_target = np.linalg.solve(geometry.ijk_to_ras(), target.ijk_to_ras())
    lattice = np.rint(source_from_target)
    corners = [
        [*(c * (n - 1) for c, n in zip(corner, _size3(target), strict=True)), 1] for corner in np.ndindex(2, 2, 2)
    ]
    if np.abs((source_from_target - lattice) @ np.transpose(corners)).max() > TOLERANCE:
        return None
    axes, offsets = lattice[:3, :3].astype(int), lattice[:3, 3].astype(int)
    if not (np.abs(axes).sum(axis=0) == 1).all() or not (np.abs(axes).sum(axis=1) == 1).all():
        return None
    extra = array.shape[: array.ndim - geometry.dims]
    ijk = array.reshape(*extra, *reversed(_size3(geometry))).T  # i, j, k(, C)
    order = [int(np.flatnonzero(axes[:, t])[0]) for t in range(3)]
    ijk = ijk.transpose(*order, *range(3, ijk.ndim))
    starts = []
    for t, s in enumerate(order):
        flipped = axes[s, t] < 0
        if flipped:
            ijk = np.flip(ijk, t)
        starts.append(ijk.shape[t] - 1 - offsets[s] if flipped else offsets[s])
    return _window(ijk, starts, _size3(target)).T.reshape(*extra, *target.array_shape)


def same_voxels(geometry: Geometry, target: Geometry) -> bool:
    """Do both grids consist of the same voxels, be it in another order of axes?"""
    if sorted(_size3(geometry)) != sorted(_size3(target)):
        return False
    there = onto_grid(np.ones(geometry.array_shape, bool), geometry, target)
    return there is not None and bool(there.all())


def _window(ijk: np.ndarray, starts: list[int], size: tuple[int, ...]) -> np.ndarray:
    """`size` voxels from index `starts` on, which may lie outside, filled with 0."""
    out = np.zeros((*size, *ijk.shape[3:]), ijk.dtype)
    take, put = [], []
    for start, wanted, there in zip(starts, size, ijk.shape[:3], strict=True):
        first, last = max(start, 0), min(start + wanted, there)
        take.append(slice(first, max(last, first)))
        put.append(slice(first - start, max(last, first) - start))
    out[tuple(put)] = ijk[tuple(take)]
    return out


def _size3(geometry: Geometry) -> tuple[int, ...]:
    return (*geometry.size, 1)[:3]
