"""A doubtful region: one place in one case where the label is suspected to be wrong.

Doubtful regions: where a label is probably wrong, most volume first.

One review list over several cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..core.errors import EngineError, checkpoint
from ..geometry.distance import boundary_distance, bounding_box, margin_voxels
from ..geometry.grid import Geometry
from .candidates import REACH_MM, Candidate, VoxelEvidence, expected_uncertainty, find_candidates

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
    label_source: why its voxels were learned as they were (`LabelState.source`), "" where that is not known or the
    whole case was learned as given; the most frequent one where some were learned otherwise than given, and
    learned_voxels, learned_value, learned_class: how many of them, and as what; None and "" where nothing was learned.
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
    label_source: str = ""
    learned_value: int | None = None
    learned_class: str = ""
    learned_voxels: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Region:
        tuples = {key: tuple(data[key]) for key in ("centre_ras", "centre_voxel", "first_voxel", "last_voxel")}
        return Region(**{**data, **tuples})


EXCESS_DOUBT = 0.35
SMALLEST_VOXELS = 8


def find_regions(
    case_name: str,
    label: np.ndarray,
    confidence: np.ndarray,
    probabilities: np.ndarray,
    geometry: Geometry,
    class_names: Mapping[int, str],
    trusted: np.ndarray | None = None,
    limit: int = 20,
    min_mm3: float | None = None,
    class_values: Sequence[int] | None = None,
) -> tuple[list[Region], np.ndarray]:
    """The doubtful regions of one case, ranked, and a map of them.

    label: (*grid) the model's classes, 0 for background; confidence: (*grid) in [0, 1], how far the label of that
    voxel can be trusted; probabilities: (K, *grid), the model's posterior of these classes; trusted: (*grid) True
    where confirmed, never part of a region. grid is `geometry.array_shape`. class_values: the label value of each
    class, by which the regions and class_names go; class c has the value c without it.

    A voxel is suspected where its doubt, 1 - confidence, exceeds what is usual at that distance from a
    boundary (`expected_uncertainty`) by 0.35, or where the model prefers another class and confidence is below one
    half. Regions are ranked by the sum of excess doubt in mm³. Those under `min_mm3` (default: 8 voxels) and
    those expected to hold less than half of it in wrong voxels are dropped, and at most `limit` kept.

    Returns the regions and an int32 map (*grid) of their `region_id`, 0 elsewhere. Raises
    EngineError("geometry-mismatch") where the arrays do not fit together, ("bad-label") where the label holds
    a class the model does not know.
    """
    trusted = np.zeros(label.shape, bool) if trusted is None else trusted.astype(bool)
    _check(case_name, label, confidence, probabilities, geometry, trusted)
    region_map = np.zeros(label.shape, np.int32)
    doubt = np.where(trusted, 0, 1 - np.nan_to_num(confidence, nan=1.0))
    checkpoint()
    box = bounding_box((label > 0) | (doubt >= EXCESS_DOUBT), 1)
    if box is None:
        return [], region_map

    values = range(len(probabilities)) if class_values is None else class_values
    posterior = probabilities[np.index_exp[:] + box]
    evidence = _evidence(label[box], doubt[box], posterior, geometry, trusted[box])
    smallest = SMALLEST_VOXELS * geometry.voxel_volume if min_mm3 is None else min_mm3
    ranked = sorted(
        (s for s in find_candidates(evidence) if s.mask.sum() * geometry.voxel_volume >= smallest),
        key=lambda suspect: -_expected_wrong(suspect, evidence),
    )
    worth = [s for s in ranked if _expected_wrong(s, evidence) * geometry.voxel_volume >= smallest / 2]
    regions = []
    offset = np.array([part.start for part in box])
    for rank, suspect in enumerate(worth[:limit], start=1):
        checkpoint()
        region_map[box][suspect.box][suspect.mask] = rank
        regions.append(_region(rank, case_name, suspect, evidence, doubt[box], offset, geometry, class_names, values))
    return regions, region_map


def _check(
    case: str,
    label: np.ndarray,
    confidence: np.ndarray,
    probabilities: np.ndarray,
    geometry: Geometry,
    trusted: np.ndarray,
) -> None:
    shapes = {label.shape, confidence.shape, probabilities.shape[1:], trusted.shape, geometry.array_shape}
    if len(shapes) > 1:
        raise EngineError(
            "geometry-mismatch",
            f"The label and the confidence of “{case}” do not lie on the same grid; "
            "compute the confidence of this label again.",
        )
    if label.size and not 0 <= label.min() <= label.max() < len(probabilities):
        odd = int(label.min() if label.min() < 0 else label.max())
        raise EngineError(
            "bad-label",
            f"The label of “{case}” holds the value {odd}, which the model was not trained for; "
            f"it knows the values 0 to {len(probabilities) - 1}.",
        )


def _evidence(
    label: np.ndarray,
    doubt: np.ndarray,
    probabilities: np.ndarray,
    geometry: Geometry,
    trusted: np.ndarray,
) -> VoxelEvidence:
    """What `find_candidates` needs, on the searched part of the grid."""
    spacing = geometry.array_spacing
    label = label.astype(np.int16 if len(probabilities) <= 2**15 else np.int32)
    model = _most_probable(probabilities, label.dtype)
    excess = np.maximum(doubt - _expected_uncertainty(label, doubt, spacing, trusted), 0)
    checkpoint()
    candidate = ((excess >= EXCESS_DOUBT) | ((model != label) & (doubt > 0.5))) & ~trusted

    checkpoint()
    rival = model.copy()
    agreed = candidate & (model == label)
    rival[agreed] = _most_probable(probabilities, label.dtype, agreed, label[agreed])
    return VoxelEvidence(label, model, rival, excess, candidate, trusted, spacing)


def _most_probable(
    probabilities: np.ndarray, kind: np.dtype, where: np.ndarray | None = None, without: np.ndarray | None = None
) -> np.ndarray:
    """The most probable class, the first of equals: (K, *grid) to (*grid), or (n,) of the voxels `where`. without: (n,)
    one class of each that is not considered. Class by class: never a copy of all probabilities."""
    inside = ... if where is None else where
    best = np.full_like(probabilities[0][inside], -np.inf)
    found = np.zeros(best.shape, kind)
    for index, own in enumerate(probabilities):
        more = own[inside] > best
        if without is not None:
            more &= without != index
        np.copyto(best, own[inside], where=more)
        found[more] = index
    return found


def _expected_uncertainty(
    label: np.ndarray, doubt: np.ndarray, spacing: tuple[float, ...], trusted: np.ndarray
) -> np.ndarray:
    """Usual doubt within reach of the label, where boundaries lie; far from it the median doubt there."""
    near = bounding_box(label > 0, margin_voxels(REACH_MM, spacing))
    expected = np.zeros(label.shape, np.float32)
    if near is None:
        return expected
    checkpoint()
    distance, nearest = boundary_distance(label[near], spacing, REACH_MM)
    checkpoint()
    expected[near] = expected_uncertainty(doubt[near], distance, nearest, min(spacing), ~trusted[near])
    return expected


def _expected_wrong(suspect: Candidate, evidence: VoxelEvidence) -> float:
    return float(evidence.excess[suspect.box][suspect.mask].sum())


def _region(
    rank: int,
    case: str,
    suspect: Candidate,
    evidence: VoxelEvidence,
    doubt: np.ndarray,
    offset: np.ndarray,
    geometry: Geometry,
    class_names: Mapping[int, str],
    values: Sequence[int],
) -> Region:
    corner = offset + [part.start for part in suspect.box]
    where = np.argwhere(suspect.mask)
    doubts = doubt[suspect.box][suspect.mask]
    excess = evidence.excess[suspect.box][suspect.mask]
    centre = _index(corner + where[_centre(where * np.array(evidence.spacing), doubts, excess)])
    value = values[suspect.label_class]
    return Region(
        rank=rank,
        case=case,
        region_id=rank,
        label_value=value,
        class_name=class_names.get(value, f"Class {value}"),
        suspicion=suspect.suspicion,
        suggested_value=values[suspect.suggested_class],
        voxels=len(where),
        size_mm3=len(where) * geometry.voxel_volume,
        mean_confidence=float(1 - doubts.mean()),
        lowest_confidence=float(1 - doubts.max()),
        expected_wrong=float(excess.sum()),
        centre_ras=geometry.index_to_ras(centre),
        centre_voxel=centre,
        first_voxel=_index(corner + where.min(axis=0)),
        last_voxel=_index(corner + where.max(axis=0)),
    )


def _centre(points: np.ndarray, doubt: np.ndarray, excess: np.ndarray) -> int:
    """The most doubtful of the quarter of voxels nearest to the middle; (points: (n, dims) mm)."""
    middle = np.average(points, axis=0, weights=excess + 1e-6)
    distance = np.linalg.norm(points - middle, axis=1)
    nearest = np.argsort(distance, kind="stable")[: max(len(points) // 4, 1)]
    return int(nearest[np.lexsort((distance[nearest], -np.round(doubt[nearest], 2)))[0]])


def _index(kji: np.ndarray) -> tuple[int, ...]:
    return tuple(int(n) for n in reversed(kji))


def rank_regions(cases: Iterable[Iterable[Region]]) -> list[Region]:
    """The regions of several cases in one ranking, by the volume expected to be wrong.

    `rank` counts through the merged list; `region_id` still points into each case's own map.
    """
    regions = [region for case in cases for region in case]
    regions.sort(key=lambda r: (-r.expected_wrong * r.size_mm3 / r.voxels, r.case, r.rank))
    return [replace(region, rank=rank) for rank, region in enumerate(regions, start=1)]
