"""Where something may be: one quick look at the image at half its resolution."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ..process.progress import Progress
from .kept_rows import KeptRows
from .plan import Plan
from .sweep import Sweep
from .windows import Windows, padded, windows_of

COARSER = 2
"""Voxels of the image to one of the first look, along every axis of the network."""
POSSIBLE = 0.1
"""Where at least so probable at the low resolution, a window is run."""
MARGIN = 2
"""Low-resolution voxels around it that are taken for possible, too."""
OVERLAP = 0.0


def foreground_windows(image: Tensor, windows: Windows, sweep: Sweep, plan: Plan, progress: Progress) -> Windows:
    """Those that may hold anything but background; all of them, where the first look finds nothing at all.

    image: (C, *windows.size). A network knows objects of the size it was trained on; that it finds them at half of it
    is likely, and not sure.
    """
    small = _coarse(image, plan)
    full, where = padded(small, plan.patch_size)
    coarse = windows_of(tuple(full.shape[1:]), plan.patch_size, OVERLAP)
    keep = partial(KeptRows, where, coarse.axis, plan.classes, None, decide=False)
    background = sweep.run(full, coarse, keep, progress, partial=False)[0].numpy()
    possible = background <= 1.0 - POSSIBLE
    if not possible.any():
        return windows
    possible = ndimage.binary_dilation(possible, iterations=MARGIN)
    factors = [round(n / m) for n, m in zip(image.shape[1:], small.shape[1:], strict=True)]
    wide = possible
    for axis, (factor, n) in enumerate(zip(factors, image.shape[1:], strict=True)):
        wide = np.take(wide, np.minimum(np.arange(n) // factor, wide.shape[axis] - 1), axis)
    return windows.holding(wide)


def _coarse(image: Tensor, plan: Plan) -> Tensor:
    factors = [
        1 if (plan.dims == 2 and axis == plan.slice_axis) or image.shape[axis + 1] < 2 * COARSER else COARSER
        for axis in range(3)
    ]
    return torch.nn.functional.avg_pool3d(image.unsqueeze(0), factors, ceil_mode=True)[0]
