"""Labels with one to three local errors: an outline that spills over or lacks a bite, an object invented or missed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from DALESegmentLib.engine.geometry.distance import signed_distance
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.geometry.objects import components, object_radius

OneCase = tuple[str, np.ndarray, np.ndarray, Geometry]
"""name, image (C, *grid), truth, geometry."""


def simulated_errors(truth: np.ndarray, spacing: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """(*grid) as `truth`, with one to three local errors."""
    label = truth.copy()
    for kind in rng.choice(("spill", "bite", "extra", "missed"), int(rng.integers(1, 4)), p=(0.4, 0.4, 0.1, 0.1)):
        values = np.unique(truth[truth > 0])
        if not len(values):
            break
        value = int(rng.choice(values))
        drawn = label == value
        radius = object_radius(truth == value, spacing)
        if kind == "missed" and len(list(components(drawn))) > 1:
            objects = list(components(drawn))
            box, part = objects[int(rng.integers(len(objects)))]
            label[box][part] = 0
            continue
        at = _surface_point(truth == value, rng) if kind != "extra" else _free_point(truth, spacing, radius, rng)
        size = radius * float(rng.uniform(0.4, 0.8))
        ball = ball_mask(truth.shape, at, spacing, size)
        if kind in ("spill", "extra"):
            label[ball & (label == 0)] = value
        elif (drawn & ~ball).sum() > 0.3 * drawn.sum():
            label[ball & drawn] = 0
    return label


def _surface_point(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    edge = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    return edge[int(rng.integers(len(edge)))]


def _free_point(truth: np.ndarray, spacing: Sequence[float], radius: float, rng: np.random.Generator) -> np.ndarray:
    far = np.argwhere(signed_distance(truth > 0, spacing) > 1.5 * radius)
    return far[int(rng.integers(len(far)))] if len(far) else _surface_point(truth > 0, rng)


def ball_mask(shape: Sequence[int], at: np.ndarray, spacing: Sequence[float], radius: float) -> np.ndarray:
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum(((a - c) * s) ** 2 for a, c, s in zip(axes, at, spacing, strict=True)) <= radius**2


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(int(a.sum() + b.sum()), 1))
