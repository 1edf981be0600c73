"""Signs that an image is not of the kind that a model was trained on.

The plan keeps, over the training cases, the ranges of what is compared: modality, spacing, extent, and per channel the
0.5, 50 and 99.5 percentiles of the intensities. A case outside a range by more than a wide margin is told of. The
margins are wide, since a sign is to be believed: other scanners and other patients are usual, another modality is not.
They were chosen on eleven public sets, so that none of the test cases of a set was told of under its training cases.

Intensities that are scaled by fixed limits (CT) are compared as they are. Others are scaled case by case, so that their
unit says nothing: of these the shape is compared, where the zero and the median lie between the lower and the upper
percentile, and the width only for a gross difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..geometry.orientation import canonical_size, canonical_spacing
from ..io.case import Case

PERCENTILES = (0.5, 50.0, 99.5)
MOST_VOXELS = 500_000
"""Of which percentiles are computed; of more, an even part."""
LENGTH_FACTOR = 3.0
"""Beyond the range of the training cases, for spacing and extent."""
WIDTH_FACTOR = 30.0
"""The same for the width of intensities that are scaled case by case: units of MR differ by this between scanners."""
SHAPE_MARGIN = 0.15, 0.25
"""Of the width of the intensities, and of the range of the training cases, for where zero and median lie."""
UNITS_MARGIN = 0.25
"""Of the largest width, for intensities in fixed units."""
FEW = 4.0
"""Few training cases say little of a range's ends: margins are wider by this number over theirs."""
FEWEST = 5
"""Training cases, with fewer of which intensities that are scaled case by case are not compared."""
AIR_HU, NO_AIR_HU = -200.0, -100.0
"""Lower percentiles of images that are in Hounsfield units for certain, and of others."""

Range = tuple[float, float]
Percentiles = tuple[float, float, float]


@dataclass(frozen=True)
class ImageStatistics:
    """spacing, extent: mm (pixels where there is no spacing) along the prepared axes; percentiles: one a channel;
    modality: as DICOM calls it, "" where that is not known; unit: "mm" or "pixel"."""

    spacing: tuple[float, float, float]
    extent: tuple[float, float, float]
    percentiles: tuple[Percentiles, ...]
    modality: str = ""
    unit: str = "mm"

    @staticmethod
    def of(case: Case) -> ImageStatistics:
        spacing, size = canonical_spacing(case.geometry), canonical_size(case.geometry)
        extent = tuple(float(n * s) for n, s in zip(size, spacing, strict=True))
        found = tuple(_percentiles(channel) for channel in case.image)
        return ImageStatistics(spacing, extent, found, case.modality, case.geometry.unit)  # type: ignore[arg-type]


