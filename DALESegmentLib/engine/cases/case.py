"""A case: an image, what is known about its label, and one geometry for all of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .geometry import Geometry


@dataclass
class Case:
    """Everything known about one image, on one grid.

    image: (C, *grid) float32 as stored in the file; label, trusted, confidence: (*grid), where grid is
    `geometry.array_shape`. label: 0 is background, any number of classes. trusted: True where a clinician
    confirmed or corrected the label. confidence: in [0, 1], how far the label of that voxel can be trusted.
    class_names maps label values (not 0) to names.
    """

    name: str
    image: np.ndarray
    geometry: Geometry
    label: np.ndarray | None = None
    trusted: np.ndarray | None = None
    confidence: np.ndarray | None = None
    class_names: dict[int, str] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        return int(self.image.shape[0])
