"""Where a voxel lies with respect to the label's boundaries, in mm."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..errors import Check, no_check

Box = tuple[slice, ...]


def bounding_box(mask: np.ndarray, margin: int | Sequence[int] = 0) -> Box | None:
    """The smallest box around the True voxels, grown by `margin` voxels (one number an axis, or one for all).

    None where nothing is True.
    """
    margins = (margin,) * mask.ndim if isinstance(margin, int) else tuple(margin)
    box = []
    for axis, extra in enumerate(margins):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        if not hit.size:
            return None
        box.append(slice(max(int(hit[0]) - extra, 0), min(int(hit[-1]) + extra + 1, mask.shape[axis])))
    return tuple(box)


def margin_voxels(reach_mm: float, sampling: Sequence[float]) -> tuple[int, ...]:
    """Voxels an axis that cover `reach_mm`. sampling: mm along the array's axes."""
    return tuple(math.ceil(reach_mm / step) + 1 for step in sampling)


def boundary_distance(
    label: np.ndarray, sampling: Sequence[float], reach_mm: float, check: Check = no_check
) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance in mm to the nearest boundary of the label, and the class that boundary belongs to.

    label: (*grid) whole numbers; sampling: mm along the array's axes. Labelled voxels get minus the distance
    to the nearest voxel that is not of their class, background voxels the distance to the nearest labelled
    voxel. Beyond `reach_mm` the distance stays at ± reach_mm. Returns distance (*grid) float32 and nearest
    class (*grid), which is 0 in background out of reach. The edge of the image is no boundary.
    """
    distance = np.full(label.shape, reach_mm, np.float32)
    nearest = label.copy()
    for value in np.unique(label[label > 0]):
        check()
        box = bounding_box(label == value, margin_voxels(reach_mm, sampling))
        assert box is not None
        own = label[box] == value
        _nearest_outside(distance[box], nearest[box], label[box], value, sampling, check)
        check()
        inside = np.full(own.shape, reach_mm)
        if not own.all():
            tight = bounding_box(own, 1)
            assert tight is not None
            inside[tight] = np.minimum(ndimage.distance_transform_edt(own[tight], sampling), reach_mm)
        distance[box][own] = -inside[own]
    return distance, nearest


def signed_distance(mask: np.ndarray, sampling: Sequence[float]) -> np.ndarray:
    """Distance in mm to the mask's outline, which lies between voxels: negative inside, positive outside.

    A mask that fills its grid is one voxel deep everywhere: its outline is out of sight.
    """
    half = min(sampling) / 2
    inside = ndimage.distance_transform_edt(mask, sampling) if not mask.all() else np.full(mask.shape, 2 * half)
    outside = ndimage.distance_transform_edt(~mask, sampling)
    signed: np.ndarray = np.where(mask, half - inside, outside - half)
    return signed


def object_radius(mask: np.ndarray, sampling: Sequence[float], slice_axis: int | None = None) -> float:
    """mm, of a ball (a disc, where there is one slice or they are outlined one by one) as large as the objects are,
    weighed by size. 0 without any. slice_axis: of images whose slices are outlined one by one."""
    box = bounding_box(mask)
    if box is None:
        return 0.0
    steps = [step for axis, step in enumerate(sampling) if axis != slice_axis and mask.shape[axis] > 1]
    structure = np.ones((3,) * mask.ndim)
    if slice_axis is not None:
        structure[tuple(slice(None) if axis != slice_axis else [0, 2] for axis in range(mask.ndim))] = 0
    objects, _ = ndimage.label(mask[box], structure)
    sizes = np.bincount(objects.ravel())[1:].astype(float)
    size = (sizes**2).sum() / sizes.sum() * float(np.prod(steps))
    return float((3 * size / (4 * np.pi)) ** (1 / 3) if len(steps) == 3 else (size / np.pi) ** 0.5)


def _nearest_outside(
    distance: np.ndarray, nearest: np.ndarray, label: np.ndarray, value: int, sampling: Sequence[float], check: Check
) -> None:
    """Let background voxels know of class `value` where it is nearer than what they knew."""
    if (label == value).all():
        return
    outside = ndimage.distance_transform_edt(label != value, sampling)
    check()
    nearer = (label == 0) & (outside < distance)
    distance[nearer] = outside[nearer]
    nearest[nearer] = value


def grow_mm(mask: np.ndarray, sampling: Sequence[float], reach_mm: float) -> np.ndarray:
    """The mask and every voxel whose centre lies within `reach_mm` of one of its voxels."""
    grown = np.zeros(mask.shape, bool)
    box = bounding_box(mask, margin_voxels(reach_mm, sampling))
    if box is None:
        return grown
    far = ndimage.distance_transform_edt(~mask[box], sampling) if not mask[box].all() else np.zeros(1)
    grown[box] = far <= reach_mm * (1 + 1e-6)
    return grown
