"""The overlapping windows a network is run on: MONAI's grid of them, or the part of it that is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from scipy import ndimage
from torch import Tensor

from .preparation import Tiling

OWN = Tiling()
OVERLAP = OWN.overlap
PADDING = OWN.padding
"""How an image smaller than a patch is filled up, in training as in prediction."""


@dataclass(frozen=True)
class Windows:
    """size: the image's voxels; patch: a window's; starts: (N, 3), the first voxel of each; axis: the one along which
    a window is the smallest part of the image, so that a slab across it is small. starts are sorted along it."""

    size: tuple[int, ...]
    patch: tuple[int, ...]
    starts: np.ndarray
    axis: int
    tiling: Tiling = OWN

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
        return replace(self, size=tuple(int(n) for n in size), starts=self.starts - first)

    def _chosen(self, which: np.ndarray) -> Windows:
        return replace(self, starts=self.starts[which])


def windows_of(
    size: tuple[int, ...], patch: tuple[int, ...], overlap: float | None = None, tiling: Tiling = OWN
) -> Windows:
    """All windows over an image of at least the patch's size, where MONAI's sliding window has them; with even steps
    where nnU-Net has them. overlap: in place of the tiling's."""
    overlap = tiling.overlap if overlap is None else overlap
    if tiling.even:
        starts = np.stack(np.meshgrid(*_even_steps(size, patch, overlap), indexing="ij"), -1).reshape(-1, len(size))
        starts = starts[np.lexsort([starts[:, axis] for axis in reversed(tiling.order)])]
        return Windows(tuple(size), tuple(patch), starts, tiling.order[0], tiling)
    interval = [p if p == n else max(int(p * (1 - overlap)), 1) for n, p in zip(size, patch, strict=True)]
    slices = dense_patch_slices(size, patch, interval)
    starts = np.array([[s.start for s in window] for window in slices])
    axis = int(np.argmin(np.array(patch) / np.array(size)))
    return Windows(tuple(size), tuple(patch), starts[np.argsort(starts[:, axis], kind="stable")], axis, tiling)


def _even_steps(size: tuple[int, ...], patch: tuple[int, ...], overlap: float) -> list[np.ndarray]:
    """First voxels along each axis: no more windows than the overlap takes, evenly from end to end."""
    counts = [int(np.ceil((n - p) / (p * (1 - overlap)))) + 1 for n, p in zip(size, patch, strict=True)]
    return [
        np.round(np.arange(count) * ((n - p) / max(count - 1, 1))).astype(int)
        for n, p, count in zip(size, patch, counts, strict=True)
    ]


def window_weights(patch: tuple[int, ...], device: torch.device, tiling: Tiling = OWN) -> Tensor:
    """(*patch): how much each voxel of a window counts, most in its middle."""
    if tiling.weights == "nnunet":
        return _nnunet_weights(patch, tiling.sigma).to(device)
    found = compute_importance_map(patch, mode=tiling.weights, sigma_scale=tiling.sigma, device=device)
    return torch.as_tensor(found)


def _nnunet_weights(patch: tuple[int, ...], sigma: float) -> Tensor:
    """The Gaussian filter's answer to one voxel, 10 in the middle; in half precision, as nnU-Net has it. An axis of one
    voxel is that of a 2D network."""
    spike = np.zeros(patch)
    spike[tuple(n // 2 for n in patch)] = 1
    wide = ndimage.gaussian_filter(spike, [0 if n == 1 else n * sigma for n in patch], mode="constant")
    weights = torch.from_numpy(wide / wide.max() * 10).half()
    return weights.clamp_min(float(weights[weights > 0].min())).float()


def padded(image: Tensor, patch: tuple[int, ...], tiling: Tiling = OWN) -> tuple[Tensor, tuple[slice, ...]]:
    """(C, x, y, z) filled up to the patch's size, and where in it the image lies."""
    missing = [max(p - n, 0) for n, p in zip(image.shape[1:], patch, strict=True)]
    before = [m // 2 for m in missing]
    where = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    if not any(missing):
        return image, where
    sides = [side for b, m in zip(reversed(before), reversed(missing), strict=True) for side in (b, m - b)]
    return torch.nn.functional.pad(image.unsqueeze(0), sides, mode=tiling.padding)[0], where
