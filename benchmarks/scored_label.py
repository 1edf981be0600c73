"""A training label with its truth and the probabilities and confidence of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DALESegmentLib.engine.geometry.grid import Geometry


@dataclass
class ScoredLabel:
    """label, truth: (*grid) network classes; probabilities: (K, *grid); confidence: (*grid) in [0, 1]; image:
    (C, *grid)."""

    name: str
    label: np.ndarray
    truth: np.ndarray
    probabilities: np.ndarray
    confidence: np.ndarray
    geometry: Geometry
    trusted: np.ndarray | None = None
    image: np.ndarray | None = None
