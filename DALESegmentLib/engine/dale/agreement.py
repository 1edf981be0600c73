"""How much it says that label and network agree about a voxel: little beside an outline, much far from any.

Labels err where outlines were drawn, and at objects that somebody overlooked or made up. Before the network is asked
how sure it is, a label that it shares is therefore right with the odds

    logit π = SURENESS · min(d / r, 1),

d being mm to the outline of what is given the same class and not contradicted by the network, and r the radius of the
case's objects in mm. A label that is contradicted has even odds (π = ½), so π has no step anywhere. So has every voxel
of a case where nothing is labelled: what was overlooked there may lie anywhere. π enters the label confidence as its
prior, see `confidence`. A heuristic: where the network shares an error of some size, it makes the confidence too high.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..cancel import checkpoint
from ..geometry.distance import bounding_box, margin_voxels, signed_distance
from ..geometry.objects import object_radius

SURENESS = 4.0


def agreement_logit(
    label: np.ndarray,
    contradicted: np.ndarray,
    spacing: Sequence[float],
    radius: float | None = None,
) -> np.ndarray:
    """logit π, (*grid) float32.

    label: (*grid) classes; contradicted: (*grid) bool; spacing: mm along the array's axes; radius: mm, of the image's
    objects where the grid is only a part of it, 0 where it has none. The edge of the grid is no outline.
    """
    objects = label > 0
    if radius is None:
        radius = object_radius(objects, spacing)
    if not radius:
        return np.zeros(label.shape, np.float32)
    odds = np.where(contradicted, np.float32(0.0), np.float32(SURENESS))
    box = bounding_box(objects | contradicted, margin_voxels(radius, spacing))
    if box is None:  # of a part
        return odds
    for value in np.flatnonzero(np.bincount(label[box].ravel())):
        checkpoint()
        shared = (label[box] == value) & ~contradicted[box]
        inside = bounding_box(shared, 1)
        if inside is None or shared.all():
            continue
        shared = shared[inside]
        sure = -signed_distance(shared, spacing)
        sure *= SURENESS / radius
        np.copyto(odds[box][inside], np.minimum(sure, SURENESS, out=sure), where=shared)
    return odds
