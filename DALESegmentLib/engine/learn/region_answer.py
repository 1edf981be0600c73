"""A model's answer in one box of an image: only the windows that reach into it are run."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from monai.data import MetaTensor

from ..cases.geometry import Geometry
from ..process.progress import Progress
from .kept_rows import KeptRows
from .predictor import Predictor
from .prepare import to_native
from .windows import padded, windows_of


def region_probabilities(predictor: Predictor, image: MetaTensor, box: Geometry, progress: Progress) -> np.ndarray:
    """(K, *box.array_shape), what the answer for the whole image has there.

    image: (C, x, y, z) prepared, with its affine; box: a part of the image's own grid (`Geometry.part`).
    """
    plan = predictor.plan
    first, last = _prepared_box(box, image.affine.numpy(), image.shape[1:])
    full, where = padded(image.as_tensor(), plan.patch_size)
    before = np.array([w.start for w in where])
    windows = windows_of(tuple(full.shape[1:]), plan.patch_size).touching(first + before, last + before)
    start, size = windows.frame()
    frame = tuple(slice(int(s), int(s + n)) for s, n in zip(start, size, strict=True))
    low = np.maximum(before, start)
    high = np.minimum([w.stop for w in where], start + size)
    here = tuple(slice(int(a - s), int(b - s)) for a, b, s in zip(low, high, start, strict=True))
    keep = partial(KeptRows, here, windows.axis, plan.classes, None, decide=False)
    values = predictor.sweep.run(
        full[np.index_exp[:] + frame], windows.inside(start, size), keep, progress, partial=True
    )
    affine = image.affine.clone()
    affine[:3, 3] += affine[:3, :3] @ torch.from_numpy(low - before).to(affine)
    return to_native(values, affine, box)


def _prepared_box(box: Geometry, affine: np.ndarray, size: torch.Size) -> tuple[np.ndarray, np.ndarray]:
    """First and last prepared voxel that the box's voxels are interpolated from."""
    ends = [(0, n - 1) for n in (*box.size, 1)[:3]]
    corners = np.array(np.meshgrid(*ends, [1.0], indexing="ij")).reshape(4, -1)
    where = (np.linalg.inv(affine) @ box.ijk_to_ras() @ corners)[:3]
    last = np.array(size) - 1
    # a hair's breadth is rounding, not another voxel
    low, high = np.floor(where.min(1) + 1e-4), np.ceil(where.max(1) - 1e-4)
    return np.clip(low, 0, last).astype(int), np.clip(high, 0, last).astype(int)
