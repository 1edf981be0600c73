"""Pictures of regions for who has no viewer: the slice that shows most of a region, left with
the outlines of label and suggestion, right with the label confidence in colours; orientation letters, a scale and the
bar of colours beside them. Drawn with Pillow."""

from __future__ import annotations

import pickle
import tempfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import IO

import numpy as np
from nibabel.orientations import io_orientation
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from ..dale.issues import Region
from ..geometry.grid import Geometry
from ..io.terminology import CONFIDENCE_RAMP

ROOM, LEAST, MOST = 2.6, 32, 160
"""What is shown: times what the region spans, voxels of the finest axis at least; voxels in the end, by thinning."""
THICK = 1.5
"""Slices so many times thicker than the finest axis are shown as they were taken, others as axial ones."""
PANEL, GAP, BAR = 320, 8, 64
"""Pixels: a panel's longer side, between the panels, for the bar of colours."""
GIVEN, SUGGESTED = (255, 176, 0), (53, 240, 176)
SURE, OPAQUE = 0.9, 0.65
"""Confidence from which nothing is coloured; of the colours."""
LINE = 2
STEPS = [step * 10.0**power for power in range(4, -8, -1) for step in (5, 2, 1)]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
LETTERS = ("RL", "AP", "SI")
"""At the left or upper end, and at the other one, of each axis in the order R, A, S."""


@dataclass(frozen=True)
class RegionView:
    """One slice through a region, as a radiologist looks at it: right of the patient on the left, front or head on top.

    image: uint8 (rows, columns) or (rows, columns, 3); label, suggested: label values; confidence: uint8, 255 is 1.
    step: mm of a row and of a column, pixels in a picture; letters: at the left, the right, the top and the bottom end,
    none in a picture.
    """

    image: np.ndarray
    label: np.ndarray
    suggested: np.ndarray
    confidence: np.ndarray
    step: tuple[float, float]
    letters: tuple[str, ...]

    @property
    def unit(self) -> str:
        return "mm" if self.letters else "pixels"


class RegionViews:
    """Views of regions, kept in a temporary file until those on top of the list are drawn."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - goes with the object
        self._places: dict[tuple[str, int], tuple[int, int]] = {}

    def add(self, region: Region, view: RegionView) -> None:
        data = zlib.compress(pickle.dumps(view), 1)
        self._places[region.case, region.region_id] = (self._file.seek(0, 2), len(data))
        self._file.write(data)

    def of(self, row: Region) -> RegionView | None:
        """Of the piece that a row is named after."""
        place = self._places.get((row.case, row.region_id))
        if place is None:
            return None
        self._file.seek(place[0])
        view: RegionView = pickle.loads(zlib.decompress(self._file.read(place[1])))
        return view


def first_pieces(regions: Collection[Region]) -> list[tuple[Region, set[int]]]:
    """Of each error of a case the piece that is most expected to be wrong, with the IDs of all of its pieces."""
    errors: dict[int, list[Region]] = {}
    for region in regions:
        errors.setdefault(region.error_id or -region.region_id, []).append(region)
    return [
        (max(pieces, key=lambda piece: piece.expected_wrong), {piece.region_id for piece in pieces})
        for pieces in errors.values()
    ]


def look_at(
    region: Region,
    pieces: Collection[int],
    image: np.ndarray,
    label: np.ndarray,
    region_map: np.ndarray,
    confidence: np.ndarray,
    geometry: Geometry,
    *,
    picture: bool = False,
) -> RegionView:
    """The slice that shows most of a region. image: (C, *grid), the first channel is shown, or three as colours;
    label: (*grid) of label values; pieces: the IDs of what is suggested with it, its own included; picture: whether the
    image says nothing of mm and of sides."""
    axes = _shown_axes(geometry)
    window, at = _window(region, region_map, geometry, axes)
    rows, columns = axes[0][0], axes[1][0]
    thin = max(1, -(-max(window[rows].stop - window[rows].start, window[columns].stop - window[columns].start) // MOST))

    def cut(array: np.ndarray, place: tuple[slice | int, ...] = at) -> np.ndarray:
        shown = np.asarray(array)[place]
        if rows > columns:
            shown = np.swapaxes(shown, -1, -2)
        shown = shown[..., :: -1 if axes[0][1] else 1, :: -1 if axes[1][1] else 1]
        return np.ascontiguousarray(shown[..., ::thin, ::thin])

    labels, inside = cut(label), np.isin(cut(region_map), list(pieces))
    colours = len(image) == 3 and picture
    channels = [cut(channel) for channel in (image if colours else image[:1])]
    whole = tuple(slice(None, None, thin) if isinstance(part, slice) else part for part in at)
    low, high = np.percentile(np.asarray(image[0])[whole], (0.5, 99.5)) if not colours else (0.0, 255.0)
    grey = [255 * np.clip((channel - low) / max(high - low, 1e-6), 0, 1) for channel in channels]
    spacing = geometry.array_spacing
    letters = () if picture else tuple(axes[1][2] + axes[0][2])
    return RegionView(
        (np.stack(grey, axis=-1) if colours else grey[0]).astype(np.uint8),
        labels,
        np.where(inside, region.suggested_value, labels),
        np.rint(255 * np.clip(cut(confidence), 0, 1)).astype(np.uint8),
        (spacing[rows] * thin, spacing[columns] * thin),
        letters,
    )


def _shown_axes(geometry: Geometry) -> tuple[tuple[int, bool, str], tuple[int, bool, str]]:
    """Of the picture's rows and columns: which axis of the array, whether it is turned round, and its letters."""
    if geometry.dims == 2:
        return (0, False, ""), (1, False, "")
    turn = io_orientation(geometry.ijk_to_ras()).astype(int)  # of each index axis: which of R, A, S, and its sense
    spacing = geometry.spacing
    thickest = int(np.argmax(spacing))
    axial = int(np.flatnonzero(turn[:, 0] == 2)[0])
    normal = thickest if spacing[thickest] > THICK * min(spacing) else axial
    across, down = sorted((n for n in range(3) if n != normal), key=lambda n: int(turn[n, 0]))
    # first in R, A, S goes across; R and A and S must fall along the picture's axes: L, P and I are at their ends
    columns, rows = ((2 - n, bool(turn[n, 1] > 0), LETTERS[turn[n, 0]]) for n in (across, down))
    return rows, columns


