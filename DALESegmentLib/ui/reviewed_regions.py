"""Which voxels of a reviewed case are trusted: changed, confirmed, or trusted before."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ..engine.core.errors import EngineError
from ..engine.io.case import Case


def trustedVoxels(opened: Case, now: Case, regionMap: np.ndarray, confirmed: Collection[int]) -> np.ndarray:
    """Voxels changed since the region list was opened, those of confirmed regions, and those trusted before.

    opened: the case as it was when the list was made; now: as it is; regionMap (k, j, i): region IDs;
    confirmed: IDs of regions whose label was found right. Returns (k, j, i) bool.
    Raises EngineError "review-outdated" where the image or the segments are not the reviewed ones.
    """
    from ..engine.review.reviewed_voxels import trusted_from_edit  # brings scipy

    if now.label is None or opened.class_names != now.class_names or opened.geometry.difference(now.geometry):
        raise EngineError(
            "review-outdated",
            "The image or the segments are not those that were reviewed; list the doubtful regions again.",
        )
    trusted = trusted_from_edit(opened.label, now.label, regionMap, confirmed, now.geometry.array_spacing)
    return trusted if opened.trusted is None else trusted | np.asarray(opened.trusted, bool)
