"""Where a voxel lies with respect to the label's boundaries, in mm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..errors import Check, no_check
from ..geometry.distance import bounding_box, margin_voxels


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
