"""Dice of two class maps, as arrays or as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cases.checks import label_values


def mean_dice(prediction: Any, label: Any) -> float | None:
    """Mean over the values above 0 that either holds; None where neither holds any. One shape, whole numbers."""
    prediction, label = np.asarray(prediction), np.asarray(label)
    scores = []
    for value in sorted({*label_values(prediction), *label_values(label)}):
        if value > 0:
            a, b = prediction == value, label == value
            scores.append(2.0 * int((a & b).sum()) / (int(a.sum()) + int(b.sum())))
    return sum(scores) / len(scores) if scores else None
