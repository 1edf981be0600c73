"""One review list over several cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .region import Region


def rank_regions(cases: Iterable[Iterable[Region]]) -> list[Region]:
    """The regions of several cases in one ranking, by the volume expected to be wrong.

    `rank` counts through the merged list; `region_id` still points into each case's own map.
    """
    regions = [region for case in cases for region in case]
    regions.sort(key=lambda r: (-r.expected_wrong * r.size_mm3 / r.voxels, r.case, r.rank))
    return [replace(region, rank=rank) for rank, region in enumerate(regions, start=1)]
