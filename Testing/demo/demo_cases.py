"""A ball on a grid as a CT comes."""

from __future__ import annotations

import numpy as np

from DALESegmentLib.engine.geometry.grid import Geometry

GEOMETRY = Geometry((64, 64, 16), (1.0, 1.0, 2.0), (-20.0, 30.0, 5.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def ball(geometry: Geometry = GEOMETRY, radius: float = 9.0, centre: tuple[int, ...] = (34, 31, 8)) -> np.ndarray:
    """A ball (*grid), off the middle."""
    grid = np.indices(geometry.array_shape)[::-1]
    steps = zip(grid, centre, geometry.spacing, strict=True)
    return (np.sqrt(sum(((n - c) * s) ** 2 for n, c, s in steps)) < radius).astype(np.int16)
