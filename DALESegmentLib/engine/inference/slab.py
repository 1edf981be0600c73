"""The slab: sums of overlapping windows, held only for the rows that a later window may still reach.

Finished rows become probabilities or classes, on the prepared grid or on the image's own. `StreamingResample` computes
what `to_native` does row by row, without holding all probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..geometry.grid import Geometry
from ..geometry.orientation import canonical_affine, canonical_size
from ..planning.preprocessing import same_affine
from ..planning.windows import Windows, window_weights

TakeRows = Callable[[int, Tensor, Tensor | None], None]
"""Is handed rows that are complete: the first one's index, the sums (K, *rows), the weights' sum (*rows) or None. They
are overwritten when it returns."""


class Slab:
    """Memory is that of K classes in rows of one window's length, whatever the length of the image.

    weigh: also sum the weights, which probabilities need, and who leaves windows out; a class decision over all windows
    does not.
    """

    def __init__(self, windows: Windows, classes: int, device: torch.device, take: TakeRows, *, weigh: bool) -> None:
        self._windows = windows
        self._axis = windows.axis
        self._take = take
        self._weights = window_weights(windows.patch, device, windows.tiling)
        self._weigh = weigh
        self._first = 0
        rows = windows.patch[self._axis]
        shape = [rows if axis == self._axis else n for axis, n in enumerate(windows.size)]
        kind = torch.half if windows.tiling.half else torch.float32
        self._sums = torch.zeros(classes + weigh, *shape, device=device, dtype=kind)

    @staticmethod
    def bytes_needed(windows: Windows, classes: int) -> int:
        rows = windows.patch[windows.axis] / windows.size[windows.axis]
        return int(4 * (classes + 1) * np.prod(windows.size) * rows)

    def add(self, starts: Sequence[np.ndarray], outputs: Tensor) -> None:
        """outputs: (B, K, *patch) logits of the windows that start there; these come in the order of `Windows`."""
        for start, logits in zip(starts, outputs, strict=True):
            self._advance(int(start[self._axis]))
            place = tuple(
                slice(0, n) if axis == self._axis else slice(int(s), int(s) + n)
                for axis, (s, n) in enumerate(zip(start, self._windows.patch, strict=True))
            )
            here = self._sums[np.index_exp[:] + place]
            if self._windows.tiling.half:  # each product in single precision, as addcmul_ would not have it
                here[: len(logits)] += logits * self._weights
            else:
                here[: len(logits)].addcmul_(logits, self._weights)
            if self._weigh:
                here[-1] += self._weights

    def finish(self) -> None:
        self._advance(self._windows.size[self._axis])

    def _advance(self, row: int) -> None:
        """No window that is still to come reaches a row before this one."""
        while self._first < row:
            axis = self._axis + 1
            held = self._sums.shape[axis]
            n = min(row - self._first, held)
            done = self._sums.narrow(axis, 0, n)
            self._take(self._first, done[:-1] if self._weigh else done, done[-1] if self._weigh else None)
            kept = self._sums.narrow(axis, n, held - n).clone()
            self._sums.narrow(axis, 0, held - n).copy_(kept)
            self._sums.narrow(axis, held - n, n).zero_()
            self._first += n


class SlabWriter:
    """Takes the rows of a slab, and keeps what they come to on the CPU, in `values`.

    where: the part of the padded image that is the image; axis: of the rows. grid: the prepared grid's affine and the
    native geometry, for rows in (canonical) native layout. decide: `values` holds the most probable class, uint8 or
    int16 (*size), instead of probabilities, float32 (K, *size).
    """

    def __init__(
        self,
        where: tuple[slice, ...],
        axis: int,
        classes: int,
        grid: tuple[Tensor, Geometry] | None,
        *,
        decide: bool,
    ) -> None:
        self._where = where
        self._axis = axis
        self._decide = decide
        self._grid = grid
        self._size = tuple(w.stop - w.start for w in where)
        self._native = None
        if grid is not None and StreamingResample.needed(grid[0], self._size, grid[1]):
            self._native = StreamingResample(*grid, self._size, axis)
        size = self._size if self._native is None else self._native.size
        kind = torch.uint8 if classes <= 256 else torch.int16
        self.values = torch.empty(size, dtype=kind) if decide else torch.empty(classes, *size)

    @property
    def needs_weights(self) -> bool:
        """A class decision needs no weights' sum, unless it is made after resampling."""
        return not self._decide or self._native is not None

    def take(self, first: int, sums: Tensor, weights: Tensor | None) -> None:
        """Of the padded image; see `slab.TakeRows`."""
        own = _rows_of(self._where, self._axis, first, sums.shape[self._axis + 1])
        if own is None:
            return
        row, inside = own
        sums = sums[np.index_exp[:] + inside]
        weights = None if weights is None else weights[inside]
        if self._native is None and self._decide:
            self._keep(row, _decided(sums, weights))
            return
        probabilities = _probabilities(sums, weights)
        if self._native is None:
            self._keep(row, probabilities)
            return
        found = self._native.take(probabilities)
        if found is not None:
            self._keep(found[0], found[1].argmax(0) if self._decide else found[1])

    def _keep(self, first: int, rows: Tensor) -> None:
        axis = self._axis + (not self._decide)
        self.values.narrow(axis, first, rows.shape[axis]).copy_(rows.to(self.values.dtype))


class OutputWriter:
    """Takes the rows of a slab as `SlabWriter` does, and keeps the blended outputs themselves, (K, *size)."""

    needs_weights = True

    def __init__(self, where: tuple[slice, ...], axis: int, outputs: int) -> None:
        self._where = where
        self._axis = axis
        self.values = torch.zeros(outputs, *(w.stop - w.start for w in where))

    def take(self, first: int, sums: Tensor, weights: Tensor | None) -> None:
        """Of the padded image; see `slab.TakeRows`."""
        assert weights is not None
        own = _rows_of(self._where, self._axis, first, sums.shape[self._axis + 1])
        if own is not None:
            row, inside = own
            here = sums[np.index_exp[:] + inside] / weights[inside]
            self.values.narrow(self._axis + 1, row, here.shape[self._axis + 1]).copy_(here)


def _rows_of(where: tuple[slice, ...], axis: int, first: int, count: int) -> tuple[int, tuple[slice, ...]] | None:
    """Of so many rows of the padded image, from `first` on, those of the image: which row of it the first of them is,
    and where they lie in the rows given; None where there is none."""
    rows = where[axis]
    low, high = max(first, rows.start), min(first + count, rows.stop)
    if low >= high:
        return None
    return low - rows.start, (*where[:axis], slice(low - first, high - first), *where[axis + 1 :])


def _decided(sums: Tensor, weights: Tensor | None) -> Tensor:
    classes = sums.argmax(0)
    return classes if weights is None else classes.masked_fill_(weights == 0, 0)


def _probabilities(sums: Tensor, weights: Tensor | None) -> Tensor:
    """(K, *rows). Where there was no window it is surely background."""
    assert weights is not None
    sums, weights = sums.float(), weights.float()
    values = (sums / weights.clamp_min(1e-12)).softmax(0)
    unseen = weights == 0
    values.masked_fill_(unseen, 0.0)
    values[0].masked_fill_(unseen, 1.0)
    return values


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


class StreamingResample:
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
        return tuple(size) != canonical_size(geometry) or not same_affine(affine, target)

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
