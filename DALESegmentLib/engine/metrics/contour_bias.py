"""Systematic bias: how far, on average, an annotator draws a class outside or inside where it belongs, in mm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage, stats

from ..geometry.distance import bounding_box, signed_distance

LEVEL = 0.95


@dataclass(frozen=True)
class Offset:
    """Of one class in one case; mm is positive where the label is drawn too large."""

    class_name: str
    annotator: str
    mm: float


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
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for offset in offsets:
        groups[offset.class_name, offset.annotator].append(offset.mm)
    return [_row(*key, np.array(groups[key])) for key in sorted(groups)]


def _row(class_name: str, annotator: str, mm: np.ndarray) -> dict[str, Any]:
    mean, low, high = float(mm.mean()), None, None
    if len(mm) > 1:
        half = float(stats.t.ppf((1 + LEVEL) / 2, len(mm) - 1) * mm.std(ddof=1) / np.sqrt(len(mm)))
        low, high = mean - half, mean + half
    return {
        "class": class_name,
        "annotator": annotator,
        "offset_mm": mean,
        "low_mm": low,
        "high_mm": high,
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
