"""Grids and small images the tests of this folder share."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from DALESegmentLib.engine.geometry.grid import Geometry


def grid(size=(7, 6, 5), spacing=None, origin=None, direction=None) -> Geometry:
    n = len(size)
    return Geometry(
        tuple(size),
        tuple(spacing or (1.0,) * n),
        tuple(origin or (0.0,) * n),
        tuple(float(x) for x in np.ravel(np.eye(n) if direction is None else direction)),
    )


def turned(angles: tuple[float, ...]) -> np.ndarray:
    """A rotation: one angle in 2D, three in 3D."""
    if len(angles) == 1:
        return _plane(2, 0, 1, angles[0])
    a, b, c = angles
    return _plane(3, 0, 1, a) @ _plane(3, 1, 2, b) @ _plane(3, 0, 2, c)


def _plane(n: int, i: int, j: int, angle: float) -> np.ndarray:
    matrix = np.eye(n)
    matrix[[i, j], [i, j]] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


@st.composite
def grids(draw, dims: int) -> Geometry:
    """Any grid a scanner may give: anisotropic, oblique, flipped, axes in any order, far from 0."""
    size = draw(st.tuples(*[st.integers(2, 6)] * dims))
    spacing = draw(st.tuples(*[st.floats(0.05, 12, allow_nan=False)] * dims))
    origin = draw(st.tuples(*[st.floats(-500, 500, allow_nan=False)] * dims))
    angles = draw(st.tuples(*[st.sampled_from([0.0, 0.1, 0.7, 1.3, np.pi / 2])] * (3 if dims == 3 else 1)))
    flips = draw(st.tuples(*[st.sampled_from([1.0, -1.0])] * dims))
    order = draw(st.permutations(range(dims)))
    return grid(size, spacing, origin, turned(angles)[:, order] * flips)


def noise(geometry: Geometry, channels: int = 1, seed: int = 0) -> np.ndarray:
    """(C, *grid) float32."""
    return np.random.default_rng(seed).normal(0, 100, (channels, *geometry.array_shape)).astype(np.float32)


def blob(geometry: Geometry, values: int = 1) -> np.ndarray:
    """(*grid) uint8 label map, the values 1.. in slabs, background around."""
    label = np.zeros(geometry.array_shape, np.uint8)
    inside = label[(slice(1, -1),) * (label.ndim - 1)]
    inside[:] = np.arange(label.shape[-1]) % (values + 1)
    return label
