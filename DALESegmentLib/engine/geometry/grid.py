"""The grid of an image (size, spacing, origin, direction), and moving voxels between grids on one lattice.

Stored as ITK stores it (LPS, millimetres, index order i, j, k); numpy arrays of the same grid have the axes
reversed (k, j, i). Slicer's world is RAS: the first two axes negated. `onto_grid` swaps, flips, crops and pads axes; it
never resamples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
Unit = Literal["mm", "pixel"]


@dataclass(frozen=True)
class Geometry:
    """One grid of 2 or 3 dimensions.

    size: voxels along i, j(, k); spacing: mm along them; origin: LPS mm of voxel (0, 0, 0);
    direction: row-major matrix whose columns are the axes' unit vectors in LPS. unit: "pixel" of a picture without a
    spacing, whose spacing is 1 then and whose every length is one in pixels. frame_of_reference, series: of a DICOM
    image, their UIDs; "" where that is not known.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    unit: Unit = field(default="mm", compare=False)
    frame_of_reference: str = field(default="", compare=False, repr=False)
    series: str = field(default="", compare=False, repr=False)

    @property
    def dims(self) -> int:
        return len(self.size)

    @property
    def array_shape(self) -> tuple[int, ...]:
        """Shape of a numpy array on this grid: (k, j, i) or (j, i)."""
        return tuple(reversed(self.size))

    @property
    def array_spacing(self) -> tuple[float, ...]:
        """mm along the axes of a numpy array on this grid: (k, j, i) or (j, i). What functions of arrays take as
        `spacing`."""
        return tuple(reversed(self.spacing))

    @property
    def voxel_volume(self) -> float:
        """mm³ of a voxel (mm² in 2D)."""
        return float(np.prod(self.spacing))

    def ijk_to_ras(self) -> np.ndarray:
        """4×4 affine from (i, j, k) to RAS mm. A 2D grid lies in the plane k = 0, one mm thick."""
        n = self.dims
        axes = np.array(self.direction, float).reshape(n, n) @ np.diag(self.spacing)
        affine = np.eye(4)
        affine[:n, :n] = axes
        affine[:n, 3] = self.origin
        affine[:3] = LPS_TO_RAS @ affine[:3]
        return affine

    @staticmethod
    def from_ijk_to_ras(affine: np.ndarray, size: tuple[int, int, int]) -> Geometry:
        """The 3D grid of a 4×4 IJK-to-RAS affine without shear."""
        lps = np.array(affine, float)
        lps[:3] = LPS_TO_RAS @ lps[:3]
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        direction = lps[:3, :3] / spacing
        return Geometry(
            tuple(int(n) for n in size),
            tuple(float(s) for s in spacing),
            tuple(float(x) for x in lps[:3, 3]),
            tuple(float(x) for x in direction.ravel()),
        )

    def index_to_ras(self, index: tuple[float, ...]) -> tuple[float, float, float]:
        """RAS mm of a (fractional) index (i, j(, k))."""
        ijk = np.array([*index, 0.0][:3] if self.dims == 2 else index, float)
        x, y, z = (self.ijk_to_ras() @ np.append(ijk, 1.0))[:3]
        return float(x), float(y), float(z)

    def ras_to_index(self, ras: tuple[float, float, float]) -> tuple[float, ...]:
        """Fractional index (i, j(, k)) of a RAS point."""
        ijk = np.linalg.solve(self.ijk_to_ras(), np.append(np.array(ras, float), 1.0))
        return tuple(float(v) for v in ijk[: self.dims])

    def difference(self, other: Geometry, tolerance: float = 1e-3) -> str | None:
        """What keeps the two grids from being the same, in words, or None.

        Positions are compared at the corners of the grid, as a share of the smallest voxel edge (ten times
        `tolerance`), so that a tiny turn of a large image counts and rounding in a header does not.
        """
        if self.size != other.size:
            return f"size {_times(self.size)} against {_times(other.size)} voxels"
        if not np.allclose(self.spacing, other.spacing, rtol=tolerance, atol=0):
            return f"spacing {_times(self.spacing)} against {_times(other.spacing)} mm"
        allowed = 10 * tolerance * min(self.spacing)
        for corner in np.ndindex(*(2,) * self.dims):
            index = tuple(c * (n - 1) for c, n in zip(corner, self.size, strict=True))
            gap = np.linalg.norm(np.subtract(self.index_to_ras(index), other.index_to_ras(index)))
            if gap > allowed:
                same_axes = np.allclose(self.direction, other.direction, atol=1e-4)
                return f"{'position' if same_axes else 'orientation'} off by up to {gap:.3g} mm"
        return None

    def part(self, first: tuple[int, ...], last: tuple[int, ...]) -> Geometry:
        """The grid of the voxels (i, j(, k)) from first to last, both inside, in their place in the patient."""
        n = self.dims
        step = np.array(self.direction, float).reshape(n, n) @ (np.array(self.spacing) * np.array(first))
        size = tuple(int(b - a + 1) for a, b in zip(first, last, strict=True))
        return Geometry(
            size,
            self.spacing,
            tuple(float(o + s) for o, s in zip(self.origin, step, strict=True)),
            self.direction,
            self.unit,
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON values; the unit is left out where it is mm."""
        values: dict[str, Any] = {k: list(getattr(self, k)) for k in ("size", "spacing", "origin", "direction")}
        return values if self.unit == "mm" else {**values, "unit": self.unit}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Geometry:
        spacing, origin, direction = (tuple(float(v) for v in data[k]) for k in ("spacing", "origin", "direction"))
        unit: Unit = "pixel" if data.get("unit") == "pixel" else "mm"
        return Geometry(tuple(int(n) for n in data["size"]), spacing, origin, direction, unit)


def _times(values: tuple[float, ...]) -> str:
    return " × ".join(f"{v:.4g}" for v in values)


TOLERANCE = 0.01  # voxels, at the corners of the target


def onto_grid(array: np.ndarray, geometry: Geometry, target: Geometry) -> np.ndarray | None:
    """The same voxels on the grid of `target`, 0 where `geometry` does not reach; None on another lattice.

    array: (*grid) or (C, *grid) on `geometry`. A 2D grid counts as one slice of 1 mm.
    """
    source_from_target = np.linalg.solve(geometry.ijk_to_ras(), target.ijk_to_ras())
    lattice = np.rint(source_from_target)
    corners = [
        [*(c * (n - 1) for c, n in zip(corner, _size3(target), strict=True)), 1] for corner in np.ndindex(2, 2, 2)
    ]
    if np.abs((source_from_target - lattice) @ np.transpose(corners)).max() > TOLERANCE:
        return None
    axes, offsets = lattice[:3, :3].astype(int), lattice[:3, 3].astype(int)
    if not (np.abs(axes).sum(axis=0) == 1).all() or not (np.abs(axes).sum(axis=1) == 1).all():
        return None
    extra = array.shape[: array.ndim - geometry.dims]
    ijk = array.reshape(*extra, *reversed(_size3(geometry))).T  # i, j, k(, C)
    order = [int(np.flatnonzero(axes[:, t])[0]) for t in range(3)]
    ijk = ijk.transpose(*order, *range(3, ijk.ndim))
    starts = []
    for t, s in enumerate(order):
        flipped = axes[s, t] < 0
        if flipped:
            ijk = np.flip(ijk, t)
        starts.append(ijk.shape[t] - 1 - offsets[s] if flipped else offsets[s])
    return _window(ijk, starts, _size3(target)).T.reshape(*extra, *target.array_shape)


def same_voxels(geometry: Geometry, target: Geometry) -> bool:
    """Do both grids consist of the same voxels, be it in another order of axes?"""
    if sorted(_size3(geometry)) != sorted(_size3(target)):
        return False
    there = onto_grid(np.ones(geometry.array_shape, bool), geometry, target)
    return there is not None and bool(there.all())


def _window(ijk: np.ndarray, starts: list[int], size: tuple[int, ...]) -> np.ndarray:
    """`size` voxels from index `starts` on, which may lie outside, filled with 0."""
    out = np.zeros((*size, *ijk.shape[3:]), ijk.dtype)
    take, put = [], []
    for start, wanted, there in zip(starts, size, ijk.shape[:3], strict=True):
        first, last = max(start, 0), min(start + wanted, there)
        take.append(slice(first, max(last, first)))
        put.append(slice(first - start, max(last, first) - start))
    out[tuple(put)] = ijk[tuple(take)]
    return out


def _size3(geometry: Geometry) -> tuple[int, ...]:
    return (*geometry.size, 1)[:3]
