"""Slices as a radiologist expects them: axial, patient right on the left, anterior on top, true to scale."""

from __future__ import annotations

import numpy as np

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.geometry.orientation import canonical_size, canonical_spacing, to_canonical


class AxialPlane:
    """One axial slice of a grid; a plain picture is its own only slice. Places in it are mm from its left upper
    corner, in a picture pixels.
    """

    def __init__(self, geometry: Geometry, z: int) -> None:
        self.geometry, self.z = geometry, z
        self.columns, self.rows, _ = canonical_size(geometry)
        self.dx, self.dy, _ = canonical_spacing(geometry)

    @staticmethod
    def through(geometry: Geometry, mask: np.ndarray) -> AxialPlane:
        """The slice that shows most of a mask (*grid)."""
        shown = to_canonical(mask[None], geometry)[0].sum(axis=(0, 1))
        return AxialPlane(geometry, int(shown.argmax()))

    @property
    def width(self) -> float:
        return self.columns * self.dx

    @property
    def height(self) -> float:
        return self.rows * self.dy

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """For imshow, first row on top."""
        return (0.0, self.width, self.height, 0.0)

    def cut(self, array: np.ndarray) -> np.ndarray:
        """(rows, columns) of a (*grid) array."""
        plane = to_canonical(np.asarray(array)[None], self.geometry)[0][:, :, self.z]
        return plane.T if self.geometry.dims == 2 else plane[::-1, ::-1].T

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the middles of the columns and rows lie."""
        return (np.arange(self.columns) + 0.5) * self.dx, (np.arange(self.rows) + 0.5) * self.dy

    def box(self, mask: np.ndarray) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of a mask (*grid) that this slice shows something of."""
        where = np.argwhere(self.cut(mask))
        (top, left), (bottom, right) = where.min(axis=0), where.max(axis=0) + 1
        return float(left * self.dx), float(top * self.dy), float(right * self.dx), float(bottom * self.dy)

    def window(self, mask: np.ndarray, least: float, room: float = 1.8) -> tuple[float, float, float]:
        """A square round a mask (*grid), inside the slice as far as it fits: left, top, edge.

        least: its smallest edge; room: its edge as a multiple of what the mask spans.
        """
        left, top, right, bottom = self.box(mask)
        edge = min(max(least, room * max(right - left, bottom - top)), self.width, self.height)
        x = np.clip((left + right - edge) / 2, 0, self.width - edge)
        y = np.clip((top + bottom - edge) / 2, 0, self.height - edge)
        return float(x), float(y), edge
