"""Where a patch lies in its case, and how it is turned.

Only flips and quarter turns are used, so every patch voxel is one voxel of the case, and what is learned about it can
be written back to exactly where it came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pose:
    """How a patch lies in its case: first voxel, size, flipped axes, quarter turns in the plane `turn_axes`.

    as_it_is: its brightness is not to be changed either."""

    case: int
    start: tuple[int, int, int]
    size: tuple[int, int, int]
    flips: tuple[int, ...]
    turns: int
    turn_axes: tuple[int, int]
    as_it_is: bool = False

    @property
    def box(self) -> tuple[EllipsisType | slice, ...]:
        """Where it lies, as an index of an (..., x, y, z) array."""
        return (..., *(slice(first, first + n) for first, n in zip(self.start, self.size, strict=True)))

    def take(self, array: Tensor) -> Tensor:
        """The patch of an (..., x, y, z) array. A view where nothing is turned."""
        return self.turned(array[self.box])

    def put(self, array: Tensor, patch: Tensor) -> None:
        """Write a patch back to where `take` found it."""
        array[self.box] = self.unturned(patch).to(array.dtype)

    def turned(self, patch: Tensor) -> Tensor:
        """(..., *size), as it lies in its case, flipped and turned. A view where nothing is turned."""
        back = [axis - 3 for axis in self.flips]
        turned = torch.rot90(patch, self.turns, [axis - 3 for axis in self.turn_axes]) if self.turns else patch
        return turned.flip(back) if back else turned

    def unturned(self, patch: Tensor) -> Tensor:
        """What `turned` was given."""
        back = [axis - 3 for axis in self.flips]
        patch = patch.flip(back) if back else patch
        return torch.rot90(patch, -self.turns, [axis - 3 for axis in self.turn_axes]) if self.turns else patch
