"""An outline as points, for tests that must not measure it as the engine does."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree


def to_face_points(mask: np.ndarray, spacing) -> np.ndarray:
    """(*grid) mm to the nearest middle of a face between a voxel inside and one outside, negative inside."""
    points = []
    for axis in range(mask.ndim):
        half = np.where(np.arange(mask.ndim) == axis, 0.5, 0.0)
        points.append(np.argwhere(np.diff(mask.astype(np.int8), axis=axis)) + half)
    centres = np.indices(mask.shape).reshape(mask.ndim, -1).T
    far, _ = cKDTree(np.concatenate(points) * spacing).query(centres * np.array(spacing))
    return np.where(mask, -1, 1) * far.reshape(mask.shape)
