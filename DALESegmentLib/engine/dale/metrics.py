"""Does label quality tell wrong label voxels from right ones, and is it as often right as it says?

`LabelErrorAUROC` and `CalibrationError` gather images one by one, as torchmetrics' metrics do; the functions are what
they are made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import needed_by
from ..geometry.distance import boundary_distance
from .arrays import as_array, checked_number, checked_share, checked_spacing, on_grid

BINS = 10


class LabelErrorAUROC:
    """How well a low quality ranks wrong label voxels before right ones, over all voxels of several images.

    0.5 is chance. Memory holds 5 bytes a voxel. within_mm: count only voxels at most so far from an outline of the
    label, in or out, where errors of outlines lie; far from any nearly every quality is right.
    """

    def __init__(self, within_mm: float | None = None) -> None:
        if within_mm is not None:
            checked_number("within_mm", within_mm, above=True)
        self.within_mm = within_mm
        self.reset()

    def update(
        self, quality: ArrayLike, labels: ArrayLike, reference: ArrayLike, spacing: Sequence[float] | None = None
    ) -> None:
        """Adds an image. quality: (*grid) in [0, 1]; labels, reference: (*grid) classes; spacing: mm along the axes,
        needed with within_mm. Raises ValueError where they do not fit together."""
        values, wrong = _checked(quality, labels, reference)
        if self.within_mm is not None:
            if spacing is None:
                raise ValueError("within_mm needs spacing, the mm along the axes of labels.")
            given = as_array(labels)
            near = near_outline(given, checked_spacing(spacing, given.ndim), self.within_mm)
            values, wrong = values[near], wrong[near]
        self._quality.append(values.ravel())
        self._wrong.append(wrong.ravel())

    def compute(self) -> float | None:
        """None where no voxel, or every voxel, is wrong: there is nothing to rank."""
        if not self._wrong:
            return None
        return auroc(1 - np.concatenate(self._quality), np.concatenate(self._wrong))

    def reset(self) -> None:
        self._quality: list[np.ndarray] = []
        self._wrong: list[np.ndarray] = []


class CalibrationError:
    """Expected calibration error: by how much quality misses the share of right labels, in ten equal bins of quality
    weighted by their voxels, over all voxels of several images."""

    def __init__(self) -> None:
        self.reset()

    def update(self, quality: ArrayLike, labels: ArrayLike, reference: ArrayLike) -> None:
        """Adds an image. quality: (*grid) in [0, 1]; labels, reference: (*grid) classes. Raises ValueError where they
        do not fit together."""
        values, wrong = _checked(quality, labels, reference)
        self._sums += calibration_sums(values.ravel(), ~wrong.ravel())

    def compute(self) -> float | None:
        """None without a voxel."""
        return expected_calibration_error(self.bins())

    def bins(self) -> list[dict[str, Any]]:
        """The reliability diagram, see `calibration_bins`."""
        return calibration_bins(self._sums)

    def reset(self) -> None:
        self._sums = np.zeros((3, BINS))


def auroc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Chance that a positive outscores a negative, ties counting half; None without any of the one or of the other.
    score, positive: (n,)."""
    if not _both(positive):
        return None
    with needed_by("The AUROC"):
        from sklearn.metrics import roc_auc_score
    return float(roc_auc_score(positive, score))


def average_precision(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the precision-recall curve as a step function, equal scores taken together. (n,) each; None as for
    `auroc`."""
    if not _both(positive):
        return None
    with needed_by("The average precision"):
        from sklearn.metrics import average_precision_score
    return float(average_precision_score(positive, score))


def near_outline(labels: np.ndarray, spacing: Sequence[float], within_mm: float) -> np.ndarray:
    """(*grid) bool: voxels at most `within_mm` from an outline of a class. labels: (*grid) classes."""
    # One mm beyond the band keeps "at the end of reach" apart from "within the band".
    distance, _ = boundary_distance(labels, spacing, 1.5 * within_mm)
    return np.abs(distance) <= within_mm


def calibration_sums(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(3, BINS): voxels, confidence and right voxels, summed up in each bin. confidence in [0, 1], right bool; (n,)."""
    place = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    return np.stack([np.bincount(place, weights, BINS) for weights in (None, confidence, right)])


def calibration_bins(sums: np.ndarray) -> list[dict[str, Any]]:
    """The ten bins as {"from", "to", "voxels", "confidence", "right"}, means of a bin's voxels or None without any. As
    scikit-learn's `calibration_curve`, which leaves out empty bins and does not say how many voxels one has."""
    return [
        {
            "from": number / BINS,
            "to": (number + 1) / BINS,
            "voxels": int(n),
            "confidence": float(confidence / n) if n else None,
            "right": float(right / n) if n else None,
        }
        for number, (n, confidence, right) in enumerate(sums.T)
    ]


def expected_calibration_error(bins: Sequence[dict[str, Any]]) -> float | None:
    """Σ voxels |confidence - right| / Σ voxels (Naeini et al. 2015); None without a voxel."""
    voxels = sum(one["voxels"] for one in bins)
    gaps = (one["voxels"] * abs(one["confidence"] - one["right"]) for one in bins if one["voxels"])
    return sum(gaps) / voxels if voxels else None


def _both(positive: np.ndarray) -> bool:
    return bool(positive.any() and not positive.all())


def _checked(quality: ArrayLike, labels: ArrayLike, reference: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Quality, float32, and where the label is wrong."""
    given = as_array(labels)
    return checked_share("quality", quality, given.shape), given != on_grid("reference", reference, given.shape)
