"""Errors as the rows of a review list: the pieces of one error in one row, what is small and of one kind in another.

`find_regions` cuts what is suspected into pieces that a person sees at once. A label that spills over is one error all
the same: pieces in which the same class should be the same other class, and between which no more than two voxels lie,
are one row. Outlines are off by a voxel in many places; those of one kind that are too small to be looked at one by one
are gathered into a row of their own, after all others. So is what the intensities side with the label about: these rows
are below the line (`is_below_line`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from ..core.errors import checkpoint
from ..geometry.distance import grow_mm
from .issues import Region, ranking
from .reasons import box_around, given_value, size_words
from .review_list import DEFAULT, WHOLE, ReviewList

PIECES_A_ROW = 10
"""Pieces that are looked for, to a row that is asked for."""
SAME_ERROR_VOXELS = 2.0
"""Of the finest axis, between pieces of one error at most. This and the following are chosen by hand."""
SMALL_VOXELS = 40.0
"""Expected to be wrong in a part of an outline, below which it is gathered with others: a ball of four across."""
SMALL_SHARE = 0.05
"""The same as a share of all that is labelled, where that is less."""


def number_errors(
    regions: Sequence[Region], region_map: np.ndarray, label: np.ndarray, spacing: Sequence[float], limit: int
) -> tuple[list[Region], np.ndarray]:
    """The pieces of the `limit` largest errors of a case and of what is gathered, with `error_id`, and their map.

    regions, region_map: as `find_regions` gives them; label: (*grid) the model's classes; spacing: mm along the axes of
    the array. Of a small error `gathered` is True, and all of a kind have one `error_id`.
    """
    kinds: dict[tuple, list[Region]] = {}
    for region in regions:
        kinds.setdefault((region.label_value, region.suspicion, region.suggested_value), []).append(region)
    small = min(SMALL_VOXELS, SMALL_SHARE * int((label > 0).sum()))
    errors: list[list[Region]] = []
    gathered: list[list[Region]] = []
    for kind in kinds.values():
        checkpoint()
        whole = kind[0].suspicion in WHOLE
        found = [[region] for region in kind] if whole else _neighbours(kind, region_map, spacing)
        few = [] if whole else [error for error in found if _expected(error) < small]
        errors += [error for error in found if error not in few]
        gathered += [[region for error in few for region in error]] if few else []
    kept = sorted(errors, key=lambda error: -_expected(error))[:limit]
    numbered = [
        replace(region, error_id=number, gathered=number > len(kept))
        for number, error in enumerate([*kept, *gathered], start=1)
        for region in error
    ]
    numbered.sort(key=lambda region: region.rank)
    ids = np.zeros(int(region_map.max(initial=0)) + 1, region_map.dtype)
    for region in numbered:
        ids[region.region_id] = region.region_id
    return numbered, ids[region_map]


def as_rows(made: ReviewList) -> ReviewList:
    """The list with errors for rows, those that are gathered after the others, and what recurs at the end. How many are
    expected to be real is counted anew."""
    groups: dict[tuple, list[Region]] = {}
    for region in made.regions:
        key = (region.case, region.error_id) if region.error_id and not region.recurs_in_cases else (id(region),)
        groups.setdefault(key, []).append(region)
    rows = [_row(pieces) for pieces in groups.values()]
    rows.sort(key=lambda row: (bool(row.recurs_in_cases), row.gathered, _is_supported(row), *ranking(row)))
    ranked = [
        replace(row, rank=rank, pieces=tuple(replace(piece, rank=rank) for piece in row.pieces))
        for rank, row in enumerate(rows, start=1)
    ]
    estimates = [r.real_probability for r in ranked[: DEFAULT.first_rows] if r.real_probability is not None]
    return replace(made, regions=ranked, rows=len(estimates), expected_real=sum(estimates))


def is_below_line(row: Region) -> bool:
    """Whether a row is listed for completeness: small places, what the intensities support, what recurs everywhere."""
    return bool(row.recurs_in_cases) or row.gathered or _is_supported(row)


def _is_supported(region: Region) -> bool:
    return region.intensity_value is not None and region.intensity_value == given_value(region)


def _neighbours(kind: Sequence[Region], region_map: np.ndarray, spacing: Sequence[float]) -> list[list[Region]]:
    """Pieces between which no more than so many voxels lie. Of each, the part that most of its voxels belong to."""
    box = box_around([region.first_voxel for region in kind], [region.last_voxel for region in kind])
    inside = np.isin(region_map[box], [region.region_id for region in kind])
    reach = SAME_ERROR_VOXELS * min(spacing)
    margin = [(int(np.ceil(reach / step)),) * 2 for step in spacing]
    near = grow_mm(np.pad(inside, margin), spacing, reach / 2)
    parts, _ = ndimage.label(near, np.ones((3,) * near.ndim))
    parts = parts[tuple(slice(a, n - b) for (a, b), n in zip(margin, near.shape, strict=True))]
    groups: dict[int, list[Region]] = {}
    for region in kind:
        own = parts[region_map[box] == region.region_id]
        groups.setdefault(int(np.bincount(own).argmax()), []).append(region)
    return [error for group in groups.values() for error in _alike(group)]


def _alike(group: Sequence[Region]) -> list[list[Region]]:
    """Of pieces side by side those whose intensities resemble the same class; what resembles none goes with most."""
    found: dict[int | None, list[Region]] = {}
    for region in group:
        found.setdefault(region.intensity_value, []).append(region)
    unclear = found.pop(None, [])
    errors = sorted(found.values(), key=lambda error: -_expected(error)) or [[]]
    errors[0] += unclear
    return errors


def _row(pieces: Sequence[Region]) -> Region:
    """One row for all of them; the centre is that of the piece with most volume expected to be wrong."""
    if len(pieces) == 1:
        return pieces[0]
    ordered = sorted(pieces, key=lambda piece: -piece.expected_wrong)
    voxels = np.array([piece.voxels for piece in ordered], float)

    def mean(name: str) -> Any:
        known = [(getattr(p, name), n) for p, n in zip(ordered, voxels, strict=True) if getattr(p, name) is not None]
        return sum(v * n for v, n in known) / sum(n for _, n in known) if known else None

    size = sum(piece.size_mm3 for piece in ordered)
    likes = [(piece.intensity_value, piece.voxels) for piece in ordered]
    told = max(ordered, key=lambda piece: piece.learned_voxels)
    learned = [p for p in ordered if (p.label_source, p.learned_value) == (told.label_source, told.learned_value)]
    row = replace(
        told,
        region_id=ordered[0].region_id,
        voxels=int(voxels.sum()),
        size_mm3=size,
        mean_confidence=mean("mean_confidence"),
        lowest_confidence=min(piece.lowest_confidence for piece in ordered),
        expected_wrong=_expected(ordered),
        centre_ras=ordered[0].centre_ras,
        centre_voxel=ordered[0].centre_voxel,
        first_voxel=tuple(np.min([p.first_voxel for p in ordered], axis=0).tolist()),
        last_voxel=tuple(np.max([p.last_voxel for p in ordered], axis=0).tolist()),
        learned_voxels=sum(piece.learned_voxels for piece in learned),
        real_probability=mean("real_probability"),
        model_probability=mean("model_probability"),
        intensity_value=max({v for v, _ in likes}, key=lambda like: sum(n for v, n in likes if v == like)),
        extent_mm=max((p.extent_mm for p in ordered if p.extent_mm is not None), default=None),
        note=told.note,
        pieces=tuple(ordered),
    )
    if not ordered[0].gathered:
        return row
    together = size_words(row) if row.unit == "pixel" else f"{size:,.0f} mm³" if size >= 1 else f"{size:.2g} mm³"
    return replace(row, note=f"{len(ordered)} small places, together {together}")


def _expected(pieces: Iterable[Region]) -> float:
    return sum(piece.expected_wrong for piece in pieces)
