"""The plan of a training in sentences, each with why it is so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .plan import CaseFingerprint, Plan

AXES = ("R", "A", "S")


def plan_sentences(
    plan: Plan, facts: Sequence[CaseFingerprint], device: str, *, network: str | None = None, dims: int | None = None
) -> list[str]:
    """facts: what the plan was made from; device: "cpu", "cuda" or "mps"; network, dims: as they were asked for."""
    return [
        *_data(plan, facts),
        *_network(plan, facts, device, network, dims),
        *_grid(plan, facts),
        *_intensities(plan),
    ]


def _data(plan: Plan, facts: Sequence[CaseFingerprint]) -> Iterator[str]:
    size = np.median([f.size for f in facts], axis=0).astype(int)[: 2 if plan.planar else 3]
    kind = "pictures" if plan.planar else "volumes"
    of = "in the median" if len(facts) > 1 else "in all"
    channels = "" if plan.channels == 1 else f" and {plan.channels} channels"
    unit = "pixels" if plan.planar else "voxels"
    case = "1 case" if len(facts) == 1 else f"{len(facts)} cases"
    yield f"Data: {case}, {kind} of {_times(size)} {unit} {of}{channels}."
    names = ", ".join(f"{name} ({value})" for value, name in plan.class_names.items())
    empty = sum(not f.labelled for f in facts)
    nothing = f"; {empty} without anything labelled" if empty else ""
    yield f"Classes: {names}, as found in the labels{nothing}."


def _network(
    plan: Plan, facts: Sequence[CaseFingerprint], device: str, network: str | None, dims: int | None
) -> Iterator[str]:
    yield f"Network: {plan.network} in {plan.dims}D, {_why_dims(plan, facts, device, dims)}" + (
        "; another one with --network." if network is None else "."
    )


def _why_dims(plan: Plan, facts: Sequence[CaseFingerprint], device: str, asked: int | None) -> str:
    if asked is not None:
        return "as asked for"
    if plan.planar:
        return "since these are pictures"
    size, spacing = (np.median([getattr(f, n) for f in facts], axis=0) for n in ("size", "spacing"))
    if (size < 1.5).any():
        return "since the volumes have one slice"
    thicker = f"slices are {spacing.max() / spacing.min():.2g} times as thick as pixels are wide"
    if plan.dims == 2:
        return f"slice by slice: {thicker}, and without a GPU 2D learns more in the same time"
    return "since " + (f"{thicker} and there is a GPU" if spacing.max() >= 3 * spacing.min() else thicker)


def _grid(plan: Plan, facts: Sequence[CaseFingerprint]) -> Iterator[str]:
    patch, whole = plan.network_patch, [np.median([f.size[a] for f in facts]) for a in _network_axes(plan)]
    covers = "the whole image" if all(p >= n for p, n in zip(patch, whole, strict=True)) else "what memory has room for"
    yield f"Patches: {_times(patch)}, {covers}; {plan.batch_size} a step."
    if plan.spacing is not None:
        yield f"Spacing: resampled to {_times(plan.spacing)} mm ({', '.join(AXES)}), the median of the cases."
    else:
        yield f"Spacing: {'pixels' if plan.planar else 'voxels'} stay as they are, as always in 2D."


def _network_axes(plan: Plan) -> list[int]:
    return [axis for axis in range(3) if plan.dims == 3 or axis != plan.slice_axis]


def _intensities(plan: Plan) -> Iterator[str]:
    if plan.normalise == "ct" and plan.ct_window is not None:
        low, high = plan.ct_window
        yield f"Intensities: {low:g} to {high:g} scaled to -1 to 1, for values below -500 say that this is CT."
    elif plan.normalise == "slice":
        yield "Intensities: each slice scaled to mean 0 and deviation 1, as asked for."
    else:
        yield "Intensities: each image scaled to mean 0 and deviation 1, since their unit differs between scanners."


def _times(values: Sequence[Any] | np.ndarray) -> str:
    return " × ".join(f"{v:.4g}" for v in values)
