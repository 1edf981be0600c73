"""The overlapping windows a network is run on: MONAI's grid of them, or the part of it that is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from torch import Tensor

OVERLAP = 0.25
PADDING = "replicate"
"""How an image smaller than a patch is filled up, in training as in prediction."""


@dataclass(frozen=True)
class Windows:
    """size: the image's voxels; patch: a window's; starts: (N, 3), the first voxel of each; axis: the one along which
    a window is the smallest part of the image, so that a slab across it is small. starts are sorted along it."""

    size: tuple[int, ...]
    patch: tuple[int, ...]
    starts: np.ndarray
    axis: int

    def __len__(self) -> int:
        return len(self.starts)

    def intersecting(self, first: np.ndarray, last: np.ndarray) -> Windows:
        """Those that hold any voxel of the box; first and last: (3,), both inside."""
        holds = (self.starts <= last) & (self.starts + np.array(self.patch) > first)
        return self._chosen(holds.all(1))

    def containing(self, wanted: np.ndarray) -> Windows:
        """Those that hold any of the voxels wanted; wanted: bool, (*size)."""
        boxes = [tuple(slice(s, s + n) for s, n in zip(start, self.patch, strict=True)) for start in self.starts]
        return self._chosen(np.array([bool(wanted[box].any()) for box in boxes], bool))

    def frame(self) -> tuple[np.ndarray, np.ndarray]:
        """First voxel and size of the smallest box that holds all of them."""
        first = self.starts.min(0)
        return first, (self.starts + np.array(self.patch)).max(0) - first

    def relative_to(self, first: np.ndarray, size: np.ndarray) -> Windows:
        """The same windows as seen from an image that was cut to that box."""
        return Windows(tuple(int(n) for n in size), self.patch, self.starts - first, self.axis)

    def _chosen(self, which: np.ndarray) -> Windows:
        return Windows(self.size, self.patch, self.starts[which], self.axis)


def windows_of(size: tuple[int, ...], patch: tuple[int, ...], overlap: float = OVERLAP) -> Windows:
    """All windows over an image of at least the patch's size, where MONAI's sliding window has them."""
    interval = [p if p == n else max(int(p * (1 - overlap)), 1) for n, p in zip(size, patch, strict=True)]
    slices = dense_patch_slices(size, patch, interval)
    starts = np.array([[s.start for s in window] for window in slices])
    axis = int(np.argmin(np.array(patch) / np.array(size)))
    return Windows(tuple(size), tuple(patch), starts[np.argsort(starts[:, axis], kind="stable")], axis)


def window_weights(patch: tuple[int, ...], device: torch.device) -> Tensor:
    """(*patch): how much each voxel of a window counts, most in its middle."""
    return torch.as_tensor(compute_importance_map(patch, mode="gaussian", device=device))


def padded(image: Tensor, patch: tuple[int, ...]) -> tuple[Tensor, tuple[slice, ...]]:
    """(C, x, y, z) filled up to the patch's size, and where in it the image lies."""
    missing = [max(p - n, 0) for n, p in zip(image.shape[1:], patch, strict=True)]
    before = [m // 2 for m in missing]
    where = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    if not any(missing):
        return image, where
    sides = [side for b, m in zip(reversed(before), reversed(missing), strict=True) for side in (b, m - b)]
    return torch.nn.functional.pad(image.unsqueeze(0), sides, mode=PADDING)[0], where
