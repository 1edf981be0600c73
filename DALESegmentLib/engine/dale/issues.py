"""Label issues: connected places where a label is probably wrong, most volume first.

`find_label_issues` finds them in arrays. `find_regions` gives those of a case as the rows of a review list, with names
and places in the patient, and `rank_regions` makes one list of several cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import EngineError, checkpoint
from ..geometry.distance import Box, bounding_box
from ..geometry.grid import Geometry, Unit
from .arrays import checked_arrays, checked_number, checked_share
from .candidates import Candidate, VoxelEvidence, find_candidates, voxel_evidence
from .config import ReviewListConfig

DEFAULT = ReviewListConfig()
SUSPICIONS = ("too large", "too small", "missing", "extra")


@dataclass(frozen=True)
class LabelIssue:
    """A place where the label of an array is probably wrong.

    suspicion: what is wrong there with the class `label_class`: its label is "too large" or "too small", a whole object
    is "missing", or a whole labelled object is "extra". given_class: the class that the voxels have (0, the background,
    where something is missing or too small); suggested_class: the one that the model would give them. volume_mm3: in 2D
    the area in mm² times 1 mm. expected_wrong: voxels expected to be wrong, beyond what is usual at that distance from
    an outline; issues are ranked by it. centre: index of a voxel inside; slices: the smallest box around all of them;
    mask: bool, on that box. Indices have the order of the array's axes.
    """

    suspicion: str
    label_class: int
    given_class: int
    suggested_class: int
    voxels: int
    volume_mm3: float
    mean_quality: float
    lowest_quality: float
    expected_wrong: float
    centre: tuple[int, ...]
    slices: Box
    mask: np.ndarray = field(repr=False, compare=False)

    @property
    def bbox(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First and last index of the box, both inside."""
        return tuple(s.start for s in self.slices), tuple(s.stop - 1 for s in self.slices)


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
    recurs_in_cases: in how many cases regions of its kind were found in its surroundings, all of which it stands for;
    0 for a region of its own. note: where, in words. real_probability: that at least half of its voxels are wrong, None
    where it was not estimated.
    error_id, gathered: which error of the case it is a piece of, and whether that is a row of small ones; pieces: of a
    row that stands for several, most expected to be wrong first, else empty; then region_id and centre are the first
    one's. The rest is for `reasons.reason` and None or "" where it is not known: suggested_name, of the class; the mean
    probability of it; whether the model learned from this label; the class that the intensities resemble; the longest
    diameter in a slice. unit: "pixel" where the image has no spacing.
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
    recurs_in_cases: int = 0
    note: str = ""
    real_probability: float | None = None
    error_id: int = 0
    gathered: bool = False
    suggested_name: str = ""
    model_probability: float | None = None
    trained_on: bool | None = None
    intensity_value: int | None = None
    extent_mm: float | None = None
    unit: Unit = "mm"
    pieces: tuple[Region, ...] = ()

    @property
    def leaves(self) -> tuple[Region, ...]:
        """The pieces that the map of regions holds: itself, where it has none."""
        return self.pieces or (self,)

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "pieces": tuple(piece.as_dict() for piece in self.pieces)}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Region:
        tuples = {key: tuple(data[key]) for key in ("centre_ras", "centre_voxel", "first_voxel", "last_voxel")}
        return Region(**{**data, **tuples, "pieces": tuple(map(Region.from_dict, data.get("pieces", ())))})


