"""Agreement of a segmentation with a reference: Dice and surface distances.

Dice is computed here, exactly, since MONAI's DiceHelper divides in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from ..core.errors import EngineError
from ..geometry.distance import bounding_box


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


SCORES = ("dice", "iou", "hd95_mm", "nsd")


def agreement(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    classes: Sequence[int],
    nsd_tolerance_mm: float = 2.0,
) -> dict[str, Any]:
    """Dice, IoU, HD95 in mm and NSD (surface Dice) of each class, and their means.

    prediction, reference: (*grid) class values; spacing: mm along the array's axes;
    classes: the label values to score, without background.

    HD95 is the larger of the two directed 95th percentiles between the surface voxels; NSD counts the surface
    voxels within `nsd_tolerance_mm` of the other surface. A class absent from both is a perfect match (Dice,
    IoU and NSD 1, HD95 0). A class in only one of them scores 0, and no distance exists: HD95 is None and
    left out of the mean; `hd95_undefined` counts these. Returns {"classes": {value: {...}}, "mean": {...},
    "hd95_undefined", "nsd_tolerance_mm"}; a mean over nothing is None.

    Raises EngineError("geometry-mismatch") where the two differ in shape.
    """
    if prediction.shape != reference.shape:
        raise EngineError(
            "geometry-mismatch",
            "The segmentation and its reference do not lie on the same grid; use the reference of the same image.",
        )
    scores = {
        int(value): _mask_agreement(prediction == value, reference == value, spacing, nsd_tolerance_mm)
        for value in classes
    }
    return {
        "classes": scores,
        "mean": {key: mean_of(score[key] for score in scores.values()) for key in SCORES},
        "hd95_undefined": sum(score["hd95_mm"] is None for score in scores.values()),
        "nsd_tolerance_mm": nsd_tolerance_mm,
    }


def mean_of(values: Any) -> float | None:
    """Mean of those that are not None, or None."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _mask_agreement(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], tolerance: float
) -> dict[str, float | None]:
    box = bounding_box(prediction | reference)
    if box is None:
        return {"dice": 1.0, "iou": 1.0, "hd95_mm": 0.0, "nsd": 1.0}
    prediction, reference = prediction[box], reference[box]
    sizes = int(prediction.sum()) + int(reference.sum())
    both = int((prediction & reference).sum())
    scores = {"dice": dice(both, sizes), "iou": both / (sizes - both)}
    if not prediction.any() or not reference.any():
        return {**scores, "hd95_mm": None, "nsd": 0.0}
    a, b = (torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (prediction, reference))
    hd95 = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=spacing)
    nsd = compute_surface_dice(a, b, [tolerance], include_background=True, spacing=spacing)
    return {**scores, "hd95_mm": float(hd95), "nsd": float(nsd)}
