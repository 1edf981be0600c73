"""Spatially correlated and biased label noise after Yao et al. (ICLR 2023, arXiv 2308.02498), Definition 1.

A label is a Markov chain of T steps. In each, with the probability θ1 the object expands, else it shrinks: every voxel
on the far side of its outline (a face neighbour) changes sides with the probability θ2. θ1 is a preference, so that all
labels of a set are too large or too small, each along an outline of its own roughness.

    S_E: θ1 = 0.8, expansion        S_R: θ1 = 0.2, shrinkage        θ2 = 0.05
    S_DE: the whole label dilated or eroded, as often, by about the same amount in every case

θ1 and θ2 are the authors' published settings for JSRT and ISIC 2017 (where a figure calls shrinkage S_S); S_DE, theirs
of 7 to 9 pixels, is here 7/8 to 9/8 of the level. Otherwise:

- T follows from the object: so many steps that a flat outline, which moves by θ2 voxels a step, would move by a share
  of the radius; one that has become rough moves faster. With the same T for all, small objects would vanish.
- The chain runs on voxels that are nearly cubes: thick ones are cut along their thick axes, and are inside where most
  of their parts are. So outlines move as many mm along every axis, and labels of pictures and volumes mean the same.
- θ3 = 0, as in their volumes: their flips of single voxels all over a picture are smoothed away again.
- Classes move together, and none vanishes: the chain ends before the step in which one would.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from DALESegmentLib.engine.geometry.distance import bounding_box, margin_voxels
from DALESegmentLib.engine.geometry.objects import components, equivalent_diameter
from DALESegmentLib.engine.metrics.simulated_annotators import simulate_annotator

PREFERENCE = {"se": 0.8, "sr": 0.2}
"""θ1 by noise kind."""
FLIPPED = 0.05
"""θ2."""
AMOUNTS = (7 / 8, 9 / 8)
"""Of S_DE, times the level."""


def spatial_label(
    label: np.ndarray, spacing: Sequence[float], kind: str, level: float, rng: np.random.Generator
) -> np.ndarray:
    """(*grid), same type. kind: "se", "sr" or "sde"; see `markov_chain`."""
    if kind in PREFERENCE:
        return markov_chain(label, spacing, level, PREFERENCE[kind], rng)
    annotator = str(rng.choice(["erode", "dilate"]))
    return simulate_annotator(label, spacing, annotator, level * rng.uniform(*AMOUNTS), rng, relative=True)


def markov_chain(
    label: np.ndarray, spacing: Sequence[float], level: float, preference: float, rng: np.random.Generator
) -> np.ndarray:
    """The label after its chain; (*grid), same type.

    Args:
        label: (*grid) class values.
        spacing: mm along the array's axes.
        level: how far a flat outline would move, as a share of the radius that the largest object would have as
            a ball.
        preference: θ1, the probability to expand; not a half.
        rng: the only source of chance.
    """
    if not (label > 0).any():
        return label.copy()
    size = level * _radius(label, spacing)
    steps = round(size / (min(spacing) * FLIPPED * abs(2 * preference - 1)))
    box = bounding_box(label > 0, margin_voxels(4 * size + 2 * max(spacing), spacing))
    assert box is not None
    inside = label[box] > 0
    nearest = ndimage.distance_transform_edt(~inside, spacing, return_distances=False, return_indices=True)
    classes, there = label[box][tuple(nearest)], np.unique(label[box][inside])
    parts = [max(round(step / min(spacing)), 1) for step in spacing]
    fine = inside
    for axis, part in enumerate(parts):
        fine = np.repeat(fine, part, axis)
    for _ in range(steps):
        fine = _step(fine, bool(rng.random() < preference), rng)
        after = _majority(fine, parts)
        if not np.isin(there, classes[after]).all():
            break
        inside = after
    out = label.copy()
    out[box] = np.where(inside, classes, 0)
    return out


def _step(inside: np.ndarray, expand: bool, rng: np.random.Generator) -> np.ndarray:
    """inside: (*grid) bool."""
    moving, still = (inside, ~inside) if expand else (~inside, inside)
    reached = ndimage.binary_dilation(moving) & still
    return inside ^ (reached & (rng.random(inside.shape) < FLIPPED))


def _majority(inside: np.ndarray, parts: Sequence[int]) -> np.ndarray:
    """Each so many voxels along the axes as one: whether more than half of them are inside."""
    shape = [size for n, part in zip(inside.shape, parts, strict=True) for size in (n // part, part)]
    return inside.reshape(shape).mean(tuple(range(1, len(shape), 2))) > 0.5


def _radius(label: np.ndarray, spacing: Sequence[float]) -> float:
    """mm, of the largest object as a ball."""
    largest = max(int(part.sum()) for c in np.unique(label[label > 0]) for _, part in components(label == c))
    return equivalent_diameter(largest, spacing) / 2
