"""Trusted voxels: in every case a clinician reviewed the worst stretch of the outline, and redrew it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from DALESegmentLib.engine.geometry.distance import boundary_distance, grow_mm, signed_distance
from DALESegmentLib.engine.review.reviewed_voxels import REVIEWED_MARGIN

BAND_MM = 3.0


def foreground_band(label: np.ndarray, spacing: Sequence[float], predicted: np.ndarray | None = None) -> np.ndarray:
    """(*grid) bool: within 3 mm of the label's outline, and whatever was predicted. spacing: mm along the axes."""
    distance, _ = boundary_distance(label, spacing, BAND_MM + 1)
    band = np.abs(distance) <= BAND_MM
    return band if predicted is None else band | (predicted > 0)


def trusted_masks(
    labels: Sequence[np.ndarray], truths: Sequence[np.ndarray], spacings: Sequence[Sequence[float]], share: float
) -> list[np.ndarray]:
    """The reviewed voxels, (*grid) bool a case: the worst stretch of its outline, until `share` of its foreground-band
    voxels is spent. As in a review, what lies between the outline as drawn and as it should be is reviewed with a
    margin on both sides; where a case has no error, a stretch of it is confirmed.
    """
    return [
        worst_stretch(label, truth, spacing, int(share * foreground_band(label, spacing).sum()))
        for label, truth, spacing in zip(labels, truths, spacings, strict=True)
    ]


def worst_stretch(label: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...], voxels: int) -> np.ndarray:
    """(*grid) bool: at most so many voxels, those across the outline where it is furthest from the true one first.

    spacing: mm along the array's axes. Whether it lies inside or outside makes no difference to what is the worst.
    """
    stretch = np.zeros(label.shape, bool)
    drawn, true = label > 0, truth > 0
    outlined = [signed_distance(mask, spacing) for mask in (drawn, true) if mask.any()]
    depth = sum((np.abs(distance) for distance in outlined), np.zeros(label.shape))
    mask = drawn if drawn.any() else true
    outline = mask & ~ndimage.binary_erosion(mask, border_value=1)
    if voxels < 1 or not outline.any():
        return stretch
    looked_at = label != truth if (label != truth).any() else outline
    feet = ndimage.distance_transform_edt(~outline, spacing, return_distances=False, return_indices=True)
    worst = np.unravel_index(int(np.where(looked_at, depth, -1.0).argmax()), label.shape)
    along = np.zeros(label.shape)
    for axis, step in enumerate(spacing):
        along += ((feet[axis] - feet[axis][worst]) * step) ** 2
    seen = np.flatnonzero(grow_mm(looked_at, spacing, REVIEWED_MARGIN * min(spacing)))
    nearest = seen[np.argsort(along.flat[seen], kind="stable")]
    stretch.flat[nearest[:voxels]] = True
    return stretch
