"""Simulated annotators: the same lesion as someone else might have drawn it. Sizes in mm, seeded.

A contour is moved by moving the level of its signed distance: an offset draws everything larger, an offset
that changes smoothly from place to place makes it wander.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from ..core.errors import EngineError
from ..geometry.distance import bounding_box, margin_voxels, signed_distance
from ..geometry.objects import components, equivalent_diameter

Field = np.ndarray
Deformation = Callable[[Field], Field]

KINDS = ("erode", "dilate", "shift", "walk", "miss", "biased", "hurried")


def simulate_annotator(
    label: np.ndarray,
    spacing: Sequence[float],
    kind: str,
    amount: float,
    rng: np.random.Generator,
    relative: bool = False,
) -> np.ndarray:
    """The label as another annotator might have drawn it; (*grid), same type.

    label: (*grid) class values; spacing: mm along the array's axes; amount: mm, or with `relative` a share of the
    radius that the largest object would have as a ball; rng: the only source of chance.

    - erode, dilate: the contour lies `amount` too far in or out.
    - shift: everything lies `amount` away, in one random direction.
    - walk: the contour wanders smoothly in and out; `amount` is the standard deviation.
    - miss: each object is overlooked with the probability `amount` (never relative).
    - biased: the same error every time: `amount` too far out (negative: in), and leaning by half of it along i.
    - hurried: contours on every other slice and interpolated, corners cut, a contour that wanders with
      standard deviation `amount`, and one slip of three times that.

    All classes move together; one class grows only into background, never over another. No class vanishes
    except with "miss". Raises EngineError("bad-simulation") for an unknown kind or an amount that makes no
    sense.
    """
    check_kind(kind, amount)
    if not (label > 0).any():
        return label.copy()
    spacing = tuple(spacing)
    if kind == "miss":
        return _overlooked(label, amount, rng)
    radius = _radius(label, spacing)
    size = amount * radius if relative else amount
    box = bounding_box(label > 0, margin_voxels(4 * abs(size) + 2 * max(spacing), spacing))
    assert box is not None
    out = label.copy()
    out[box] = _redrawn(label[box], spacing, _deformation(kind, size, radius, label[box] > 0, spacing, rng))
    return out


def check_kind(kind: str, amount: float) -> None:
    """Raises EngineError("bad-simulation")."""
    if kind not in KINDS:
        raise EngineError("bad-simulation", f"There is no simulated annotator “{kind}”; choose {', '.join(KINDS)}.")
    if kind == "miss" and not 0 <= amount <= 1:
        raise EngineError("bad-simulation", "The chance to overlook an object lies between 0 and 1; change amount.")
    if not np.isfinite(amount) or (amount < 0 and kind != "biased"):
        raise EngineError("bad-simulation", f"The amount for “{kind}” must be a positive number of mm; change it.")


def _radius(label: np.ndarray, spacing: tuple[float, ...]) -> float:
    """Radius in mm of the largest object as a ball."""
    parts = (int(part.sum()) for value in _classes(label) for _, part in components(label == value))
    return equivalent_diameter(max(parts), spacing) / 2


def _overlooked(label: np.ndarray, chance: float, rng: np.random.Generator) -> np.ndarray:
    out = label.copy()
    for value in _classes(label):
        for box, part in components(label == value):
            if rng.random() < chance:
                out[box][part] = 0
    return out


def _deformation(
    kind: str,
    size: float,
    radius: float,
    mask: np.ndarray,
    spacing: tuple[float, ...],
    rng: np.random.Generator,
) -> Deformation:
    """How this annotator changes a signed distance (mm, negative inside). Chance is drawn here, once."""
    if kind == "erode":
        return lambda distance: distance + size
    if kind == "dilate":
        return lambda distance: distance - size
    if kind == "shift":
        direction = rng.standard_normal(mask.ndim)
        step = size * direction / np.linalg.norm(direction)
        return lambda distance: _moved(distance, step, spacing)
    if kind == "biased":
        lean = np.zeros(mask.ndim)
        lean[-1] = size / 2
        return lambda distance: _moved(distance, lean, spacing) - size
    wander = size * _smooth_noise(mask.shape, max(radius / 2, 2 * min(spacing)), spacing, rng)
    if kind == "walk":
        return lambda distance: distance - wander
    slip = _slip(mask, 3 * size, spacing, rng)
    return lambda distance: _coarse(distance, size, spacing) - wander - slip


def _redrawn(label: np.ndarray, spacing: tuple[float, ...], deform: Deformation) -> np.ndarray:
    """Every class under the same deformation. What it leaves out becomes background only outside the whole lesion
    under that deformation, so that no gap opens between classes that touch."""
    classes = _classes(label)
    drawn = {value: deform(_depth(label == value, spacing)) < 0 for value in classes}
    lesion = drawn[classes[0]] if len(classes) == 1 else deform(_depth(label > 0, spacing)) < 0
    left_out = np.zeros(label.shape, bool)
    for value in classes:
        left_out |= (label == value) & ~drawn[value]
    out = np.where(left_out, 0, label)
    for value in classes:
        out[(out == 0) & drawn[value]] = value
    kept = (out == 0) & lesion
    out[kept] = label[kept]
    for value in classes:
        if not (out == value).any():
            depth = _depth(label == value, spacing)
            out[depth <= depth.min() / 2] = value
    return out


def _depth(mask: np.ndarray, spacing: tuple[float, ...]) -> Field:
    """Signed distance; where an outline is out of sight, the length of the grid."""
    far = float(np.linalg.norm(np.array(mask.shape) * spacing))
    return np.clip(signed_distance(mask, spacing), -far, far).astype(float)


def _moved(distance: Field, step_mm: np.ndarray, spacing: tuple[float, ...]) -> Field:
    return ndimage.shift(distance, step_mm / np.array(spacing), order=1, mode="nearest")


def _smooth_noise(
    shape: tuple[int, ...], length_mm: float, spacing: tuple[float, ...], rng: np.random.Generator
) -> Field:
    """Gaussian noise of standard deviation 1, correlated over `length_mm`."""
    sigma = np.array([length_mm / step for step in spacing])
    pad = np.ceil(3 * sigma).astype(int)
    noise = ndimage.gaussian_filter(rng.standard_normal(shape + 2 * pad), sigma, mode="wrap")
    noise /= noise.std()
    return noise[tuple(slice(p, p + n) for p, n in zip(pad, shape, strict=True))]


def _slip(mask: np.ndarray, height_mm: float, spacing: tuple[float, ...], rng: np.random.Generator) -> Field:
    """One bump, outward or inward, at a random place of the outline, about as wide as it is high."""
    outline = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    if not len(outline):
        return np.zeros(mask.shape)
    place = outline[rng.integers(len(outline))]
    axes = np.ogrid[tuple(slice(n) for n in mask.shape)]
    square = sum(((axis - p) * step) ** 2 for axis, p, step in zip(axes, place, spacing, strict=True))
    width = max(height_mm, min(spacing))
    return rng.choice([-1.0, 1.0]) * height_mm * np.exp(-square / (2 * width**2))


def _coarse(distance: Field, size_mm: float, spacing: tuple[float, ...]) -> Field:
    """Corners cut within the slices, and in 3D every other slice interpolated from its neighbours."""
    across = int(np.argmax(spacing)) if distance.ndim == 3 else None
    sigma = [0.0 if axis == across else size_mm / step for axis, step in enumerate(spacing)]
    smooth = ndimage.gaussian_filter(distance, sigma, mode="nearest")
    if across is not None:
        slices = np.moveaxis(smooth, across, 0)
        between = slices[1:-1:2]
        between[:] = (slices[0:-2:2] + slices[2::2]) / 2
    return smooth


def _classes(label: np.ndarray) -> list[int]:
    return [int(value) for value in np.unique(label[label > 0])]
