"""What a review list is worth: label errors found per reviewed voxel, against looking at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def review_value(
    region_map: np.ndarray, region_ids: Sequence[int], wrong: np.ndarray, within: np.ndarray | None = None
) -> dict[str, Any]:
    """Walk the regions in order and count the wrong label voxels inside them.

    region_map, wrong: (*grid); within: (*grid) bool, where a random reviewer would look, for instance a band
    round the label (default: everywhere). Returns one entry a region, cumulative: `reviewed` voxels, `found`,
    the share of all wrong voxels, and `random`, the share that as many voxels drawn at random from `within`
    would hold on average; and `gain`, found / random after the last region. None where nothing is wrong or
    nothing reviewed.
    """
    total = int(wrong.sum())
    place = np.ones(wrong.shape, bool) if within is None else within
    size = int(region_map.max(initial=0)) + 1
    voxels = np.bincount(region_map.ravel(), minlength=size)
    errors = np.bincount(region_map[wrong], minlength=size)
    order = np.asarray(region_ids, int)
    reviewed = np.cumsum(voxels[order])
    if not total or not len(order):
        return {"reviewed": reviewed.tolist(), "found": None, "random": None, "gain": None}
    found = np.cumsum(errors[order]) / total
    chance = np.minimum(reviewed / max(int(place.sum()), 1), 1) * int((wrong & place).sum()) / total
    return {
        "reviewed": reviewed.tolist(),
        "found": found.tolist(),
        "random": chance.tolist(),
        "gain": float(found[-1] / chance[-1]) if chance[-1] > 0 else None,
    }
