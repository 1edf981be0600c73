"""The slices that contours were drawn on, from the contours alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..geometry.grid import Geometry

BETWEEN = 0.1
"""Slices that a contour may lie off its slice: positions are rounded in headers."""
_SAME = 0.05
"""mm between slices that are one."""
_PARALLEL = 0.999
"""The cosine of axes that are taken for parallel."""


def slices_of(contours: Sequence[np.ndarray], axes: np.ndarray, near: Geometry) -> Geometry | None:
    """The grid of parallel, evenly spaced slices that the contours lie in; None where they lie in none.

    contours: (points, 3) LPS mm. axes: columns to choose the axes of the slices from, as far as they fit. near: with
    its voxels in the slices, and in their place where it has the same axes.
    """
    normal = _normal_of(contours, axes, min(near.spacing))
    if normal is None:
        return None
    depths = np.array([float((points @ normal).mean()) for points in contours])
    along = np.abs(normal @ axes)
    distance = _distance(depths, near.spacing[int(along.argmax())] if along.max() > _PARALLEL else 0.0)
    if not distance:
        return None
    across = [n for n in np.argsort(along) if n != int(along.argmax())]
    row = axes[:, min(across)] - (axes[:, min(across)] @ normal) * normal
    row = row / np.linalg.norm(row)
    column = np.cross(normal, row)
    spacing = near.spacing[min(across)], near.spacing[max(across)]
    own = np.stack([row, column, normal], axis=1)
    points = np.concatenate(list(contours)) @ own - np.array(near.origin) @ own
    first = np.floor(points[:, :2].min(axis=0) / spacing) - 1
    last = np.ceil(points[:, :2].max(axis=0) / spacing) + 1
    origin = own @ [*(first * spacing), 0] + np.array(near.origin)
    origin = origin + (depths.min() - origin @ normal) * normal
    return Geometry(
        (*(int(n) + 1 for n in last - first), round(float(np.ptp(depths)) / distance) + 1),
        (*spacing, distance),
        tuple(float(x) for x in origin),
        tuple(float(x) for x in own.ravel()),
    )


def _distance(depths: np.ndarray, default: float) -> float:
    """mm between the slices of all contours; default: of a single one. 0 where they are not evenly spaced."""
    gaps = np.diff(np.unique(np.round(depths, 2)))
    gaps = gaps[gaps > _SAME]
    if not len(gaps):
        return default
    distance = float(np.ptp(depths)) / round(float(np.ptp(depths) / gaps.min()))
    steps = (depths - depths.min()) / distance
    return distance if np.abs(steps - np.rint(steps)).max() <= BETWEEN else 0.0


def _normal_of(contours: Sequence[np.ndarray], axes: np.ndarray, spacing: float) -> np.ndarray | None:
    """The unit vector at right angles to all contours: one of the axes, the last first, or that of the widest contour;
    None where there is none."""
    widest = max(contours, key=lambda points: float(np.ptp(points, axis=0).max()))
    found = np.linalg.svd(widest - widest.mean(axis=0), full_matrices=False)[2]
    for normal in (*axes.T[::-1], *found[-1:]):
        if all(np.ptp(points @ normal) <= BETWEEN * spacing for points in contours):
            return np.asarray(normal)
    return None
