"""What review says about the confidence: of the labels held at 0.4, how many were right when somebody looked?

At eleven knots c_j = 0, 0.1 .. 1, the share of right voxels, read from what was looked at and leaning on the
confidence itself as if it had been right once more at every knot:

    r_j = ( c_j + Σ_i v_i h_j(c_i) right_i ) / ( 1 + Σ_i v_i h_j(c_i) ),     recalibrated(c) = Σ_j r_j h_j(c)

h_j is the hat function of linear interpolation; v_i makes each place looked at count once, however large it is: its
voxels are right or wrong together. r is made monotone (isotonic regression), so that no two voxels change their order.
With no looks nothing changes. A heuristic in so far as people look at doubtful places, not at random ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

KNOTS = np.linspace(0.0, 1.0, 11)
_PRIOR = 1.0


@dataclass(frozen=True)
class Recalibration:
    """looks, right: how much was looked at around each knot, in places, and how much of that was right."""

    looks: tuple[float, ...] = (0.0,) * len(KNOTS)
    right: tuple[float, ...] = (0.0,) * len(KNOTS)

    def __post_init__(self) -> None:
        counts = np.array([self.looks, self.right], float)
        if counts.shape != (2, len(KNOTS)) or not np.isfinite(counts).all() or (counts < 0).any():
            raise ValueError("a recalibration needs two counts, not negative, for each of its knots")

    def looked(self, confidence: np.ndarray, right: np.ndarray, place: np.ndarray) -> Recalibration:
        """With more that was looked at: confidence in [0, 1], right bool, place whole numbers; (n,) each."""
        if not len(confidence):
            return self
        _, index, sizes = np.unique(place, return_inverse=True, return_counts=True)
        share = 1.0 / sizes[index]
        left = np.clip((confidence * 10).astype(int), 0, len(KNOTS) - 2)
        upper = np.clip(confidence * 10 - left, 0.0, 1.0)
        looks, correct = np.array(self.looks), np.array(self.right)
        for knot, height in ((left, 1 - upper), (left + 1, upper)):
            np.add.at(looks, knot, share * height)
            np.add.at(correct, knot, share * height * right)
        return Recalibration(tuple(looks.tolist()), tuple(correct.tolist()))

    def apply(self, confidence: np.ndarray) -> np.ndarray:
        """float32 of the same shape; what was not looked at stays as it is."""
        if not any(self.looks):
            return confidence
        weight = np.array(self.looks) + _PRIOR
        share = (np.array(self.right) + _PRIOR * KNOTS) / weight
        rising = isotonic_regression(share, weights=weight).x
        return np.interp(confidence, KNOTS, rising).astype(np.float32)
