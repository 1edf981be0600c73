"""Volumes and longest diameters as a label and a model measure them, with their intervals: what the jobs report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from ..cases.case import Case
from ..cases.geometry import Geometry
from ..geometry.objects import longest_diameter
from ..measure.extent_interval import LEVEL, Interval, Scale, of_label, of_prediction
from .plan import Plan

FIGURES = ("size", "diameter")
MM3_IN_ML = 1000.0


@dataclass(frozen=True)
class Measured:
    """size: mm³ (mm² in 2D); diameter: mm."""

    size: float
    diameter: float


Who = Literal["labelled", "predicted"]
Scales = Mapping[str, Scale]
"""By `scale_name`."""


def outlined(mask: np.ndarray, geometry: Geometry) -> Measured:
    """mask: (*grid) bool."""
    size = float(np.count_nonzero(mask)) * geometry.voxel_volume
    return Measured(size, longest_diameter(mask, geometry.array_spacing))


def touching(drawn: np.ndarray, label: np.ndarray, geometry: Geometry) -> Measured:
    """What the model measures of a labelled structure: its own objects that meet the label, corners included. They are
    taken whole: what is cut at the label would say what the label says.

    drawn: (*grid) bool, where the class is the most probable one; label: (*grid) bool.
    """
    objects, count = ndimage.label(drawn, np.ones((3,) * drawn.ndim))
    met = np.zeros(count + 1, bool)
    met[np.unique(objects[label])] = True
    met[0] = False
    return outlined(met[objects], geometry)


def extents_of_label(
    case: Case, probabilities: np.ndarray, plan: Plan, scales: Scales, *, unseen: bool
) -> dict[str, Any]:
    """What `confidence` and `review` report of each class in a case's label, by label value.

    probabilities: (K, *grid); unseen: whether the model did not learn from this label.
    """
    found, most = {}, probabilities.argmax(0)
    label, geometry = np.asarray(case.label), case.geometry
    for index, value in foreground(plan):
        mask = label == value
        if not mask.any():
            continue
        given, share = outlined(mask, geometry), _open_share(mask, case.trusted)
        model = touching(most == index, mask, geometry)
        intervals = {}
        for name in FIGURES:
            scale = scales.get(scale_name(value, "labelled", name))
            intervals[name] = of_label(getattr(given, name), getattr(model, name), scale, unseen, share)
        found[str(value)] = _row(value, intervals, geometry, plan)
    return found


def extents_of_prediction(segmentation: np.ndarray, geometry: Geometry, plan: Plan, scales: Scales) -> dict[str, Any]:
    """What `predict` reports of each class it found, by label value. segmentation: (*grid) values."""
    found = {}
    for _, value in foreground(plan):
        mask = segmentation == value
        if mask.any():
            given = outlined(mask, geometry)
            intervals = {
                name: of_prediction(getattr(given, name), scales.get(scale_name(value, "predicted", name)))
                for name in FIGURES
            }
            found[str(value)] = _row(value, intervals, geometry, plan)
    return found


def foreground(plan: Plan) -> list[tuple[int, int]]:
    return [(index, value) for index, value in enumerate(plan.class_values) if value]


def scale_name(value: int, who: Who, figure: str) -> str:
    return f"{value} {who} {figure}"


def _open_share(mask: np.ndarray, trusted: np.ndarray | None) -> float:
    """Of the voxels at the mask's surface, how many nobody has confirmed."""
    if trusted is None:
        return 1.0
    surface = mask & ~ndimage.binary_erosion(mask, border_value=1)
    return float(1.0 - np.asarray(trusted, bool)[surface].mean()) if surface.any() else 0.0


def _row(value: int, intervals: dict[str, Interval], geometry: Geometry, plan: Plan) -> dict[str, Any]:
    flat = geometry.dims == 2
    size = asdict(intervals["size"])
    if not flat:
        size = {end: None if number is None else number / MM3_IN_ML for end, number in size.items()}
    return {
        "name": plan.class_names.get(value, f"class {value}"),
        "area_mm2" if flat else "volume_ml": size,
        "diameter_mm": asdict(intervals["diameter"]),
        "level": LEVEL,
    }
