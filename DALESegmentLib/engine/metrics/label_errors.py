"""Does confidence tell wrong label voxels from right ones? Ranking and calibration against a known
reference.

What a review list is worth: label errors found per reviewed voxel, against looking at random.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..dale.metrics import (
    auroc,
    average_precision,
    calibration_bins,
    calibration_sums,
    expected_calibration_error,
    near_outline,
)
from ..geometry.distance import scaled_mm

BAND_MM = 3.0


@dataclass(frozen=True)
class ErrorSample:
    """One number a voxel: confidence in [0, 1]; wrong: the label differs from the reference; in_band: near
    the label's boundary. All (n,)."""

    confidence: np.ndarray
    wrong: np.ndarray
    in_band: np.ndarray

    def part(self, keep: np.ndarray) -> ErrorSample:
        """Of some of the voxels. keep: (n,) bool."""
        return ErrorSample(self.confidence[keep], self.wrong[keep], self.in_band[keep])


def error_sample(
    label: np.ndarray,
    reference: np.ndarray,
    confidence: np.ndarray,
    spacing: Sequence[float],
    band_mm: float | None = None,
) -> ErrorSample:
    """The voxels of one case. label, reference, confidence: (*grid); spacing: mm along the axes; band_mm: how far from
    the label's outline is near (3 mm, `scaled_mm`).

    Raises EngineError("geometry-mismatch") where the arrays differ in shape.
    """
    if not label.shape == reference.shape == confidence.shape:
        raise EngineError(
            "geometry-mismatch",
            "The label, its reference and the confidence map do not lie on the same grid; use those of one image.",
        )
    return ErrorSample(
        np.asarray(confidence, np.float32).ravel(),
        (label != reference).ravel(),
        near_outline(label, spacing, scaled_mm(BAND_MM, spacing) if band_mm is None else band_mm).ravel(),
    )


def label_error_scores(
    label: np.ndarray,
    reference: np.ndarray,
    confidence: np.ndarray,
    spacing: Sequence[float],
    band_mm: float | None = None,
) -> dict[str, Any]:
    """Scores of one case, over all its voxels and within `band_mm` of the label's boundary; see `scores`."""
    return scores(error_sample(label, reference, confidence, spacing, band_mm))


def pooled(samples: Iterable[ErrorSample], limit: int = 4_000_000, seed: int = 0) -> dict[str, Any]:
    """Scores over the voxels of several cases together.

    With more than `limit` voxels, the same share of each case is drawn. Memory holds all samples: 6 bytes a
    voxel.
    """
    cases = list(samples)
    share = limit / max(sum(len(case.wrong) for case in cases), 1)
    if share < 1:
        rng = np.random.default_rng(seed)
        cases = [case.part(rng.random(len(case.wrong), np.float32) < share) for case in cases]
    fields = ("confidence", "wrong", "in_band")
    return scores(ErrorSample(*(np.concatenate([getattr(case, name) for case in cases]) for name in fields)))


def scores(sample: ErrorSample) -> dict[str, Any]:
    """{"overall": {...}, "band": {...}}, each with

    voxels, prevalence (share of wrong voxels), auroc and auprc of 1 - confidence for wrong voxels, ece
    (expected calibration error: confidence against the share of right voxels, ten equal bins weighted by
    their voxels) and reliability, the ten bins as {"from", "to", "voxels", "confidence", "right"}. None where
    undefined: without wrong or without right voxels there is nothing to rank, without voxels nothing at all.
    """
    near = sample.part(sample.in_band)
    return {"overall": _scores(sample), "band": _scores(near)}


def _scores(sample: ErrorSample) -> dict[str, Any]:
    voxels = len(sample.wrong)
    if not voxels:
        return {"voxels": 0, **dict.fromkeys(("prevalence", "auroc", "auprc", "ece", "reliability"))}
    doubt = 1 - sample.confidence
    reliability = calibration_bins(calibration_sums(sample.confidence, ~sample.wrong))
    return {
        "voxels": voxels,
        "prevalence": float(sample.wrong.mean()),
        "auroc": auroc(doubt, sample.wrong),
        "auprc": average_precision(doubt, sample.wrong),
        "ece": expected_calibration_error(reliability),
        "reliability": reliability,
    }


def review_value(
    region_map: np.ndarray, region_ids: Sequence[int], wrong: np.ndarray, within: np.ndarray | None = None
) -> dict[str, Any]:
    """Walk the regions in order and count the wrong label voxels inside them.

    region_map, wrong: (*grid); within: (*grid) bool, where a random reviewer would look, for instance a band
    round the label (default: everywhere). Returns one entry a region, cumulative: `reviewed` voxels, `found`,
    the share of all wrong voxels, and `random`, the share that as many voxels drawn at random from `within`
    would hold on average; and `gain`, found / random after the last region. None where nothing is wrong or
    nothing reviewed.
    """
    total = int(wrong.sum())
    place = np.ones(wrong.shape, bool) if within is None else within
    size = int(region_map.max(initial=0)) + 1
    voxels = np.bincount(region_map.ravel(), minlength=size)
    errors = np.bincount(region_map[wrong], minlength=size)
    order = np.asarray(region_ids, int)
    reviewed = np.cumsum(voxels[order])
    if not total or not len(order):
        return {"reviewed": reviewed.tolist(), "found": None, "random": None, "gain": None}
    found = np.cumsum(errors[order]) / total
    chance = np.minimum(reviewed / max(int(place.sum()), 1), 1) * int((wrong & place).sum()) / total
    return {
        "reviewed": reviewed.tolist(),
        "found": found.tolist(),
        "random": chance.tolist(),
        "gain": float(found[-1] / chance[-1]) if chance[-1] > 0 else None,
    }