def _percentiles(channel: np.ndarray) -> Percentiles:
    step = -(-channel.size // MOST_VOXELS)
    low, middle, high = np.percentile(np.asarray(channel).reshape(-1)[::step], PERCENTILES)
    return float(low), float(middle), float(high)


class TrainingRange(BaseModel):
    """Over the training cases, as the plan keeps it: lowest and highest of each; of `percentiles` one for each channel
    and percentile."""

    model_config = ConfigDict(extra="forbid")

    modalities: list[str]
    unit: str
    cases: int
    spacing: tuple[Range, Range, Range]
    extent: tuple[Range, Range, Range]
    percentiles: list[tuple[Range, Range, Range]]
    offset: list[Range]
    """Where zero lies below the lower percentile, as a share of the width; one a channel, as are the next two."""
    middle: list[Range]
    """Where the median lies, from 0 at the lower percentile to 1 at the upper one."""
    width: list[Range]


def training_range(cases: Sequence[ImageStatistics]) -> TrainingRange:
    """cases: at least one, all with as many channels."""
    channels = range(len(cases[0].percentiles))
    return TrainingRange(
        modalities=sorted({case.modality for case in cases} - {""}),
        unit=cases[0].unit,
        cases=len(cases),
        spacing=tuple(_range(case.spacing[axis] for case in cases) for axis in range(3)),  # type: ignore[arg-type]
        extent=tuple(_range(case.extent[axis] for case in cases) for axis in range(3)),  # type: ignore[arg-type]
        percentiles=[tuple(_range(case.percentiles[c][p] for case in cases) for p in range(3)) for c in channels],
        offset=[_range(_shape(case.percentiles[c])[0] for case in cases) for c in channels],
        middle=[_range(_shape(case.percentiles[c])[1] for case in cases) for c in channels],
        width=[_range(_shape(case.percentiles[c])[2] for case in cases) for c in channels],
    )


def widened(known: TrainingRange | None, cases: Sequence[ImageStatistics]) -> TrainingRange | None:
    """The ranges with those of more cases that were learned from; None where the first are not known."""
    if known is None or not cases or len(cases[0].percentiles) != len(known.percentiles):
        return known
    more = training_range(cases)
    values = {name: _union(getattr(known, name), getattr(more, name)) for name in ("spacing", "extent", *_BY_CHANNEL)}
    modalities = sorted({*known.modalities, *more.modalities})
    return TrainingRange(modalities=modalities, unit=known.unit, cases=known.cases + more.cases, **values)


_BY_CHANNEL = ("percentiles", "offset", "middle", "width")


def _union(a: Any, b: Any) -> Any:
    """Of two ranges, or of two lists of such."""
    if isinstance(a[0], float):
        return min(a[0], b[0]), max(a[1], b[1])
    return [_union(*pair) for pair in zip(a, b, strict=True)]


def _range(values: Iterable[float]) -> Range:
    numbers = [float(v) for v in values]
    return min(numbers), max(numbers)


def _shape(percentiles: Percentiles) -> tuple[float, float, float]:
    """Offset of zero and place of the median, as shares of the width, and the width."""
    low, middle, high = percentiles
    width = max(high - low, 1e-9 * max(abs(high), abs(low), 1e-30))
    return low / width, (middle - low) / width, width


def data_shift(image: ImageStatistics, known: TrainingRange | None, *, fixed_units: bool) -> list[str]:
    """Signs that the image is of another kind, each as the end of a sentence; empty where there are none, or where an
    earlier version kept no ranges. fixed_units: whether intensities are scaled by fixed limits."""
    if known is None or len(image.percentiles) != len(known.percentiles):
        return []
    compare = _units if fixed_units else _shapes
    found = [_modality(image, known), _spacing(image, known), _extent(image, known)]
    found += [compare(own, known, channel) for channel, own in enumerate(image.percentiles)]
    return list(dict.fromkeys(sign for sign in found if sign))


def _modality(image: ImageStatistics, known: TrainingRange) -> str:
    if not image.modality or not known.modalities or image.modality in known.modalities:
        return ""
    return f"it is {image.modality}, not {' or '.join(known.modalities)}"


def _spacing(image: ImageStatistics, known: TrainingRange) -> str:
    if image.unit != known.unit:
        return "it has a spacing in mm, they had none" if image.unit == "mm" else "it has no spacing, they had one"
    if image.unit == "pixel":
        return ""
    return _beyond("its voxels measure", image.spacing, known.spacing, LENGTH_FACTOR * _wider(known), "mm")


def _extent(image: ImageStatistics, known: TrainingRange) -> str:
    if image.unit != known.unit:
        return ""
    unit = "mm" if image.unit == "mm" else "pixels"
    return _beyond("it spans", image.extent, known.extent, LENGTH_FACTOR * _wider(known), unit)


def _wider(known: TrainingRange) -> float:
    return 1 + FEW / known.cases


def _beyond(words: str, values: Sequence[float], ranges: Sequence[Range], factor: float, unit: str) -> str:
    out = [not low / factor <= value <= high * factor for value, (low, high) in zip(values, ranges, strict=True)]
    if not any(out):
        return ""
    axis = out.index(True)
    low, high = ranges[axis]
    usual = f"{low:.3g}" if np.isclose(low, high, rtol=0.02) else f"{low:.3g} to {high:.3g}"
    return f"{words} {values[axis]:.3g} {unit}, not {usual}"


def _units(own: Percentiles, known: TrainingRange, channel: int) -> str:
    ranges = known.percentiles[channel]
    margin = UNITS_MARGIN * known.width[channel][1] * _wider(known)
    if all(low - margin <= value <= high + margin for value, (low, high) in zip(own, ranges, strict=True)):
        return ""
    return _intensities(own, known, channel)


def _shapes(own: Percentiles, known: TrainingRange, channel: int) -> str:
    lows = known.percentiles[channel][0]
    if (own[0] < AIR_HU and lows[0] > NO_AIR_HU) or (own[0] > NO_AIR_HU and lows[1] < AIR_HU):
        return _intensities(own, known, channel)
    if known.cases < FEWEST:
        return ""
    offset, middle, width = _shape(own)
    narrow, wide = known.width[channel]
    same = _within(offset, known.offset[channel], known) and _within(middle, known.middle[channel], known)
    if same and narrow / WIDTH_FACTOR <= width <= wide * WIDTH_FACTOR:
        return ""
    return _intensities(own, known, channel)


def _within(value: float, usual: Range, known: TrainingRange) -> bool:
    low, high = usual
    fixed, share = SHAPE_MARGIN
    margin = (fixed + share * (high - low)) * _wider(known)
    return low - margin <= value <= high + margin


def _intensities(own: Percentiles, known: TrainingRange, channel: int) -> str:
    ranges = known.percentiles[channel]
    usual = f"{ranges[0][0]:.4g} to {ranges[2][1]:.4g}"
    return f"its intensities lie from {own[0]:.4g} to {own[2]:.4g} with the median {own[1]:.4g}, not from {usual}"
