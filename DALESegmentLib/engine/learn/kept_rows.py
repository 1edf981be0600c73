"""What becomes of the rows of a sweep: probabilities or the class decision, on the prepared grid or the image's own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..cases.geometry import Geometry
from .native_rows import NativeRows


class KeptRows:
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
        if grid is not None and NativeRows.needed(grid[0], self._size, grid[1]):
            self._native = NativeRows(*grid, self._size, axis)
        size = self._size if self._native is None else self._native.size
        kind = torch.uint8 if classes <= 256 else torch.int16
        self.values = torch.empty(size, dtype=kind) if decide else torch.empty(classes, *size)

    @property
    def needs_weights(self) -> bool:
        """A class decision needs no weights' sum, unless it is made after resampling."""
        return not self._decide or self._native is not None

    def take(self, first: int, sums: Tensor, weights: Tensor | None) -> None:
        """Of the padded image; see `slab.TakeRows`."""
        rows = self._where[self._axis]
        low, high = max(first, rows.start), min(first + sums.shape[self._axis + 1], rows.stop)
        if low >= high:
            return
        inside = list(self._where)
        inside[self._axis] = slice(low - first, high - first)
        sums = sums[np.index_exp[:] + tuple(inside)]
        weights = None if weights is None else weights[tuple(inside)]
        if self._native is None and self._decide:
            self._keep(low - rows.start, _decided(sums, weights))
            return
        probabilities = _probabilities(sums, weights)
        if self._native is None:
            self._keep(low - rows.start, probabilities)
            return
        found = self._native.take(probabilities)
        if found is not None:
            self._keep(found[0], found[1].argmax(0) if self._decide else found[1])

    def _keep(self, first: int, rows: Tensor) -> None:
        axis = self._axis + (not self._decide)
        self.values.narrow(axis, first, rows.shape[axis]).copy_(rows.to(self.values.dtype))


def _decided(sums: Tensor, weights: Tensor | None) -> Tensor:
    classes = sums.argmax(0)
    return classes if weights is None else classes.masked_fill_(weights == 0, 0)


def _probabilities(sums: Tensor, weights: Tensor | None) -> Tensor:
    """(K, *rows). Where there was no window it is surely background."""
    assert weights is not None
    values = (sums / weights.clamp_min(1e-12)).softmax(0)
    unseen = weights == 0
    values.masked_fill_(unseen, 0.0)
    values[0].masked_fill_(unseen, 1.0)
    return values
