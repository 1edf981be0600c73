"""Slices as a radiologist expects them: axial, patient right on the left, anterior on top."""

from __future__ import annotations

import numpy as np

from DALESegmentLib.engine.cases.geometry import Geometry
from DALESegmentLib.engine.learn.layout import canonical_affine, canonical_spacing, to_canonical


class AxialPlane:
    """The axial slice of a grid through a RAS point; a plain picture is its own only slice."""

    def __init__(self, geometry: Geometry, ras: tuple[float, float, float]) -> None:
        self.geometry = geometry
        index = np.linalg.solve(canonical_affine(geometry), np.append(ras, 1.0))[:3]
        self.x, self.y, self.z = index
        x_spacing, y_spacing, _ = canonical_spacing(geometry)
        self.aspect = y_spacing / x_spacing
        self.x_spacing = x_spacing

    def cut(self, array: np.ndarray) -> np.ndarray:
        """(rows, columns) of a (*grid) array."""
        volume = to_canonical(np.asarray(array)[None], self.geometry)[0]
        plane = volume[:, :, int(np.clip(round(self.z), 0, volume.shape[2] - 1))]
        return plane.T if self.geometry.dims == 2 else plane[::-1, ::-1].T

    def place(self, array_shape: tuple[int, ...]) -> tuple[float, float]:
        """(column, row) of the point in a plane `cut` gave."""
        rows, columns = array_shape
        if self.geometry.dims == 2:
            return self.x, self.y
        return columns - 1 - self.x, rows - 1 - self.y
