"""Labels and probabilities of any model, checked in one place: what does not fit together is said in a sentence.

All functions raise ValueError. `labels` are (*grid), 2D or 3D; `probs` are (K, *grid).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

TOLERANCE = 0.01
"""By how much a voxel's probabilities may miss 1 in sum: float16 rounds each of a hundred classes."""


@dataclass(frozen=True)
class CheckedArrays:
    """labels: (*grid) int16 or int32; probs: (K, *grid) float32; reviewed: (*grid) bool or None; spacing: mm."""

    labels: np.ndarray
    probs: np.ndarray
    reviewed: np.ndarray | None
    spacing: tuple[float, ...]


def checked_arrays(
    labels: Any, probs: Any, *, spacing: Sequence[float] | None = None, reviewed: Any = None
) -> CheckedArrays:
    """What `label_quality` and `find_label_issues` work on. Arrays or tensors; nothing is copied that need not be.
    spacing: None for edges of 1 mm."""
    given, p = as_array(labels), as_array(probs)
    if given.ndim not in (2, 3) or not given.size:
        raise ValueError(f"labels have the shape {given.shape}; give those of one image, in 2D or 3D.")
    if p.shape[1:] != given.shape:
        raise ValueError(
            f"labels have the shape {given.shape}, but probs {p.shape}; give probs the classes as their first axis and "
            "then the axes of labels."
        )
    if len(p) < 2:
        raise ValueError("probs hold one class; add the background's, as in numpy.stack([1 - p, p]).")
    p = _checked_probabilities(p)
    return CheckedArrays(
        _checked_classes(given, len(p)),
        p,
        None if reviewed is None else on_grid("reviewed", reviewed, given.shape).astype(bool),
        checked_spacing(spacing, given.ndim),
    )


def checked_spacing(spacing: Sequence[float] | None, dims: int) -> tuple[float, ...]:
    """mm along the axes, 1 mm each where it is None."""
    try:
        steps = tuple(float(step) for step in ((1.0,) * dims if spacing is None else spacing))
    except (TypeError, ValueError):
        steps = ()
    if len(steps) != dims or not all(0 < step < np.inf for step in steps):
        raise ValueError(
            f"spacing is {steps or spacing!r}; give {dims} numbers above 0, the mm along the axes of labels."
        )
    return steps


def checked_number(name: str, value: Any, *, least: float = 0.0, above: bool = False, whole: bool = False) -> None:
    """above: whether it must be greater than `least`, not only equal."""
    held = isinstance(value, Integral if whole else Real) and (float(value) > least if above else float(value) >= least)
    if not held:
        kind, bound = "a whole number" if whole else "a number", "above" if above else "not below"
        raise ValueError(f"{name} is {value!r}; give {kind} {bound} {least:g}.")


def on_grid(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """As an array, which must have the shape of the labels."""
    array = as_array(values)
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, but labels have {shape}; give it for the same voxels.")
    return array


def checked_share(name: str, values: Any, shape: tuple[int, ...], *, gaps: bool = False) -> np.ndarray:
    """(*grid) float32 in [0, 1]. gaps: whether NaN may stand for what is not known."""
    array = np.asarray(on_grid(name, values, shape), np.float32)
    inside = (array >= 0) & (array <= 1)
    if gaps:
        inside |= np.isnan(array)
    if not inside.all():
        raise ValueError(f"{name} holds {array[~inside][0]}; its values must lie between 0 and 1.")
    return array


def checked_disagreement(disagreement: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """Values, float32, and whether they were ever seen, bool; (*grid) each."""
    if disagreement is None:
        return None
    if hasattr(disagreement, "disagreement_of"):
        raise ValueError("disagreement is a whole LabelState; give what its disagreement_of(labels) returns.")
    if hasattr(disagreement, "seen"):
        values = checked_share("disagreement", disagreement.values, shape)
        return values, on_grid("disagreement.seen", disagreement.seen, shape).astype(bool)
    values = checked_share("disagreement", disagreement, shape, gaps=True)
    seen = ~np.isnan(values)
    return np.where(seen, values, np.float32(0.5)), seen


def as_array(values: Any) -> np.ndarray:
    """Of arrays, tensors on any device and lists, one that torch takes; copied only where it would not."""
    if hasattr(values, "detach"):  # a tensor, on whatever device
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    array = np.asarray(values)
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    if min(array.strides, default=0) < 0 or not array.flags.writeable:
        return array.copy()
    return array


def _checked_classes(labels: np.ndarray, classes: int) -> np.ndarray:
    if labels.dtype.kind not in "biuf" or (
        labels.dtype.kind == "f" and not ((np.rint(labels) == labels) & np.isfinite(labels)).all()
    ):
        raise ValueError("labels hold values that are no whole numbers; give the number of each voxel's class.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"labels hold the class {low if low < 0 else high}, but probs have {classes} classes, 0 to {classes - 1}; "
            "number the labels' classes as probs have them along their first axis."
        )
    return labels.astype(np.int16 if classes <= 2**15 else np.int32, copy=False)


def _checked_probabilities(probs: np.ndarray) -> np.ndarray:
    if probs.dtype.kind != "f":
        raise ValueError(f"probs are of the type {probs.dtype}; give the softmax output, float16 to float64.")
    p = probs.astype(np.float32, copy=False)
    lowest, total = float(p.min()), p.sum(axis=0)
    if not np.isfinite(total).all():
        raise ValueError("probs hold values that are NaN or infinite; look at the model's output.")
    low, high = float(total.min()), float(total.max())
    if lowest < -TOLERANCE or low < 1 - TOLERANCE or high > 1 + TOLERANCE:
        raise ValueError(
            f"probs sum to between {low:.4g} and {high:.4g} over their first axis, and the lowest is {lowest:.4g}; if "
            "they are logits, apply softmax over the classes first."
        )
    return p
