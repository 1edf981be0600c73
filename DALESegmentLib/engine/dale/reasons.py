"""Why a region is listed: what the label is there, how sure the model is of what, whether it learned from this very
label, and which of the two classes the intensities resemble, by a threshold between the medians of the surroundings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..core.errors import checkpoint
from ..geometry.distance import Box, scaled_mm
from ..geometry.grid import Unit
from ..geometry.objects import longest_diameter
from .issues import Region

SURROUNDINGS_MM = 10.0
"""Around a region, within which its intensities are compared with those of the two classes."""
SURROUNDINGS_VOXELS = 20
"""Of each class there, without which nothing is said."""
TOLD_APART = 0.75
"""Share of both classes' voxels on their side of the threshold, without which nothing is said."""
LIKE_SHARE = 0.6
"""Of a region's voxels on one side, without which it lies between the two."""


def given_value(region: Region) -> int:
    """What its voxels are labelled as."""
    return 0 if region.suspicion in ("missing", "too small") else region.label_value


def explained(
    regions: Iterable[Region],
    region_map: np.ndarray,
    label: np.ndarray,
    probabilities: np.ndarray,
    image: np.ndarray,
    spacing: Sequence[float],
    names: Mapping[int, str],
    trained_on: bool | None = None,
    class_values: Sequence[int] | None = None,
) -> list[Region]:
    """The regions with what `reason` says of them.

    region_map, label: (*grid), the model's classes; probabilities: (K, *grid); image: (C, *grid), the mean of whose
    channels counts; spacing: mm along the array's axes; names: of the classes by label value; trained_on: whether the
    model learned from this label; class_values: the label value of each class.
    """
    values = list(range(len(probabilities)) if class_values is None else class_values)
    found = []
    for region in regions:
        checkpoint()
        box = box_around([region.first_voxel], [region.last_voxel])
        mask = region_map[box] == region.region_id
        suggested = values.index(region.suggested_value)
        found.append(
            replace(
                region,
                suggested_name=_name(region.suggested_value, names),
                model_probability=float(probabilities[suggested][box][mask].mean()),
                trained_on=trained_on,
                intensity_value=_resembles(region, region_map, label, image, spacing, values),
                extent_mm=longest_diameter(mask, spacing),
            )
        )
    return found


def reason(region: Region, tr: Callable[[str], str] = str) -> str:
    """ "Label: lesion. Model, not trained on this case: background (96 %). Intensities: like background. 0.8 ml, 9 mm."
    Empty where nothing is known. tr: translates the parts."""
    if region.model_probability is None:
        return ""
    nothing = tr("background")
    given = region.class_name if given_value(region) else nothing
    model = tr("Model")
    if region.trained_on is not None:
        model = tr("Model, trained on this label too") if region.trained_on else tr("Model, not trained on this case")
    suggested = region.suggested_name if region.suggested_value else nothing
    likes = {region.label_value: region.class_name, region.suggested_value: suggested, 0: nothing}
    like = None if region.intensity_value is None else likes.get(region.intensity_value)
    intensities = tr("do not tell them apart") if like is None else tr("like {name}").format(name=like)
    extent = "" if region.extent_mm is None else f", {length_words(region.extent_mm, region.unit)}"
    return (
        f"{tr('Label')}: {given}. {model}: {suggested} ({100 * region.model_probability:.0f} %). "
        f"{tr('Intensities')}: {intensities}. {size_words(region)}{extent}."
    )


def size_words(region: Region) -> str:
    """ "0.83 ml", "4.2 mm³", "1.2e-07 mm³", or "13,441 pixels" where there is no spacing."""
    if region.unit == "pixel":
        return f"{region.voxels:,} {'pixel' if region.voxels == 1 else 'pixels'}"
    if region.size_mm3 < 10:
        return f"{region.size_mm3:.2g} mm³"
    ml = region.size_mm3 / 1000
    return f"{ml:.2g} ml" if ml < 100 else f"{ml:,.0f} ml"


def length_words(length: float, unit: Unit) -> str:
    """ "12 mm", "0.0042 mm", "86 px"."""
    number = f"{length:,.0f}" if length >= 1 else f"{length:.2g}"
    return f"{number} {'mm' if unit == 'mm' else 'px'}"


def _resembles(
    region: Region,
    region_map: np.ndarray,
    label: np.ndarray,
    image: np.ndarray,
    spacing: Sequence[float],
    values: Sequence[int],
) -> int | None:
    """The label value whose undisputed voxels around it are as bright as most of it; None where these are too few or
    alike, or it lies between them."""
    margin = [int(np.ceil(scaled_mm(SURROUNDINGS_MM, spacing) / step)) for step in spacing]
    box = box_around([region.first_voxel], [region.last_voxel], margin)
    brightness = np.asarray(image[np.index_exp[:] + box].mean(axis=0, dtype=np.float32))
    near, around = region_map[box], label[box]
    pair = (given_value(region), region.suggested_value)
    sides = []
    for value in pair:
        side = brightness[(near == 0) & (around == values.index(value))]
        if len(side) < SURROUNDINGS_VOXELS:  # an object far from all others of its class
            side = np.mean(image[:, (region_map == 0) & (label == values.index(value))], axis=0)
        sides.append(side)
    if min(len(side) for side in sides) < SURROUNDINGS_VOXELS:
        return None
    medians = [float(np.median(side)) for side in sides]
    middle, rising = sum(medians) / 2, medians[1] > medians[0]

    def like_second(side: np.ndarray) -> float:
        return float(((side > middle) == rising).mean())

    if like_second(sides[1]) + 1 - like_second(sides[0]) < 2 * TOLD_APART:
        return None
    share = like_second(brightness[near == region.region_id])
    if max(share, 1 - share) < LIKE_SHARE:
        return None
    return pair[int(share > 0.5)]


def _name(value: int, names: Mapping[int, str]) -> str:
    return names.get(value, f"Class {value}") if value else ""


def box_around(first: Sequence[Sequence[int]], last: Sequence[Sequence[int]], margin: Sequence[int] | int = 0) -> Box:
    """Of an array, whose axes are (k, j, i), around corners (i, j, k); margin: voxels along the array's axes."""
    low, high = np.min(first, axis=0)[::-1] - margin, np.max(last, axis=0)[::-1] + margin
    return tuple(slice(max(int(a), 0), int(b) + 1) for a, b in zip(low, high, strict=True))
