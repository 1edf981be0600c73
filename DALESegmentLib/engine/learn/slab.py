"""The sum of what overlapping windows say, kept only for the rows that a window may still reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from .windows import Windows, window_weights

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
        self._weights = window_weights(windows.patch, device)
        self._weigh = weigh
        self._first = 0
        rows = windows.patch[self._axis]
        shape = [rows if axis == self._axis else n for axis, n in enumerate(windows.size)]
        self._sums = torch.zeros(classes + weigh, *shape, device=device)

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
