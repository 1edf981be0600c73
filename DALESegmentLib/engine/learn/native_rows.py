"""Prepared probabilities on the image's own grid, row by row as they come: what `to_native` does, without ever holding
the whole of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..cases.geometry import Geometry
from .layout import canonical_affine, canonical_size


@dataclass(frozen=True)
class _Line:
    """For the voxels of one axis: the prepared voxels below and above, and how far it lies between them."""

    low: Tensor
    high: Tensor
    share: Tensor

    @staticmethod
    def of(step: float, start: float, count: int, available: int) -> _Line:
        where = np.clip(start + step * np.arange(count), 0, available - 1)
        low = np.floor(where).astype(np.int64)
        high = np.minimum(low + 1, available - 1)
        return _Line(torch.from_numpy(low), torch.from_numpy(high), torch.from_numpy((where - low).astype(np.float32)))

    def part(self, first: int, last: int, offset: int) -> _Line:
        chosen = slice(first, last)
        return _Line(self.low[chosen] - offset, self.high[chosen] - offset, self.share[chosen])

    def apply(self, values: Tensor, axis: int) -> Tensor:
        """Linear interpolation along one axis of (K, x, y, z)."""
        shape = [-1 if a == axis else 1 for a in range(4)]
        low, high, share = (t.to(values.device) for t in (self.low, self.high, self.share))
        return values.index_select(axis, low).lerp_(values.index_select(axis, high), share.reshape(shape))


class NativeRows:
    """Takes prepared rows (K, *rows) in order and gives the native rows that follow from them.

    affine: of the prepared grid, which is parallel to the native one; both in canonical layout. axis: of the rows.
    """

    def __init__(self, affine: Tensor, geometry: Geometry, size: tuple[int, ...], axis: int) -> None:
        change = np.linalg.inv(affine.double().numpy()) @ canonical_affine(geometry)
        self.size = canonical_size(geometry)
        self._lines = [_Line.of(float(change[a, a]), float(change[a, 3]), self.size[a], size[a]) for a in range(3)]
        self._axis = axis
        self._next = 0
        self._first = 0
        self._held: Tensor | None = None

    @staticmethod
    def needed(affine: Tensor, size: tuple[int, ...], geometry: Geometry) -> bool:
        """False where the prepared grid is the native one."""
        target = torch.from_numpy(canonical_affine(geometry))
        return tuple(size) != canonical_size(geometry) or not torch.allclose(affine.double(), target, atol=1e-4)

    def take(self, rows: Tensor) -> tuple[int, Tensor] | None:
        """The index of the first native row that is complete now and the rows (K, *native rows), or None."""
        dim = self._axis + 1
        held = rows.clone() if self._held is None else torch.cat([self._held, rows], dim)
        end = self._first + held.shape[dim]
        line = self._lines[self._axis]
        last = int(torch.searchsorted(line.high, torch.tensor(end)))
        found = None
        if last > self._next:
            values = line.part(self._next, last, self._first).apply(held, dim)
            for axis in {0, 1, 2} - {self._axis}:
                values = self._lines[axis].apply(values, axis + 1)
            found = (self._next, values)
        self._next = last
        still = int(line.low[last]) if last < len(line.low) else end
        still = min(max(still, self._first), end)
        self._held = held.narrow(dim, still - self._first, end - still).clone()
        self._first = still
        return found
