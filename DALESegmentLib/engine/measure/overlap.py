"""Dice of two class maps, as arrays or as tensors."""

from __future__ import annotations

from typing import Any


def mean_dice(prediction: Any, label: Any) -> float | None:
    """Mean over the values above 0 that either holds; None where neither holds any. One shape, whole numbers."""
    highest = int(max(prediction.max(), label.max()))
    scores = []
    for value in range(1, highest + 1):
        a, b = prediction == value, label == value
        size = int(a.sum()) + int(b.sum())
        if size:
            scores.append(2.0 * int((a & b).sum()) / size)
    return sum(scores) / len(scores) if scores else None
