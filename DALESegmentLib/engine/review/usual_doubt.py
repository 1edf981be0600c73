"""How much doubt is usual at a given distance from a boundary, so that only the excess counts.

Every boundary is doubtful: its voxels are shared, and people draw them differently. A list ranked by doubt
alone sends the clinician once round every outline. What is usual is read off the case itself: the median
doubt of the voxels at the same distance from the same class's boundary, on the same side.
"""

from __future__ import annotations

import numpy as np

REACH_MM = 20.0
SHRINKAGE_VOXELS = 20.0
COIN_FLIP = 0.5
_LEVELS = 256


def usual_doubt(
    doubt: np.ndarray, distance: np.ndarray, nearest: np.ndarray, width_mm: float, counted: np.ndarray
) -> np.ndarray:
    """The doubt to expect of each voxel. All arrays (*grid); doubt in [0, 1], distance signed in mm to the boundary of
    the class `nearest`.

    counted: voxels the expectation is read from. Three rules keep errors from passing as usual: a distance
    with few voxels leans on all classes and both sides together, and these on the distance before (as if
    there were `SHRINKAGE_VOXELS` more voxels with that doubt); doubt further from the boundary is never more
    usual than nearer to it; and no more than a coin flip is ever usual: at an unbiased boundary the label is
    as often right as wrong.
    """
    bins = (np.abs(distance) / width_mm).astype(np.int32)  # the first voxels lie half a width from the boundary
    depth = int(bins.max()) + 1
    classes = np.unique(nearest)
    group = np.searchsorted(classes, nearest).astype(np.int32)
    group = (2 * group + (distance < 0)) * depth + bins

    level = np.rint(np.clip(doubt[counted], 0, 1) * (_LEVELS - 1)).astype(np.int32)
    size = 2 * len(classes) * depth * _LEVELS
    counts = np.bincount(group[counted] * _LEVELS + level, minlength=size).reshape(-1, depth, _LEVELS)

    pooled = _falling(counts.sum(axis=0))
    expected = np.minimum(np.minimum.accumulate(_leaning(counts, pooled), axis=1), COIN_FLIP)
    return expected.astype(np.float32).ravel()[group]


def _median(counts: np.ndarray) -> np.ndarray:
    """Median of histograms (..., levels) over the levels; 0 where there is nothing."""
    cumulative = counts.cumsum(axis=-1)
    half = cumulative[..., -1:] / 2
    return (cumulative < half).sum(axis=-1) / (_LEVELS - 1)


def _falling(counts: np.ndarray) -> np.ndarray:
    """Median over the levels at each distance, (distances, levels) -> (distances,), that never rises."""
    curve = np.empty(len(counts))
    usual = COIN_FLIP
    for depth, histogram in enumerate(counts):
        usual = curve[depth] = min(usual, float(_leaning(histogram, np.float64(usual))))
    return curve


def _leaning(counts: np.ndarray, prior: np.ndarray) -> np.ndarray:
    n = counts.sum(axis=-1)
    return (n * _median(counts) + SHRINKAGE_VOXELS * prior) / (n + SHRINKAGE_VOXELS)
