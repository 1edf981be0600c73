"""What the intensities of an image say about two classes: log-odds by a logistic regression on its label.

Features are the intensities, raw and smoothed at two scales, and their squares. The regression has too few weights to
learn the errors of a label by heart, which a network does in time. What it contradicts most is left out and it is
fitted anew, as in trimmed estimators, so that errors that were learned from do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize, special

from ..geometry.distance import scaled_mm, signed_distance

SCALES = (0.0, 1.0, 2.0)
"""Standard deviations of the smoothing, in voxels of the finest axis. This and the following are chosen by hand."""
NEAR_MM = 15.0
"""Of the outline between the classes, within which voxels are learned from."""
MOST, FEWEST = 3000, 20
"""Voxels of either class that are learned from; with fewer nothing is said."""
FITS = 3
"""How often it is fitted."""
TRIMMED, LARGEST_TRIMMED = -1.0, 0.2
"""Log-odds of its own class below which a voxel is left out, and the largest share of a class that is."""
PENALTY = 1e-3
"""Of the squared weights."""

_Arrays = Iterator[np.ndarray]


@dataclass(frozen=True)
class IntensityModel:
    """Log-odds of one class against another; made by `fit_intensities`."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray

    def log_odds(self, image: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        """(*grid) float32 of an image (C, *grid), the same or a part of it; spacing: mm along the array's axes."""
        found = np.full(image.shape[1:], self.weights[-1], np.float32)
        features = _features(image, spacing, self.low, self.high)
        for feature, mean, deviation, weight in zip(
            features, self.mean, self.deviation, self.weights[:-1], strict=True
        ):
            found += weight * (feature - mean) / deviation
        return found


def fit_intensities(
    image: np.ndarray, label: np.ndarray, sure: np.ndarray, value: int, other: int, spacing: Sequence[float]
) -> IntensityModel | None:
    """From the voxels of the classes `value` and `other` that are `sure`; None where these are too few.

    image: (C, *grid); label: (*grid) classes; sure: (*grid) bool; spacing: mm along the array's axes. The same voxels
    every time.
    """
    mine = label == value
    if not mine.any() or mine.all():
        return None
    near = sure & (np.abs(signed_distance(mine, spacing)) < scaled_mm(NEAR_MM, spacing))
    chosen = [_some(np.flatnonzero(near & (label == one))) for one in (value, other)]
    if min(len(voxels) for voxels in chosen) < FEWEST:
        return None
    low, high = np.percentile(image.reshape(len(image), -1)[:, ::7], [0.5, 99.5], axis=1)
    sides: list[list[np.ndarray]] = [[], []]
    mean, deviation = [], []
    for feature in _features(image, spacing, low, high):
        mean.append(feature.mean())
        deviation.append(feature.std() + 1e-6)
        for side, voxels in zip(sides, chosen, strict=True):
            side.append((feature.ravel()[voxels] - mean[-1]) / deviation[-1])
    drawn = [np.stack([*side, np.ones_like(side[0])]).astype(float) for side in sides]
    weights = _trimmed_fit(drawn)
    return IntensityModel(low, high, np.array(mean), np.array(deviation), weights.astype(np.float32))


def _some(voxels: np.ndarray) -> np.ndarray:
    return voxels if len(voxels) <= MOST else np.random.default_rng(0).choice(voxels, MOST, replace=False)


def _features(image: np.ndarray, spacing: Sequence[float], low: np.ndarray, high: np.ndarray) -> _Arrays:
    """(*grid) arrays, one at a time."""
    for channel, least, most in zip(image, low, high, strict=True):
        scaled = (np.clip(channel, least, most) - least) / max(float(most - least), 1e-6) - np.float32(0.5)
        for scale in SCALES:
            sigma = [scale * min(spacing) / step for step in spacing]
            smooth = ndimage.gaussian_filter(scaled, sigma, mode="nearest") if scale else scaled
            yield smooth
            yield smooth * smooth


def _trimmed_fit(drawn: list[np.ndarray]) -> np.ndarray:
    """drawn: of either class (features and 1, voxels)."""
    kept, signs = drawn, (1.0, -1.0)
    weights = np.zeros(len(drawn[0]))
    for _ in range(FITS):
        weights = _fit(kept, weights)
        kept = []
        for side, sign in zip(drawn, signs, strict=True):
            margin = sign * (weights @ side)
            kept.append(side[:, margin > min(TRIMMED, float(np.quantile(margin, LARGEST_TRIMMED)))])
    return weights


def _fit(sides: list[np.ndarray], start: np.ndarray) -> np.ndarray:
    x, counts = np.concatenate(sides, axis=1), [side.shape[1] for side in sides]
    y = np.repeat([1.0, -1.0], counts)
    share = np.repeat([0.5 / count for count in counts], counts)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = y * (weights @ x)
        towards = np.append(weights[:-1], 0.0)  # not the constant
        value = (share * np.logaddexp(0.0, -margin)).sum() + PENALTY * (towards**2).sum()
        return float(value), x @ (-share * y * special.expit(-margin)) + 2 * PENALTY * towards

    return np.asarray(optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 80}).x)
