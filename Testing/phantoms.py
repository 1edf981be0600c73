"""Cases made by code, whose truth is known."""

from __future__ import annotations

import numpy as np

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.case import Case


def ball_case(name: str = "ball", size=(24, 20, 12), spacing=(1.0, 1.0, 2.0), seed: int = 0) -> Case:
    """A noisy bright ball, off centre, on an anisotropic grid that is flipped and turned."""
    direction = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    geometry = Geometry(size, spacing, (10.0, -20.0, 5.0), tuple(direction.ravel()))
    k, j, i = np.indices(geometry.array_shape)
    rng = np.random.default_rng(seed)
    centre = np.array(size) * rng.uniform(0.4, 0.6, 3)
    distance = np.sqrt(sum(((a - c) * s) ** 2 for a, c, s in zip((i, j, k), centre, spacing, strict=True)))
    label = (distance < 6).astype(np.uint8)
    image = (200.0 * label + rng.normal(0, 20, label.shape)).astype(np.float32)
    return Case(name, image[None], geometry, label=label, class_names={1: "ball"})