def find_label_issues(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    spacing: Sequence[float],
    quality: ArrayLike | None = None,
    reviewed: ArrayLike | None = None,
    max_regions: int = 20,
    min_volume: float | None = None,
    config: ReviewListConfig = DEFAULT,
) -> list[LabelIssue]:
    """Where the label is probably wrong, from the softmax output of any model: the places to look at first.

    Every outline is uncertain, so a voxel is suspected where its quality is lower than is usual at that distance from
    one (by 0.5), or where the model prefers another class and the quality is below one half. Suspected voxels are
    grouped into places, and long ones are cut.

    Args:
        labels, probs, spacing, reviewed: as for `label_quality`. No reviewed voxel is part of an issue.
        quality: (*grid) in [0, 1]; by default `label_quality` of these arrays.
        max_regions: the most issues to return.
        min_volume: mm³ (in 2D mm²) below which an issue is left out; by default that of 8 voxels. So is one of which
            less than half of it is expected to be wrong.
        config: the numbers named here and the others.

    Returns:
        The issues, those with most volume expected to be wrong first.

    Raises:
        ValueError: the arrays do not fit together, or do not hold labels, probabilities and a quality.
    """
    arrays = checked_arrays(labels, probs, spacing=spacing, reviewed=reviewed)
    checked_number("max_regions", max_regions, whole=True)
    if min_volume is not None:
        checked_number("min_volume", min_volume)
    if quality is None:
        from .quality import label_quality  # torch, without which Slicer imports this module

        quality = label_quality(arrays.labels, arrays.probs, spacing=arrays.spacing, reviewed=arrays.reviewed)
    doubt = 1 - checked_share("quality", quality, arrays.labels.shape)
    trusted = np.zeros(doubt.shape, bool) if arrays.reviewed is None else arrays.reviewed
    doubt[trusted] = 0
    found = (arrays.labels, doubt, arrays.probs, arrays.spacing, trusted)
    return list(_ranked(*found, max_regions, min_volume, config))


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
    config: ReviewListConfig = DEFAULT,
) -> tuple[list[Region], np.ndarray]:
    """The doubtful regions of one case, ranked, and a map of them.

    label: (*grid) the model's classes, 0 for background; confidence: (*grid) in [0, 1], how far the label of that
    voxel can be trusted; probabilities: (K, *grid), the model's posterior of these classes; trusted: (*grid) True
    where confirmed, never part of a region. grid is `geometry.array_shape`. class_values: the label value of each
    class, by which the regions and class_names go; class c has the value c without it.

    A voxel is suspected where its doubt, 1 - confidence, exceeds what is usual at that distance from a
    boundary (`expected_uncertainty`) by 0.5, or where the model prefers another class and confidence is below one
    half. Regions are ranked by the sum of excess doubt in mm³. Those under `min_mm3` (default: 8 voxels) and
    those expected to hold less than half of it in wrong voxels are dropped, and at most `limit` kept.

    Returns the regions and an int32 map (*grid) of their `region_id`, 0 elsewhere. Raises
    EngineError("geometry-mismatch") where the arrays do not fit together, ("bad-label") where the label holds
    a class the model does not know.
    """
    trusted = np.zeros(label.shape, bool) if trusted is None else trusted.astype(bool)
    _check(case_name, label, confidence, probabilities, geometry, trusted)
    values = range(len(probabilities)) if class_values is None else class_values
    region_map = np.zeros(label.shape, np.int32)
    doubt = np.where(trusted, 0, 1 - np.nan_to_num(confidence, nan=1.0))
    checkpoint()
    found = _ranked(label, doubt, probabilities, geometry.array_spacing, trusted, limit, min_mm3, config)
    regions = []
    for rank, issue in enumerate(found, start=1):
        region_map[issue.slices][issue.mask] = rank
        regions.append(region_of(rank, case_name, issue, geometry, class_names, values))
    return regions, region_map


def _ranked(
    label: np.ndarray,
    doubt: np.ndarray,
    probabilities: np.ndarray,
    spacing: tuple[float, ...],
    trusted: np.ndarray,
    limit: int,
    min_volume: float | None,
    config: ReviewListConfig,
) -> Iterator[LabelIssue]:
    """What `find_label_issues` returns, of arrays that fit together. doubt: (*grid), 0 where trusted."""
    box = bounding_box((label > 0) | (doubt >= config.excess_doubt), 1)
    if box is None:
        return
    part = probabilities[np.index_exp[:] + box]
    evidence = voxel_evidence(label[box], doubt[box], part, spacing, trusted[box], config)
    volume = float(np.prod(spacing[::-1]))
    smallest = config.min_voxels * volume if min_volume is None else min_volume
    ranked = sorted(
        (s for s in find_candidates(evidence, config) if s.mask.sum() * volume >= smallest),
        key=lambda suspect: -_expected_wrong(suspect, evidence),
    )
    worth = [s for s in ranked if _expected_wrong(s, evidence) * volume >= config.min_wrong_share * smallest]
    offset = np.array([part.start for part in box])
    for suspect in worth[:limit]:
        checkpoint()
        yield _issue(suspect, evidence, doubt[box], offset, volume)


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


