"""The voxels a decision vouches for, with their labels, small enough for a line of the review log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import EngineError

Run = tuple[int, int, int]
"""First voxel (counted through the array in C order), voxels, label value."""


@dataclass(frozen=True)
class TrustedVoxels:
    """shape: of the case's arrays, (k, j, i) or (j, i). image: `image_fingerprint` of the image they belong to."""

    image: str
    shape: tuple[int, ...]
    runs: tuple[Run, ...]

    @staticmethod
    def of(trusted: np.ndarray, label: np.ndarray, image: str) -> TrustedVoxels:
        """trusted: (*grid) bool; label: (*grid) whole numbers. Raises EngineError("geometry-mismatch")."""
        if trusted.shape != label.shape:
            raise EngineError(
                "geometry-mismatch", "The decision and the label do not lie on the same voxels; review this label anew."
            )
        values = np.where(trusted, label, -1).ravel().astype(np.int64)
        starts = np.flatnonzero(np.diff(values, prepend=-1)) if values.size else np.array([], int)
        stops = np.append(starts[1:], values.size)
        runs = [
            (int(start), int(stop - start), int(values[start]))
            for start, stop in zip(starts, stops, strict=True)
            if values[start] >= 0
        ]
        return TrustedVoxels(image, tuple(trusted.shape), tuple(runs))

    def put(self, trusted: np.ndarray, label: np.ndarray) -> None:
        """Set these voxels in (*grid) arrays. Raises EngineError("geometry-mismatch")."""
        if trusted.shape != self.shape or label.shape != self.shape:
            raise EngineError(
                "geometry-mismatch",
                "The review log is about an image of another size; open it with the image that was reviewed.",
            )
        flat, values = trusted.reshape(-1), label.reshape(-1)
        for start, count, value in self.runs:
            flat[start : start + count] = True
            values[start : start + count] = value

    def as_dict(self) -> dict[str, Any]:
        return {"image": self.image, "shape": list(self.shape), "runs": [list(run) for run in self.runs]}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> TrustedVoxels:
        """Raises KeyError, TypeError, ValueError for anything else."""
        shape = tuple(int(n) for n in data["shape"])
        runs = tuple((int(start), int(count), int(value)) for start, count, value in data["runs"])
        voxels = int(np.prod(shape, dtype=object)) if shape else 0
        if any(start < 0 or count < 1 or start + count > voxels or value < 0 for start, count, value in runs):
            raise ValueError("runs outside the image")
        return TrustedVoxels(str(data["image"]), shape, runs)
