"""The voxels that a clinician's decisions confirm, with their labels.

`TrustedVoxels` holds them run-length encoded, small enough for a line of the review log.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.memory import without_collecting
from ..geometry.distance import grow_mm

REVIEWED_MARGIN = 2.0  # voxels of the finest axis a person sees around a region while deciding about it


def reviewed_mask(
    region_map: np.ndarray, region_ids: Collection[int], spacing: Sequence[float] | None = None
) -> np.ndarray:
    """What a person has seen who decided about these regions: the regions and a margin of two voxels.

    region_map: (*grid) region ids; spacing: mm along the axes, by default one. The margin is measured in mm
    with the finest spacing, so that it stays within the slice where slices are thick. Returns (*grid) bool.
    """
    spacing = (1.0,) * region_map.ndim if spacing is None else spacing
    ids = list(region_ids)
    reviewed = region_map == ids[0] if len(ids) == 1 else np.isin(region_map, ids)  # of one, several times faster
    return grow_mm(reviewed, spacing, REVIEWED_MARGIN * min(spacing))


def trusted_from_edit(
    before: np.ndarray,
    after: np.ndarray,
    region_map: np.ndarray | None = None,
    confirmed: Collection[int] = (),
    spacing: Sequence[float] | None = None,
) -> np.ndarray:
    """Voxels whose label in `after` is trusted once a person has edited or confirmed it; (*grid) bool.

    - A voxel whose label changed is trusted.
    - A confirmed region is trusted with its margin (`reviewed_mask`): the person looked and left it as it is.
    - A region in which something changed was looked at as a whole, so all of it and its margin are trusted
      too.

    Regions marked "unsure" are simply not named in `confirmed`. Elsewhere a change says nothing about its
    neighbours. Raises EngineError("geometry-mismatch") where the arrays differ in shape.
    """
    _same_grid(before, after, *(() if region_map is None else (region_map,)))
    changed = before != after
    if region_map is None:
        return changed
    corrected = set(np.unique(region_map[changed]).tolist()) - {0}
    return changed | reviewed_mask(region_map, corrected | set(confirmed), spacing)


def correct_from_reference(
    label: np.ndarray,
    reference: np.ndarray,
    region_map: np.ndarray,
    region_ids: Collection[int],
    spacing: Sequence[float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Play the reviewer: within these regions and their margin the reference is drawn, and trusted.

    For demonstrations and studies, where the truth is known. Returns the new label and the trusted mask.
    """
    _same_grid(label, reference, region_map)
    reviewed = reviewed_mask(region_map, region_ids, spacing)
    return np.where(reviewed, reference, label).astype(label.dtype), reviewed


def violations(trusted: np.ndarray, trusted_label: np.ndarray, prediction: np.ndarray) -> int:
    """How many confirmed voxels a prediction contradicts."""
    _same_grid(trusted, trusted_label, prediction)
    return int((trusted.astype(bool) & (trusted_label != prediction)).sum())


def followed(confirmed: int, violated: int) -> str:
    """How far a model follows what was confirmed, of all confirmed voxels: "33,000 of 36,000 confirmed voxels"."""
    return f"{confirmed - violated:,} of {confirmed:,} confirmed voxels"


def _runs_in(trusted: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First voxel, voxels and label value of each run, (R,) int64."""
    values = np.where(trusted, label.astype(np.int64), -1).ravel()
    starts = np.flatnonzero(np.diff(values, prepend=-1)) if values.size else np.array([], int)
    counts = np.append(starts[1:], values.size)[: len(starts)] - starts
    kept = values[starts] >= 0
    return starts[kept], counts[kept], values[starts[kept]]


def _as_runs(starts: np.ndarray, counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.stack([starts, counts, values], axis=1).astype(np.int64, copy=False)


def _as_lists(runs: np.ndarray) -> list[list[int]]:
    """Without the garbage collector, which such a number of new lists would make walk through all of the process."""
    with without_collecting():
        return runs.tolist()


def _apart(array: np.ndarray) -> np.ndarray:
    """With an empty column at the end, so that no run goes on in the next row. bool or whole numbers."""
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, 1)])


def _same_grid(*arrays: np.ndarray) -> None:
    if len({array.shape for array in arrays}) > 1:
        raise EngineError(
            "geometry-mismatch",
            "The corrected segmentation does not lie on the grid of the reviewed one; "
            "correct the segmentation that the review list was made for.",
        )


@dataclass(frozen=True, eq=False)
class TrustedVoxels:
    """shape: of the case's arrays, (k, j, i) or (j, i). image: `image_fingerprint` of the image they belong to.

    runs: (R, 3) int64, of each run its first voxel (counted through the array in C order), voxels, label value.
    """

    image: str
    shape: tuple[int, ...]
    runs: np.ndarray

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TrustedVoxels):
            return NotImplemented
        return (self.image, self.shape) == (other.image, other.shape) and np.array_equal(self.runs, other.runs)

    def __hash__(self) -> int:
        return hash((self.image, self.shape, self.runs.tobytes()))

    @staticmethod
    def of(trusted: np.ndarray, label: np.ndarray, image: str) -> TrustedVoxels:
        """trusted: (*grid) bool; label: (*grid) whole numbers. Raises EngineError("geometry-mismatch")."""
        if trusted.shape != label.shape:
            raise EngineError(
                "geometry-mismatch", "The decision and the label lie on different voxels; review this label again."
            )
        return TrustedVoxels(image, tuple(trusted.shape), _as_runs(*_runs_in(trusted, label)))

    @staticmethod
    def within(
        trusted: np.ndarray, label: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...], image: str
    ) -> TrustedVoxels:
        """As `of`, of arrays on a box of the image, whose arrays have that shape."""
        starts, counts, values = _runs_in(_apart(trusted), _apart(label))
        width = trusted.shape[-1]
        row, column = np.divmod(starts, width + 1)
        corner = np.unravel_index(row * width + column, trusted.shape)
        first = np.ravel_multi_index([n + side.start for n, side in zip(corner, box, strict=True)], shape)
        return TrustedVoxels(image, tuple(shape), _as_runs(first, counts, values))

    def put(self, trusted: np.ndarray, label: np.ndarray) -> None:
        """Set these voxels in (*grid) arrays. Raises EngineError("geometry-mismatch")."""
        if trusted.shape != self.shape or label.shape != self.shape:
            raise EngineError(
                "geometry-mismatch",
                "The review log is about an image of another size; open it with the image that was reviewed.",
            )
        flat, values = trusted.reshape(-1), label.reshape(-1)
        for start, count, value in _as_lists(self.runs):
            flat[start : start + count] = True
            values[start : start + count] = value

    def as_dict(self) -> dict[str, Any]:
        return {"image": self.image, "shape": list(self.shape), "runs": _as_lists(self.runs)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> TrustedVoxels:
        """Raises KeyError, TypeError, ValueError for anything else."""
        shape = tuple(int(n) for n in data["shape"])
        voxels = int(np.prod(shape, dtype=object)) if shape else 0
        try:
            runs = np.array(data["runs"], np.int64).reshape(len(data["runs"]), 3)
        except OverflowError as error:
            raise ValueError("runs outside the image") from error
        starts, counts, values = runs.T
        if (starts < 0).any() or (counts < 1).any() or (values < 0).any() or (counts > voxels - starts).any():
            raise ValueError("runs outside the image")
        return TrustedVoxels(str(data["image"]), shape, _as_runs(starts, counts, values))
