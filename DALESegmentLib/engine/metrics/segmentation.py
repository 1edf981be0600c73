"""Agreement of a segmentation with a reference: Dice, surface distances, and systematic bias.

The bias is how far on average an annotator draws a class outside or inside where it belongs, in mm.

Dice is computed here, exactly, since MONAI's DiceHelper divides in float32.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage, stats

from ..core.errors import EngineError
from ..geometry.distance import bounding_box, scaled_mm, signed_distance
from ..geometry.grid import Unit


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
TOLERANCE_MM = 2.0
"""Of the NSD."""
SHORT: dict[Unit, str] = {"mm": "mm", "pixel": "px"}
"""What names of scores end in."""


def scores_in(unit: Unit) -> tuple[str, ...]:
    """The names of the scores where lengths are in mm or in pixels."""
    return tuple(name.replace("_mm", f"_{SHORT[unit]}") for name in SCORES)


def agreement(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    classes: Sequence[int],
    nsd_tolerance_mm: float | None = None,
    unit: Unit = "mm",
) -> dict[str, Any]:
    """Dice, IoU, HD95 in mm and NSD (surface Dice) of each class, and their means.

    prediction, reference: (*grid) class values; spacing: mm along the array's axes;
    classes: the label values to score, without background; nsd_tolerance_mm: 2 mm, `scaled_mm`, by default;
    unit: of all lengths, and in the names of those that are returned (`hd95_px` where it is "pixel").

    HD95 is the larger of the two directed 95th percentiles between the surface voxels; NSD counts the surface
    voxels within `nsd_tolerance_mm` of the other surface. A class absent from both is a perfect match (Dice,
    IoU and NSD 1, HD95 0). A class in only one of them scores 0, and no distance exists: HD95 is None and
    left out of the mean; `hd95_undefined` counts these. Returns {"classes": {value: {...}}, "mean": {...},
    "hd95_undefined", "nsd_tolerance_mm", "unit"}; a mean over nothing is None.

    Raises EngineError("geometry-mismatch") where the two differ in shape.
    """
    if prediction.shape != reference.shape:
        raise EngineError(
            "geometry-mismatch",
            "The segmentation and its reference do not lie on the same grid; use the reference of the same image.",
        )
    tolerance = scaled_mm(TOLERANCE_MM, spacing) if nsd_tolerance_mm is None else nsd_tolerance_mm
    names = scores_in(unit)
    found = {
        int(value): _mask_agreement(prediction == value, reference == value, spacing, tolerance) for value in classes
    }
    scores = {value: dict(zip(names, (of[name] for name in SCORES), strict=True)) for value, of in found.items()}
    return {
        "classes": scores,
        "mean": {key: mean_of(score[key] for score in scores.values()) for key in names},
        "hd95_undefined": sum(score["hd95_mm"] is None for score in found.values()),
        f"nsd_tolerance_{SHORT[unit]}": tolerance,
        "unit": unit,
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


LEVEL = 0.95
"""Of the interval of a bias."""


@dataclass(frozen=True)
class Offset:
    """Of one class in one case; mm (pixels, where unit says so) is positive where the label is drawn too large."""

    class_name: str
    annotator: str
    mm: float
    unit: Unit = "mm"


def contour_offset(label: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> float | None:
    """Mean signed distance in mm between the surfaces of two masks (*grid) bool; positive where `label` lies outside
    `truth`. None where one of them is empty or fills the image.

    spacing: mm along the axes. Both ways are averaged, the label's surface seen from the truth and the truth's from
    the label, so that neither mask's shape decides. Identical masks give 0, and one voxel more all round gives one
    voxel's edge.
    """
    either = label | truth
    if not label.any() or not truth.any() or label.all() or truth.all():
        return None
    box = bounding_box(either, 2)
    assert box is not None
    label, truth = label[box], truth[box]
    outward = _on_surface(signed_distance(truth, spacing), label)
    inward = _on_surface(signed_distance(label, spacing), truth)
    return None if outward is None or inward is None else (outward - inward) / 2


def bias_report(offsets: Iterable[Offset]) -> list[dict[str, Any]]:
    """One row a class and annotator: the mean over cases and its 95 % interval (Student's t), which is null for a
    single case; `systematic` where the interval does not hold 0."""
    groups: dict[tuple[str, str, Unit], list[float]] = defaultdict(list)
    for offset in offsets:
        groups[offset.class_name, offset.annotator, offset.unit].append(offset.mm)
    return [_row(*key, np.array(groups[key])) for key in sorted(groups)]


def _row(class_name: str, annotator: str, unit: Unit, mm: np.ndarray) -> dict[str, Any]:
    mean, low, high = float(mm.mean()), None, None
    if len(mm) > 1:
        half = float(stats.t.ppf((1 + LEVEL) / 2, len(mm) - 1) * mm.std(ddof=1) / np.sqrt(len(mm)))
        low, high = mean - half, mean + half
    return {
        "class": class_name,
        "annotator": annotator,
        f"offset_{SHORT[unit]}": mean,
        f"low_{SHORT[unit]}": low,
        f"high_{SHORT[unit]}": high,
        "cases": len(mm),
        "systematic": low is not None and high is not None and not low <= 0 <= high,
    }


def _on_surface(distance: np.ndarray, mask: np.ndarray) -> float | None:
    """The mean over both layers of voxels that meet at the mask's surface."""
    inner = mask & ~ndimage.binary_erosion(mask, border_value=1)
    outer = ~mask & ndimage.binary_dilation(mask)
    if not inner.any() or not outer.any():
        return None
    return float((distance[inner].mean() + distance[outer].mean()) / 2)
