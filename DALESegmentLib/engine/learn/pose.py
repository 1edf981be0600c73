"""Where a patch lies in its case, and how it is turned.

Only flips and quarter turns are used, so every patch voxel is one voxel of the case, and what is learned about it can
be written back to exactly where it came from.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    def take(self, array: Tensor) -> Tensor:
        """The patch of an (..., x, y, z) array. A view where nothing is turned."""
        x, y, z = self.start
        patch = array[..., x : x + self.size[0], y : y + self.size[1], z : z + self.size[2]]
        back = [axis - 3 for axis in self.flips]
        turned = torch.rot90(patch, self.turns, [axis - 3 for axis in self.turn_axes]) if self.turns else patch
        return turned.flip(back) if back else turned

    def put(self, array: Tensor, patch: Tensor) -> None:
        """Write a patch back to where `take` found it."""
        x, y, z = self.start
        back = [axis - 3 for axis in self.flips]
        patch = patch.flip(back) if back else patch
        patch = torch.rot90(patch, -self.turns, [axis - 3 for axis in self.turn_axes]) if self.turns else patch
        array[..., x : x + self.size[0], y : y + self.size[1], z : z + self.size[2]] = patch.to(array.dtype)
