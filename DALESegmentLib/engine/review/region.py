"""A doubtful region: one place in one case where the label is suspected to be wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SUSPICIONS = ("too large", "too small", "missing", "extra")


@dataclass(frozen=True)
class Region:
    """One row of the review list. Rank 1 is looked at first.

    suspicion: what is probably wrong with class `label_value` here: its label is "too large" or "too small",
    a whole object is "missing", or a whole labelled object is "extra". suggested_value: the class the model
    would put instead. size_mm3: volume (in 2D, area in mm² times 1 mm). expected_wrong: voxels expected to be
    wrong, beyond what is usual at that distance from a boundary; the ranking follows it.
    centre_voxel: (i, j(, k)) of a voxel *inside* the region; centre_ras: its RAS mm.
    first_voxel, last_voxel: (i, j(, k)) corners of the bounding box, both inside.
    region_id: value of the region in the case's region map.
    """

    rank: int
    case: str
    region_id: int
    label_value: int
    class_name: str
    suspicion: str
    suggested_value: int
    voxels: int
    size_mm3: float
    mean_confidence: float
    lowest_confidence: float
    expected_wrong: float
    centre_ras: tuple[float, float, float]
    centre_voxel: tuple[int, ...]
    first_voxel: tuple[int, ...]
    last_voxel: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Region:
        tuples = {key: tuple(data[key]) for key in ("centre_ras", "centre_voxel", "first_voxel", "last_voxel")}
        return Region(**{**data, **tuples})
