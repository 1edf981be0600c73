"""Trusted voxels: a clinician looked at the worst places of all labels and corrected them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from DALESegmentLib.engine.review.boundary import boundary_distance
from DALESegmentLib.engine.review.suspects import compact_pieces, components, equivalent_diameter, piece_size

BAND_MM = 3.0


def foreground_band(label: np.ndarray, spacing: Sequence[float], predicted: np.ndarray | None = None) -> np.ndarray:
    """(*grid) bool: within 3 mm of the label's outline, and whatever was predicted. spacing: mm along i, j(, k)."""
    distance, _ = boundary_distance(label, tuple(reversed(tuple(spacing))), BAND_MM + 1)
    band = np.abs(distance) <= BAND_MM
    return band if predicted is None else band | (predicted > 0)


def trusted_masks(
    labels: Sequence[np.ndarray], truths: Sequence[np.ndarray], spacings: Sequence[Sequence[float]], share: float
) -> list[np.ndarray]:
    """Where a clinician corrects, (*grid) bool a case: errors in compact pieces, the largest first over all cases,
    until `share` of all foreground-band voxels is spent; the piece that goes beyond it is left out, unless it is
    the first.
    """
    masks = [np.zeros(label.shape, bool) for label in labels]
    budget = share * sum(int(foreground_band(t, s).sum()) for t, s in zip(labels, spacings, strict=True))
    if share <= 0:
        return masks
    pieces = []
    for case, (label, truth, spacing) in enumerate(zip(labels, truths, spacings, strict=True)):
        found = _pieces(label != truth, truth, tuple(reversed(tuple(spacing))))
        pieces.extend((len(where[0]), case, where) for where in found)
    pieces.sort(key=lambda piece: (-piece[0], piece[1]))
    spent = 0
    for size, case, where in pieces:
        if spent and spent + size > budget:
            continue
        masks[case][where] = True
        spent += size
        if spent >= budget:
            break
    return masks


def _pieces(wrong: np.ndarray, truth: np.ndarray, sampling: tuple[float, ...]) -> list[tuple[np.ndarray, ...]]:
    size = piece_size(equivalent_diameter(max(int((truth > 0).sum()), 1), sampling), sampling)
    found = []
    for box, part in components(wrong):
        for inner, piece in compact_pieces(part, np.ones(part.shape, np.float32), sampling, size):
            start = np.array([o.start + i.start for o, i in zip(box, inner, strict=True)])
            found.append(tuple((np.argwhere(piece) + start).T))
    return found
