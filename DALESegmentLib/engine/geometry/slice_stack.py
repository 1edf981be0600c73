"""Stacks of parallel slices, evenly spaced along their normal, which may be shifted against each other in their plane,
as a scanner with a tilted gantry takes them; and bringing them onto a grid, whose slices are not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.ndimage import affine_transform

from ..core.errors import checkpoint
from .grid import Geometry

_DIGITS = 5
"""Of a place in voxels: positions come from decimal numbers in mm."""


@dataclass(frozen=True)
class SliceStack:
    """geometry: the grid that the slices would have if none were shifted. offsets: (slices, 2), by how many voxels
    along i and j each one is."""

    geometry: Geometry
    offsets: np.ndarray

    @staticmethod
    def of(geometry: Geometry, positions: np.ndarray) -> SliceStack:
        """positions: (slices, 3) LPS mm of the first voxel of each slice, in the order of k."""
        axes = np.array(geometry.direction).reshape(3, 3)[:, :2]
        return SliceStack(geometry, (positions - np.array(geometry.origin)) @ axes / geometry.spacing[:2])

    @property
    def shifts(self) -> np.ndarray:
        """(slices, 2) mm along i and j."""
        return np.asarray(self.offsets * self.geometry.spacing[:2])

    @property
    def degrees(self) -> float | None:
        """The angle between the normal and the line through the slices; None where they do not lie on a line."""
        shifts = self.shifts
        steps = np.arange(len(shifts))[:, None]
        slope = (shifts[-1] - shifts[0]) / max(len(shifts) - 1, 1)
        if np.abs(shifts - shifts[0] - steps * slope).max() > 0.5 * min(self.geometry.spacing[:2]):
            return None
        return float(np.degrees(np.arctan2(np.linalg.norm(slope), self.geometry.spacing[2])))

    def straight_grid(self) -> Geometry:
        """The smallest grid without shifts, on the voxels of the first slice, that holds all slices entirely."""
        first = np.floor(np.round(self.offsets.min(axis=0), _DIGITS)).astype(int)
        last = np.ceil(np.round(self.offsets.max(axis=0), _DIGITS)).astype(int)
        size = np.array(self.geometry.size)
        whole = self.geometry.part((*first, 0), (*(size[:2] - 1 + last), size[2] - 1))
        return replace(self.geometry, size=whole.size, origin=whole.origin)

    def straightened(self, array: np.ndarray, fill: float, nearest: bool = False) -> np.ndarray:
        """(C, slices, rows, columns) on the straight grid, each slice shifted in its plane by linear interpolation, in
        float32, or by nearest neighbour, in its own type; `fill` where there is none."""
        whole = self.straight_grid()
        if nearest:
            return self.nearest_on(array, whole, fill)
        out = np.full((len(array), *whole.array_shape), fill, np.float32)
        corner = SliceStack.of(self.geometry, np.array([whole.origin])).offsets[0]
        for k, (i, j) in enumerate(np.round(self.offsets - corner, _DIGITS)):
            checkpoint()
            box = tuple(_covered(at, size) for at, size in ((j, self.geometry.size[1]), (i, self.geometry.size[0])))
            start = box[0].start - j, box[1].start - i
            for source, result in zip(array[:, k], out[:, k], strict=True):
                shape = result[box].shape
                result[box] = affine_transform(source, (1, 1), start, shape, np.float32, order=1, mode="nearest")
        return out

    def nearest_on(self, array: np.ndarray, target: Geometry, fill: float = 0) -> np.ndarray:
        """(C, *target) of (C, slices, rows, columns): what the nearest voxel has; `fill` outside the slices, of which
        each is as thick as they are apart."""
        index = np.linalg.solve(self.geometry.ijk_to_ras(), target.ijk_to_ras())
        out = np.full((len(array), *target.array_shape), fill, array.dtype)
        box = self._reached(array != fill, target)
        j, i = np.mgrid[box[1:]]
        plane = np.stack([i.ravel(), j.ravel()])
        for k in range(target.size[2])[box[0]]:
            checkpoint()
            place = index[:3, :2] @ plane + (index[:3, 2] * k + index[:3, 3])[:, None]
            slices = _nearest(place[2])
            there = (slices >= 0) & (slices < self.geometry.size[2])
            offsets = self.offsets[np.where(there, slices, 0)].T
            columns, rows = _nearest(place[:2] - offsets)
            there &= (columns >= 0) & (columns < self.geometry.size[0]) & (rows >= 0) & (rows < self.geometry.size[1])
            found = array[:, slices[there], rows[there], columns[there]]
            out[:, k, plane[1, there], plane[0, there]] = found
        return out

    def _reached(self, inside: np.ndarray, target: Geometry) -> tuple[slice, slice, slice]:
        """The box (k, j, i) of the target that voxels of a mask (C, slices, rows, columns) may lie in."""
        if not inside.any():
            return slice(0), slice(0), slice(0)
        ends = []
        for axis in (3, 2, 1):
            used = np.flatnonzero(inside.any(axis=tuple({0, 1, 2, 3} - {axis})))
            ends.append([used[0] - 1.0, used[-1] + 1.0])
        slices = self.offsets[max(int(ends[2][0]), 0) : int(ends[2][1]) + 1]
        for axis in range(2):
            ends[axis] = [ends[axis][0] + slices[:, axis].min(), ends[axis][1] + slices[:, axis].max()]
        corners = np.array([[*corner, 1] for corner in product(*ends)]).T
        index = np.linalg.solve(target.ijk_to_ras(), self.geometry.ijk_to_ras() @ corners)[:3]
        first, last = np.floor(index.min(axis=1)), np.ceil(index.max(axis=1)) + 1
        i, j, k = (slice(*np.clip([a, b], 0, n).astype(int)) for a, b, n in zip(first, last, target.size, strict=True))
        return k, j, i

    def outside(self, inside: np.ndarray, target: Geometry) -> int:
        """How many voxels of a mask (slices, rows, columns) have their centre outside the target's voxels."""
        index = np.linalg.solve(target.ijk_to_ras(), self.geometry.ijk_to_ras())
        last = np.array(target.size)[:, None] - 0.5
        count = 0
        for k in np.flatnonzero(inside.any(axis=(1, 2))):
            j, i = np.nonzero(inside[k])
            plane = np.stack([i, j]) + self.offsets[k][:, None]
            place = index[:3, :2] @ plane + (index[:3, 2] * k + index[:3, 3])[:, None]
            count += place.shape[1] - int(np.count_nonzero(((place >= -0.5) & (place < last)).all(axis=0)))
        return count


def _covered(at: float, size: int) -> slice:
    """The voxels whose centres lie on so many others, the first of which lies at `at`."""
    first = int(_nearest(np.array(at)))
    return slice(first, first + size)


def _nearest(place: np.ndarray) -> np.ndarray:
    """Of two that are equally near always the same one, so that no row is taken twice."""
    return np.asarray(np.floor(np.round(place, _DIGITS) + 0.5), int)
