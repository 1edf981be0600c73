"""Connected objects of a mask and how large they are. `spacing` is mm along the array's axes, (k, j, i) or (j, i)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from ..core.errors import checkpoint
from .distance import Box, bounding_box


def components(mask: np.ndarray) -> Iterator[tuple[Box, np.ndarray]]:
    """The connected parts of a mask, corners touching: a box and the part's mask in it."""
    checkpoint()
    parts, _ = ndimage.label(mask, np.ones((3,) * mask.ndim))
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        checkpoint()
        yield box, parts[box] == number


def equivalent_diameter(voxels: int, spacing: Sequence[float]) -> float:
    """Diameter in mm of the ball (in 2D the disc) of so many voxels."""
    volume = voxels * float(np.prod(spacing))
    return 2 * (volume / np.pi) ** 0.5 if len(spacing) == 2 else (6 * volume / np.pi) ** (1 / 3)


def object_radius(mask: np.ndarray, spacing: Sequence[float], slice_axis: int | None = None) -> float:
    """mm, of a ball (a disc, where there is one slice or they are outlined one by one) as large as the objects are,
    weighed by size. 0 without any. slice_axis: of images whose slices are outlined one by one."""
    box = bounding_box(mask)
    if box is None:
        return 0.0
    steps = [step for axis, step in enumerate(spacing) if axis != slice_axis and mask.shape[axis] > 1]
    structure = np.ones((3,) * mask.ndim)
    if slice_axis is not None:
        structure[tuple(slice(None) if axis != slice_axis else [0, 2] for axis in range(mask.ndim))] = 0
    objects, _ = ndimage.label(mask[box], structure)
    sizes = np.bincount(objects.ravel())[1:].astype(float)
    size = (sizes**2).sum() / sizes.sum() * float(np.prod(steps))
    return float((3 * size / (4 * np.pi)) ** (1 / 3) if len(steps) == 3 else (size / np.pi) ** 0.5)


def longest_diameter(mask: np.ndarray, spacing: Sequence[float]) -> float:
    """The longest distance in mm between two voxel centres of one slice (axis k), plus one pixel; 0 of nothing.

    mask: (k, j, i) or (j, i) bool.
    """
    planes = mask if mask.ndim == 3 else mask[None]
    step = np.array(spacing[-2:])
    lengths = [_longest(np.argwhere(plane) * step) for plane in planes if plane.any()]
    return max(lengths) + float(step.mean()) if lengths else 0.0


def _longest(points: np.ndarray) -> float:
    """points: (n, 2) mm. Of many points only the corners of their hull can be farthest apart."""
    if len(points) > 3:
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:  # all on one line
            points = np.concatenate([points[points.argmin(axis=0)], points[points.argmax(axis=0)]])
    return float(pdist(points).max()) if len(points) > 1 else 0.0
