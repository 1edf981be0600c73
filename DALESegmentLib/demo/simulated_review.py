"""A simulated review: the worst regions are redrawn from the reference, and trusted from then on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.dale.issues import Region
from ..engine.geometry.distance import boundary_distance
from ..engine.io.case import Case
from ..engine.io.case_files import read_case, read_reference
from ..engine.io.find_cases import find_cases
from ..engine.io.images import read_image, write_image
from ..engine.metrics.label_errors import review_value
from ..engine.metrics.segmentation import mean_dice
from ..engine.review.reviewed_voxels import correct_from_reference
from .data import DemoData

BAND_MM = 3.0


@dataclass
class SimulatedReview:
    """items: all training cases, the corrected ones with their new label and trusted mask. facts: what the review
    was worth, for the tables."""

    items: list[dict[str, Any]]
    facts: dict[str, Any]


@dataclass
class _Voxels:
    """The training cases one behind the other, voxel by voxel: regions (by rank), label errors, near an outline."""

    ranks: list[np.ndarray] = field(default_factory=list)
    wrong: list[np.ndarray] = field(default_factory=list)
    near: list[np.ndarray] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)


def load(item: dict[str, Any]) -> tuple[Case, np.ndarray]:
    """A case with its label, and its reference (*grid), from the item the engine was given."""
    (source,) = find_cases(items=[item])
    case = read_case(source)
    return case, read_reference(source, case)


def read_map(path: Path) -> np.ndarray:
    """(*grid) of a map the engine wrote; a case without a doubtful region has an empty one."""
    return read_image(path)[0][0]


def simulate_review(data: DemoData, worst: list[Region], out: Path) -> SimulatedReview:
    """Correct these regions. Writes corrected/<case>/label and trusted under `out`, where a region was corrected."""
    items, voxels = data.items(data.train), _Voxels()
    for item in items:
        case, reference = load(item)
        label = np.asarray(case.label)
        here = {piece.region_id: row.rank for row in worst if row.case == case.name for piece in row.leaves}
        region_map = read_map(out / "review" / case.name / ("regions" + data.extension)).astype(int)
        ranks = np.zeros_like(region_map)
        for region_id, rank in here.items():
            ranks[region_map == region_id] = rank
        _add_case(voxels, case, reference, ranks)
        voxels.before.append(_dice(label, reference))
        if here:
            spacing = case.geometry.array_spacing
            label, trusted = correct_from_reference(label, reference, region_map, list(here), spacing)
            for role, array in (("label", label), ("trusted", trusted.astype(np.uint8))):
                path = out / "corrected" / case.name / (role + data.extension)
                write_image(path, array, case.geometry)
                item[role] = str(path.absolute())
        voxels.after.append(_dice(label, reference))
    return SimulatedReview(items, _facts(voxels, [region.rank for region in worst]))


def _add_case(voxels: _Voxels, case: Case, reference: np.ndarray, ranks: np.ndarray) -> None:
    label = np.asarray(case.label)
    distance, _ = boundary_distance(label, case.geometry.array_spacing, BAND_MM + 1)
    voxels.ranks.append(ranks.ravel())
    voxels.wrong.append((label != reference).ravel())
    voxels.near.append((np.abs(distance) <= BAND_MM).ravel())


def _facts(voxels: _Voxels, ranks: list[int]) -> dict[str, Any]:
    """truly_wrong: share of label errors among the voxels of each region, and of all; by_chance: what as many
    voxels drawn at random hold, from the whole images and from the band round the outlines."""
    rank, wrong, near = (np.concatenate(parts) for parts in (voxels.ranks, voxels.wrong, voxels.near))
    value = review_value(rank, ranks, wrong, near)
    found, share = value["found"], [float(wrong[rank == r].mean()) for r in ranks]
    return {
        "regions": len(ranks),
        "voxels": int((rank > 0).sum()),
        "truly_wrong_each": share,
        "truly_wrong": float(wrong[rank > 0].mean()) if ranks else None,
        "by_chance": float(wrong.mean()),
        "by_chance_near_outline": float(wrong[near].mean()) if near.any() else None,
        "gain_near_outline": value["gain"],
        "share_of_all_errors": found[-1] if found else None,
        "label_dice_before": float(np.mean(voxels.before)),
        "label_dice_after": float(np.mean(voxels.after)),
        "band_mm": BAND_MM,
    }


def _dice(label: np.ndarray, reference: np.ndarray) -> float:
    score = mean_dice(label, reference)
    return 1.0 if score is None else score
