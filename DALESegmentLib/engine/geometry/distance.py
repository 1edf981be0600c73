"""Distances in mm to the outlines of masks. `spacing` is mm along the array's axes, (k, j, i) or (j, i).

The outline of a mask lies half-way between the voxels on either side of it: those inside that share a face with one
outside, and those outside that share a face with one inside. The distance of a voxel to the outline is the mean of the
distances from its centre to the nearest centre in either layer. For planes across an axis this is exact: beside one it
is half of the voxel's edge along the axis, 2.5 mm between slices of 5 mm. The edge of the image is no outline.

The distance to the nearest face between inside and outside lies between this distance less half of the voxel's diagonal
and this distance plus a quarter of its longest edge. It is not used: the faces' corners stick out of an oblique
outline, so that everything seems nearer to it by half a voxel or more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.errors import checkpoint, needed_by

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


def margin_voxels(reach_mm: float, spacing: Sequence[float]) -> tuple[int, ...]:
    """Voxels an axis that cover `reach_mm` from any outline."""
    return tuple(math.ceil(reach_mm / step) + 1 for step in spacing)


FINEST_MM, COARSEST_MM = 0.1, 10.0
MOST_SHIFTS = 200  # rows of a ball up to which a mask is grown row by row


def scaled_mm(length_mm: float, spacing: Sequence[float]) -> float:
    """A length that was chosen for the voxels of clinical images: as it is where the finest edge of a voxel measures
    0.1 to 10 mm, and for finer and coarser ones as many voxels as it is at these ends."""
    finest = min(spacing)
    return float(f"{length_mm * max(min(1.0, finest / FINEST_MM), finest / COARSEST_MM):.6g}")  # spacings are rounded


def grow_mm(mask: np.ndarray, spacing: Sequence[float], reach_mm: float) -> np.ndarray:
    """The mask and every voxel whose centre lies within `reach_mm` of the centre of one of its voxels: a dilation by a
    ball, no distance to an outline."""
    grown = np.zeros(mask.shape, bool)
    box = bounding_box(mask, margin_voxels(reach_mm, spacing))
    if box is None:
        return grown
    reach = reach_mm * (1 + 1e-6)
    ball = _half_lengths(spacing, reach)
    if len(ball) <= MOST_SHIFTS:
        grown[box] = _grow_by(mask[box], ball)
        return grown
    with needed_by("Growing a mask"):
        from scipy import ndimage
    far = ndimage.distance_transform_edt(~mask[box], spacing) if not mask[box].all() else np.zeros(1)
    grown[box] = far <= reach
    return grown


def _half_lengths(spacing: Sequence[float], reach: float) -> dict[tuple[int, ...], int]:
    """Of the rows of voxels that make up a ball, {place of the row: how far it reaches to either side}, in voxels."""
    sides = [int(reach / step) for step in spacing[:-1]]
    rows = {}
    for place in np.ndindex(*(2 * side + 1 for side in sides)):
        shift = tuple(int(p) - side for p, side in zip(place, sides, strict=True))
        left = reach**2 - sum((n * step) ** 2 for n, step in zip(shift, spacing, strict=False))
        if left >= 0:
            rows[shift] = int(math.sqrt(left) / spacing[-1])
    return rows


def _grow_by(mask: np.ndarray, ball: dict[tuple[int, ...], int]) -> np.ndarray:
    """A dilation: rows first grow along themselves, then they are laid over their neighbours. For few rows it is ten
    times faster than distances."""
    grown, wide, reached = np.zeros(mask.shape, bool), mask.copy(), 0
    for shift, half in sorted(ball.items(), key=lambda row: row[1]):
        while reached < half:
            reached += 1
            if reached < mask.shape[-1]:
                wide[..., reached:] |= mask[..., :-reached]
                wide[..., :-reached] |= mask[..., reached:]
        if all(abs(n) < size for n, size in zip(shift, mask.shape, strict=False)):
            here, there = (tuple(slice(max(s * n, 0), s * n if s * n < 0 else None) for n in shift) for s in (1, -1))
            grown[here] |= wide[there]
    return grown


def signed_distance(mask: np.ndarray, spacing: Sequence[float], slice_axis: int | None = None) -> np.ndarray:
    """mm from the centre of each voxel to the outline of the mask, negative inside; (*grid) float32.

    mask: (*grid) bool, 2D or 3D; slice_axis: the axis of slices that are outlined one by one, each for itself. Without
    an outline -inf where all is inside, inf where all is outside. The distance of ~mask is the negative.
    """
    if slice_axis is not None:
        signed = np.empty(mask.shape, np.float32)
        for n in range(mask.shape[slice_axis]):
            one = (*(slice(None),) * slice_axis, slice(n, n + 1))
            signed[one] = signed_distance(mask[one], spacing)
        return signed
    beside = _beside_outline(mask)
    if not beside.any():
        return np.full(mask.shape, -np.inf if mask.any() else np.inf, np.float32)
    distance = _distance_to(beside & mask, spacing)
    distance += _distance_to(beside & ~mask, spacing)
    distance *= np.float32(0.5)
    return np.negative(distance, out=distance, where=mask)


def boundary_distance(label: np.ndarray, spacing: Sequence[float], reach_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance in mm to the nearest outline of a class, and the class that outline belongs to.

    label: (*grid) whole numbers. Labelled voxels get the distance to the outline of their class (negative),
    background voxels that to the nearest outline of any class. Beyond `reach_mm` the distance stays at ± reach_mm.
    Returns distance (*grid) float32 and nearest class (*grid), which is 0 in background out of reach.
    """
    distance = np.full(label.shape, reach_mm, np.float32)
    nearest = label.copy()
    for value in np.unique(label[label > 0]):
        checkpoint()
        box = bounding_box(label == value, margin_voxels(reach_mm, spacing))
        assert box is not None
        view, own = distance[box], label[box] == value
        signed = signed_distance(own, spacing)
        checkpoint()
        view[own] = np.maximum(signed[own], -reach_mm)
        nearer = (label[box] == 0) & (signed < view)
        view[nearer] = signed[nearer]
        nearest[box][nearer] = value
    return distance, nearest


def _beside_outline(mask: np.ndarray) -> np.ndarray:
    """(*grid) bool: voxels with a neighbour across a face on the other side."""
    beside = np.zeros(mask.shape, bool)
    for axis in range(mask.ndim):
        lines, out = np.moveaxis(mask, axis, 0), np.moveaxis(beside, axis, 0)
        changes = lines[1:] != lines[:-1]
        out[1:] |= changes
        out[:-1] |= changes
    return beside


def _distance_to(layer: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """mm to the nearest centre in a layer of voxels, (*grid) float32. SimpleITK's, because scipy's takes several times
    the time and the memory on a whole CT."""
    with needed_by("The distance to an outline"):
        import SimpleITK as sitk
    finest = min(spacing)
    image = sitk.GetImageFromArray(layer.astype(np.uint8))
    image.SetSpacing([float(step / finest) for step in reversed(spacing)])  # whole numbers keep their precision
    found = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    distance: np.ndarray = sitk.GetArrayFromImage(found)
    np.abs(distance, out=distance)
    distance *= np.float32(finest)
    return distance