def _window(
    region: Region, region_map: np.ndarray, geometry: Geometry, axes: tuple[tuple[int, bool, str], ...]
) -> tuple[dict[int, slice], tuple[slice | int, ...]]:
    """What is shown: of the rows' and columns' axis of the array, and as an index of the whole array."""
    box = [slice(a, b + 1) for a, b in zip(region.first_voxel[::-1], region.last_voxel[::-1], strict=True)]
    mask = region_map[tuple(box)] == region.region_id
    at: list[slice | int] = list(box)
    rows, columns = axes[0][0], axes[1][0]
    for axis in range(mask.ndim):
        if axis not in (rows, columns):
            others = tuple(n for n in range(mask.ndim) if n != axis)
            chosen = int(mask.sum(axis=others).argmax())
            at[axis] = box[axis].start + chosen
            mask = np.take(mask, [chosen], axis)
    spacing = geometry.array_spacing
    spans = {}
    for axis in (rows, columns):
        used = np.flatnonzero(mask.any(axis=tuple(n for n in range(mask.ndim) if n != axis)))
        spans[axis] = (box[axis].start + int(used[0]), box[axis].start + int(used[-1]) + 1)
    widest = max((b - a) * spacing[axis] for axis, (a, b) in spans.items())
    half = max(ROOM * widest, LEAST * min(spacing)) / 2
    window = {}
    for axis, (a, b) in spans.items():
        reach = half / spacing[axis]
        low = max(0, int(np.floor((a + b) / 2 - reach)))
        window[axis] = slice(low, min(region_map.shape[axis], max(low + 1, int(np.ceil((a + b) / 2 + reach)))))
        at[axis] = window[axis]
    return window, tuple(at)