def _expected_wrong(suspect: Candidate, evidence: VoxelEvidence) -> float:
    return float(evidence.excess[suspect.box][suspect.mask].sum())


def _issue(
    suspect: Candidate, evidence: VoxelEvidence, doubt: np.ndarray, offset: np.ndarray, voxel_volume: float
) -> LabelIssue:
    where = np.argwhere(suspect.mask)
    doubts = doubt[suspect.box][suspect.mask]
    excess = evidence.excess[suspect.box][suspect.mask]
    corner = offset + [part.start for part in suspect.box]
    centre = corner + where[_centre(where * np.array(evidence.spacing), doubts, excess)]
    inner = tuple(slice(int(a), int(b) + 1) for a, b in zip(where.min(axis=0), where.max(axis=0), strict=True))
    absent = suspect.suspicion in ("too small", "missing")
    return LabelIssue(
        suspicion=suspect.suspicion,
        label_class=suspect.label_class,
        given_class=0 if absent else suspect.label_class,
        suggested_class=suspect.suggested_class,
        voxels=len(where),
        volume_mm3=len(where) * voxel_volume,
        mean_quality=float(1 - doubts.mean()),
        lowest_quality=float(1 - doubts.max()),
        expected_wrong=float(excess.sum()),
        centre=tuple(int(n) for n in centre),
        slices=tuple(slice(int(c) + s.start, int(c) + s.stop) for c, s in zip(corner, inner, strict=True)),
        mask=suspect.mask[inner],
    )


def region_of(
    rank: int,
    case: str,
    issue: LabelIssue,
    geometry: Geometry,
    class_names: Mapping[int, str],
    values: Sequence[int],
) -> Region:
    """values: the label value of each class."""
    value = values[issue.label_class]
    first, last = issue.bbox
    return Region(
        rank=rank,
        case=case,
        region_id=rank,
        label_value=value,
        class_name=class_names.get(value, f"Class {value}"),
        suspicion=issue.suspicion,
        suggested_value=values[issue.suggested_class],
        voxels=issue.voxels,
        size_mm3=issue.voxels * geometry.voxel_volume,
        unit=geometry.unit,
        mean_confidence=issue.mean_quality,
        lowest_confidence=issue.lowest_quality,
        expected_wrong=issue.expected_wrong,
        centre_ras=geometry.index_to_ras(issue.centre[::-1]),
        centre_voxel=issue.centre[::-1],
        first_voxel=first[::-1],
        last_voxel=last[::-1],
    )


def _centre(points: np.ndarray, doubt: np.ndarray, excess: np.ndarray) -> int:
    """The most doubtful of the quarter of voxels nearest to the middle; (points: (n, dims) mm)."""
    middle = np.average(points, axis=0, weights=excess + 1e-6)
    distance = np.linalg.norm(points - middle, axis=1)
    nearest = np.argsort(distance, kind="stable")[: max(len(points) // 4, 1)]
    return int(nearest[np.lexsort((distance[nearest], -np.round(doubt[nearest], 2)))[0]])


def rank_regions(cases: Iterable[Iterable[Region]]) -> list[Region]:
    """The regions of several cases in one ranking, by the volume expected to be wrong; `rank` counts through them,
    `region_id` still points into each case's own map."""
    regions = sorted((region for case in cases for region in case), key=ranking)
    return [replace(region, rank=rank) for rank, region in enumerate(regions, start=1)]


def ranking(region: Region) -> tuple[float, str, int]:
    """Sorts regions of several cases, most volume expected to be wrong first."""
    return -region.expected_wrong * region.size_mm3 / region.voxels, region.case, region.rank
