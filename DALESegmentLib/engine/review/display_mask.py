"""The confidence as a reader should see it: without what is merely uncertain far from every outline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..geometry.distance import boundary_distance

BOUNDARY_BAND_MM = 10.0
MORE_LIKELY_WRONG = 0.5


def shown_confidence(confidence: np.ndarray, label: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """(*grid) float32; what is not to be drawn reads 1.

    Voxels farther than 10 mm from any boundary of the label are drawn only if the label is more likely wrong than
    right there: a missed object shows, a merely uncertain background does not. spacing: mm along the array's axes.
    """
    shown = np.clip(confidence, 0.0, 1.0).astype(np.float32)
    distance, _nearest = boundary_distance(label, spacing, BOUNDARY_BAND_MM)
    shown[(np.abs(distance) >= BOUNDARY_BAND_MM) & (shown >= MORE_LIKELY_WRONG)] = 1.0
    return shown