def draw(view: RegionView) -> Image.Image:
    """Both panels and the bar, side by side."""
    size = _size(view)
    left = _background(view, size)
    suggested, given = _outline(view.suggested, size), _outline(view.label, size)
    for outline, colour in ((suggested, SUGGESTED), (given, GIVEN)):
        left[ndimage.binary_dilation(outline) & ~outline] //= 2  # an edge that keeps it legible on bright images
        left[outline] = colour
    right = _background(view, size).astype(np.float32)
    confidence = _grown(view.confidence, size) / 255.0
    doubtful = confidence < SURE
    right[doubtful] = (1 - OPAQUE) * right[doubtful] + OPAQUE * colours_of(confidence[doubtful])
    right[given] = GIVEN
    width, height = size
    page = Image.new("RGB", (2 * width + GAP + BAR, height), WHITE)
    for number, panel in enumerate((left, right)):
        picture = Image.fromarray(panel.astype(np.uint8))
        _mark(picture, view)
        page.paste(picture, (number * (width + GAP), 0))
    page.paste(_bar(height), (2 * width + GAP, 0))
    return page


def colours_of(confidence: np.ndarray) -> np.ndarray:
    """(..., 3) from 0 to 255."""
    return np.stack([255 * np.interp(confidence, CONFIDENCE_RAMP[:, 0], part) for part in CONFIDENCE_RAMP.T[1:]], -1)


def _size(view: RegionView) -> tuple[int, int]:
    """Width and height of a panel, true to scale."""
    high, wide = (n * step for n, step in zip(view.label.shape, view.step, strict=True))
    scale = PANEL / max(high, wide)
    return max(1, round(wide * scale)), max(1, round(high * scale))


def _background(view: RegionView, size: tuple[int, int]) -> np.ndarray:
    return np.array(Image.fromarray(view.image).resize(size, Image.Resampling.BILINEAR).convert("RGB"))


def _grown(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """By nearest neighbour."""
    rows = np.arange(size[1]) * values.shape[0] // size[1]
    columns = np.arange(size[0]) * values.shape[1] // size[0]
    return values[np.ix_(rows, columns)]


def _outline(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """bool: the inner edge of every class, the image's own edges not among them."""
    drawn = _grown(label, size)
    edge = np.zeros(drawn.shape, bool)
    for shift in range(1, LINE + 1):
        for axis in (0, 1):
            one = np.index_exp[:, shift:] if axis else np.index_exp[shift:]
            other = np.index_exp[:, :-shift] if axis else np.index_exp[:-shift]
            differ = drawn[one] != drawn[other]
            edge[one] |= differ & (drawn[one] > 0)
            edge[other] |= differ & (drawn[other] > 0)
    return edge


def _mark(picture: Image.Image, view: RegionView) -> None:
    """Orientation letters and a scale."""
    pen, font = ImageDraw.Draw(picture), _font(15)
    width, height = picture.size
    places = ((4, height / 2, "lm"), (width - 4, height / 2, "rm"), (width / 2, 4, "mt"), (width / 2, height - 4, "mb"))
    for letter, (x, y, anchor) in zip(view.letters, places, strict=False):
        _write(pen, (x, y), letter, font, anchor)
    shown = view.label.shape[1] * view.step[1]
    least = 1.0 if view.unit == "pixels" else 0.0
    length = next((step for step in STEPS if least <= step <= 0.4 * shown), shown)
    end = 8 + length / shown * width
    pen.rectangle((7, height - 12, end + 1, height - 7), fill=BLACK)
    pen.rectangle((8, height - 11, end, height - 8), fill=WHITE)
    _write(pen, (8, height - 15), f"{length:g} {view.unit}", _font(13), "lb")


def _bar(height: int) -> Image.Image:
    """The colours, from sure at the top to doubtful at the bottom."""
    bar = Image.new("RGB", (BAR, height), WHITE)
    pen = ImageDraw.Draw(bar)
    top, bottom, font = 10, height - 10, _font(12)
    for y in range(top, bottom):
        value = SURE * (bottom - 1 - y) / max(bottom - 1 - top, 1)
        pen.line((8, y, 22, y), fill=tuple(int(part) for part in colours_of(np.array(value))))
    for value in (0.0, 0.3, 0.6, SURE):
        at = bottom - 1 - value / SURE * (bottom - 1 - top)
        pen.line((22, at, 26, at), fill=BLACK)
        pen.text((29, at), f"{value:g}", fill=BLACK, font=font, anchor="lm")
    return bar


def _write(pen: ImageDraw.ImageDraw, at: tuple[float, float], words: str, font: Font, anchor: str) -> None:
    pen.text(at, words, fill=WHITE, font=font, anchor=anchor, stroke_width=1, stroke_fill=BLACK)


def _font(size: int) -> Font:
    return ImageFont.load_default(size)
