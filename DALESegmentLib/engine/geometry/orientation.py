"""The prepared layout: axes (i, j, k) turned to R, A, S, so that a network always sees the patient the same way.

Plain 2D pictures have no patient orientation and are left as they are, as a volume of one slice. The turning is
nibabel's, which is also what MONAI's `Orientation` in an exported bundle uses.
"""

from __future__ import annotations

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from .grid import Geometry

_AS_IS = np.array([[0, 1], [1, 1], [2, 1]], float)


def to_canonical(array: np.ndarray, geometry: Geometry) -> np.ndarray:
    """(C, k, j, i) or (C, j, i) to (C, x, y, z), contiguous."""
    ijkc = np.transpose(array)  # (i, j(, k), C)
    if geometry.dims == 2:
        ijkc = ijkc[:, :, None]
    # a copy: torch refuses negative strides, which `ascontiguousarray` leaves on axes of one voxel
    return np.moveaxis(apply_orientation(ijkc, _turn(geometry)), -1, 0).copy()


def from_canonical(array: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The way back of `to_canonical`, exactly: (C, x, y, z) to (C, k, j, i) or (C, j, i)."""
    back = ornt_transform(_AS_IS, _turn(geometry))
    ijkc = apply_orientation(np.moveaxis(array, 0, -1), back)
    if geometry.dims == 2:
        ijkc = ijkc[:, :, 0]
    return np.transpose(ijkc).copy()


def canonical_affine(geometry: Geometry) -> np.ndarray:
    """4×4, canonical index to RAS mm."""
    return geometry.ijk_to_ras() @ inv_ornt_aff(_turn(geometry), _size3(geometry))


def canonical_size(geometry: Geometry) -> tuple[int, int, int]:
    x, y, z = (int(_size3(geometry)[int(axis)]) for axis in _axes(geometry))
    return x, y, z


def canonical_spacing(geometry: Geometry) -> tuple[float, float, float]:
    x, y, z = (float(s) for s in np.linalg.norm(canonical_affine(geometry)[:3, :3], axis=0))
    return x, y, z


def _size3(geometry: Geometry) -> tuple[int, ...]:
    return (*geometry.size, 1)[:3]


def _turn(geometry: Geometry) -> np.ndarray:
    return _AS_IS if geometry.dims == 2 else io_orientation(geometry.ijk_to_ras())


def _axes(geometry: Geometry) -> np.ndarray:
    """For each canonical axis, the index axis that becomes it."""
    return np.argsort(_turn(geometry)[:, 0])
