"""What a reader is offered at a row of the review list: the voxels that should have another class, in two sizes.

The log-odds that the label of a voxel is right are those of its confidence q and of the intensities,

    z = logit q + k log( p(given | intensities) / p(suggested | intensities) ),

with k and the probability below which a voxel changes chosen for either size: the sure voxels, nearly all of which are
wrong, and the likely ones, all of what is more likely wrong than right. Both grow beyond the region as far as it is
wide, where they hang together with it and have its class: a network that has learned an error in part by heart still
contradicts its middle, and the intensities tell how far it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from ..core.errors import checkpoint
from ..geometry.distance import Box, bounding_box, grow_mm, margin_voxels, scaled_mm
from .intensities import IntensityModel, fit_intensities
from .issues import Region
from .reasons import box_around, given_value

SURE, LIKELY = (0.25, 0.2), (1.0, 0.5)
"""k, and the probability that a label is right below which it changes: chosen on training cases of LIDC and hippocampus
with simulated errors, for at most one voxel in twenty that was right, and on the practice case."""
MOST_ODDS = 4.0
"""Largest log-odds of the intensities."""
LEAST_QUALITY = 1e-4
REACH = 2.0
"""Times the radius of the largest ball in a row, how far from it voxels are changed."""
SURROUNDINGS_MM = 20.0
"""Around a row, in which the intensities of the two classes are compared."""
LARGEST_BOX = 4_000_000
"""Voxels of what the intensities are compared in."""
SURE_QUALITY = 0.5
"""Confidence from which a voxel's intensity tells what its class looks like."""


@dataclass(frozen=True)
class Suggestion:
    """Of one region, voxels whose class should be another; box: slices of the array; sure, likely: (*box) bool, the
    first a part of the second."""

    box: Box
    sure: np.ndarray
    likely: np.ndarray


def suggest_for_rows(
    regions: Iterable[Region],
    region_map: np.ndarray,
    label: np.ndarray,
    quality: np.ndarray,
    image: np.ndarray,
    spacing: Sequence[float],
    class_values: Sequence[int],
) -> dict[int, Suggestion]:
    """By region_id, for the regions of a case as `number_errors` gives them; arrays as for `suggest_changes`. What is
    small and gathered does not grow, and is offered whole where it is likely."""
    rows: dict[int, list[Region]] = {}
    for region in regions:
        rows.setdefault(region.error_id, []).append(region)
    found: dict[int, Suggestion] = {}
    for pieces in rows.values():
        if pieces[0].gathered:
            found |= {piece.region_id: _small(piece, region_map, quality) for piece in pieces}
        else:
            found |= suggest_changes(pieces, region_map, label, quality, image, spacing, class_values)
    return found


def _small(piece: Region, region_map: np.ndarray, quality: np.ndarray) -> Suggestion:
    box = box_around([piece.first_voxel], [piece.last_voxel])
    place = region_map[box] == piece.region_id
    return Suggestion(box, place & (quality[box] < SURE[1]), place & (quality[box] < LIKELY[1]))


def suggest_changes(
    pieces: Sequence[Region],
    region_map: np.ndarray,
    label: np.ndarray,
    quality: np.ndarray,
    image: np.ndarray,
    spacing: Sequence[float],
    class_values: Sequence[int],
) -> dict[int, Suggestion]:
    """By region_id, for the pieces of one row; each voxel is offered with the piece that it is nearest to.

    region_map: (*grid) of region_id; label: (*grid) the model's classes; quality: (*grid) the label confidence; image:
    (C, *grid); spacing: mm along the array's axes; class_values: the label value of each class.
    """
    given, wanted = (list(class_values).index(v) for v in (given_value(pieces[0]), pieces[0].suggested_value))
    corners = [piece.first_voxel for piece in pieces], [piece.last_voxel for piece in pieces]
    ids = [piece.region_id for piece in pieces]
    place = np.isin(region_map[box_around(*corners)], ids)
    reach = REACH * float(ndimage.distance_transform_edt(np.pad(place, 1), spacing).max())
    reach = max(reach, min(spacing))
    box = box_around(*corners, margin_voxels(reach, spacing))
    checkpoint()
    place = np.isin(region_map[box], ids)
    mine = (label[box] == given) & grow_mm(place, spacing, reach)
    odds = _against(label, region_map, quality, image, spacing, box_around(*corners), box, given, wanted)
    right = special.logit(np.clip(quality[box], LEAST_QUALITY, 1 - LEAST_QUALITY))
    parts = []
    for weight, probability in (SURE, LIKELY):
        parts.append(joined(mine & (right - weight * odds < special.logit(probability)), place))
    sure, likely = parts[0], parts[0] | parts[1]
    return _divided(sure, likely, region_map[box], ids, spacing, box)


def joined(mask: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The parts of a mask that have voxels of the place, corners touching."""
    found, _ = ndimage.label(mask, np.ones((3,) * mask.ndim))
    ids = np.unique(found[place & mask])
    return np.isin(found, ids[ids > 0])


def _against(
    label: np.ndarray,
    region_map: np.ndarray,
    quality: np.ndarray,
    image: np.ndarray,
    spacing: Sequence[float],
    row: Box,
    box: Box,
    given: int,
    wanted: int,
) -> np.ndarray:
    """(*box) log-odds of the wanted class against the given one by the intensities; 0 where they say nothing."""
    model = intensity_model(label, region_map, quality, image, spacing, row, given, wanted)
    if model is None:
        return np.zeros(label[box].shape, np.float32)
    return np.clip(model.log_odds(image[np.index_exp[:] + box], spacing), -MOST_ODDS, MOST_ODDS)


def intensity_model(
    label: np.ndarray,
    region_map: np.ndarray,
    quality: np.ndarray,
    image: np.ndarray,
    spacing: Sequence[float],
    row: Box,
    given: int,
    wanted: int,
) -> IntensityModel | None:
    """Of the wanted class against the given one, from the surroundings of a row or, where it lies far from all of one
    class, from those of all of that; None where the intensities cannot be compared."""
    near = _grown(row, margin_voxels(scaled_mm(SURROUNDINGS_MM, spacing), spacing))
    for around in (
        near,
        bounding_box(label == (wanted or given), margin_voxels(scaled_mm(SURROUNDINGS_MM, spacing), spacing)),
    ):
        if around is None:
            continue
        part = label[around]
        if part.size > LARGEST_BOX:
            continue
        sure = (quality[around] >= SURE_QUALITY) & (region_map[around] == 0)
        found = fit_intensities(image[np.index_exp[:] + around], part, sure, wanted, given, spacing)
        if found is not None:
            return found
    return None


def _grown(box: Box, margin: Sequence[int]) -> Box:
    return tuple(slice(max(part.start - n, 0), part.stop + n) for part, n in zip(box, margin, strict=True))


def _divided(
    sure: np.ndarray, likely: np.ndarray, region_map: np.ndarray, ids: Sequence[int], spacing: Sequence[float], box: Box
) -> dict[int, Suggestion]:
    """Each voxel with its nearest piece."""
    if len(ids) == 1:
        owner = np.full(likely.shape, ids[0])
    else:
        away = ~np.isin(region_map, ids)
        nearest = ndimage.distance_transform_edt(away, spacing, return_distances=False, return_indices=True)
        owner = region_map[tuple(nearest)]
    found = {}
    for number in ids:
        own = likely & (owner == number)
        inner = bounding_box(own)
        if inner is None:
            continue
        outer = tuple(slice(o.start + i.start, o.start + i.stop) for o, i in zip(box, inner, strict=True))
        found[number] = Suggestion(outer, (own & sure)[inner], own[inner])
    return found
