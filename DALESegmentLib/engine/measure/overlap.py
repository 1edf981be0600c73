"""Dice, of counted voxels and of whole class maps. MONAI's DiceHelper divides in float32; this is exact."""

from __future__ import annotations

from typing import Any

import numpy as np


def dice(both: float, sizes: float) -> float | None:
    """2 |A ∩ B| / (|A| + |B|); None where neither has a voxel. both: voxels of A ∩ B; sizes: |A| + |B|."""
    return 2.0 * both / sizes if sizes else None


def mean_dice(prediction: Any, label: Any) -> float | None:
    """Mean over the values above 0 that either holds; None where neither holds any.

    prediction, label: (*grid) whole numbers, arrays or tensors on the CPU, of one shape.
    """
    a, b = np.asarray(prediction), np.asarray(label)
    values = np.union1d(a[a > 0], b[b > 0])
    scores = [_of_masks(a == value, b == value) for value in values]
    return sum(scores) / len(scores) if scores else None


def _of_masks(a: np.ndarray, b: np.ndarray) -> float:
    """One of them has a voxel."""
    score = dice(int((a & b).sum()), int(a.sum()) + int(b.sum()))
    assert score is not None
    return score
