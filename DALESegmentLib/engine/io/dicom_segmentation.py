"""DICOM segmentations (SEG): binary, fractional and as label maps, each frame where its position says.

A file keeps the frames alone that hold something, in any order; DICOM PS3.3, A.51 and C.8.20.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.notes import note, quiet
from ..geometry.grid import Geometry
from ..geometry.slice_stack import SliceStack
from .checks import unreadable
from .class_names import nameless
from .dicom_frames import Frame, frames_of, header_of
from .dicom_kind import SEGMENTATION, kind_of, read_header, sop_class
from .dicom_pixels import read_pixels
from .other_grid import onto_other_grid, tell_other_frame
from .segments import GREY, Segment, Segmentation, from_masks

_CLOSE = 0.02
"""Of the distance of slices: positions are rounded in headers."""
_SHIFTED = 0.1
"""Of a voxel's edge: slices that are further aside from each other were taken with a tilted gantry."""


@dataclass(frozen=True)
class Plane:
    """One frame: its depth along the normal (mm), by how many voxels along i and j it is shifted against the first
    slice, the number of its segment (None: its pixels are numbers of segments), and its pixels (rows, columns)."""

    depth: float
    offset: tuple[float, float]
    segment: int | None
    pixels: np.ndarray = field(repr=False)


@dataclass
class DicomSegmentation(Segmentation):
    """A segmentation whose slices may have gaps, or be shifted against each other. planes: its frames. numbers: of the
    segments, in their order. grid: of the first slice, one slice deep. stated: mm between slices as the file says, 0
    where it does not. series: UIDs of the series that it refers to."""

    planes: list[Plane] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    grid: Geometry | None = None
    stated: float = 0.0
    series: frozenset[str] = frozenset()

    def layers_on(self, geometry: Geometry, name: str = "", grid_name: str = "") -> np.ndarray | None:
        """With the distance of the other grid's slices where it was drawn on them: a file with few frames does not say
        its own. On other voxels by nearest neighbour, which is noted.

        Raises EngineError("segments-outside", "dicom-spacing" or "geometry-mismatch").
        """
        if geometry.dims != 3:
            return super().layers_on(geometry, name, grid_name)
        assert self.grid is not None
        own, axes = (np.array(grid.direction).reshape(3, 3) for grid in (self.grid, geometry))
        distance = geometry.spacing[int(np.abs(own[:, 2] @ axes).argmax())]
        depths = [plane.depth for plane in self.planes]
        fits = _fits(depths, distance) and not self._has_other_slices(distance, geometry.series)
        if fits:
            self.stack(distance)
        if not _fits(depths, self._slices.geometry.spacing[2]):
            raise EngineError(
                "dicom-spacing",
                f"The frames of {name} are unevenly spaced and do not lie on the slices of {grid_name}; choose the "
                "image that they were drawn on.",
            )
        if self._slices.geometry is self.geometry:  # which are not shifted
            layers = super().layers_on(geometry, name, grid_name)
            if layers is not None:
                tell_other_frame(self.geometry, geometry, name, grid_name)
                return layers
        pixels = self.grid.spacing[:2], geometry.spacing[:2]
        alike = np.allclose(own, axes, atol=1e-3) and np.allclose(*pixels, rtol=1e-3)
        if not (fits and alike):  # not drawn on slices of this image
            self.stack(self._own_distance(distance))
        return onto_other_grid(self.segments, self._frames, self._slices, geometry, name, grid_name)

    def _own_distance(self, default: float) -> float:
        """mm between its slices: as stated, or as the nearest frames have it; default: of a single slice."""
        gaps = self._gaps()
        if self.stated and _fits([plane.depth for plane in self.planes], self.stated):
            return self.stated
        return float(gaps.min()) if len(gaps) else default

    def _gaps(self) -> np.ndarray:
        """mm between frames that do not lie in one slice."""
        return _gaps_of([plane.depth for plane in self.planes], self.geometry.spacing)

    def _has_other_slices(self, distance: float, series: str) -> bool:
        """Whether it was drawn on a series with thicker slices, of which each lies on one of the image's."""
        gaps = self._gaps()
        apart = bool(len(gaps)) and bool(self.stated) and abs(gaps.min() - self.stated) <= _CLOSE * self.stated
        return apart and self.stated > (1 + _CLOSE) * distance and series not in self.series

    def stack(self, distance: float) -> None:
        """Put the frames into layers, `distance` mm apart; those that are shifted against each other are
        straightened."""
        assert self.grid is not None
        first = min(plane.depth for plane in self.planes)
        places = [round((plane.depth - first) / distance) for plane in self.planes]
        size, spacing = (*self.grid.size[:2], max(places) + 1), (*self.grid.spacing[:2], distance)
        grid = replace(self.grid, size=size, spacing=spacing)
        known = dict(zip(places, (plane.offset for plane in self.planes), strict=True))
        drawn = sorted(known)
        offsets = [np.interp(range(size[2]), drawn, [known[k][axis] for k in drawn]) for axis in range(2)]
        self._slices = SliceStack(grid, np.stack(offsets, axis=1))
        self._frames = from_masks(self._masks(places, size), self.segments, grid).layers
        self.geometry, self.layers = grid, self._frames
        if np.linalg.norm(self._slices.shifts, axis=1).max() > _SHIFTED * min(grid.spacing[:2]):
            self.geometry = self._slices.straight_grid()
            self.layers = self._slices.straightened(self._frames, 0, nearest=True)

    def _masks(self, places: list[int], size: tuple[int, ...]) -> Iterator[np.ndarray]:
        """(k, j, i) of each segment, in their order."""
        for number in self.numbers:
            mask = np.zeros(size[::-1], bool)
            for k, plane in zip(places, self.planes, strict=True):
                if plane.segment is None or plane.segment == number:
                    mask[k] |= plane.pixels == number if plane.segment is None else plane.pixels > 0
            yield mask


@quiet()
def read_dicom_segmentation(path: Path) -> DicomSegmentation:
    """The segments by their labels and numbers. Fractions count from a half on.

    Raises EngineError("unreadable-file", "dicom-spacing", "not-a-label" or what `read_pixels` raises).
    """
    header = header_of(path)
    if kind_of(sop_class(header)) != SEGMENTATION:
        raise EngineError("not-a-label", f"{path.name} is no DICOM segmentation; choose the mask instead.")
    whole = read_header(path, force=True)
    frames = frames_of(path, header)
    try:
        owners = _owners(whole, len(frames))
        fractions = whole.get("SegmentationType") == "FRACTIONAL"
        most = float(whole.get("MaximumFractionalValue") or (1 << int(whole.BitsAllocated)) - 1) if fractions else 0.0
        described = _described(whole)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise unreadable(path, "its header makes no sense") from error
    pixels = read_pixels(path, frames, indices=True)[:, 0]
    if most:
        note(f"{path.name} holds fractions; what is at least half inside counts.")
        pixels = pixels >= most / 2
    if whole.get("SegmentationType") != "LABELMAP" and None in owners:
        owners = _owners_unsaid(path, owners, described, pixels)
    return _stacked(path, whole, frames, owners, pixels, described)


def _stacked(
    path: Path,
    whole: Any,
    frames: list[Frame],
    owners: list[int | None],
    pixels: np.ndarray,
    described: Mapping[int, Segment],
) -> DicomSegmentation:
    first = frames[0]
    if any(frame.position is None or frame.orientation is None for frame in frames):
        raise EngineError("dicom-spacing", f"The frames of {path.name} do not say where they lie; export it again.")
    if not all(np.allclose(frame.orientation, first.orientation, atol=1e-3) for frame in frames):  # type: ignore[arg-type]
        raise EngineError("dicom-spacing", f"The frames of {path.name} do not face the same way; export it again.")
    if not all(np.allclose(frame.spacing, first.spacing, rtol=1e-3) for frame in frames):
        raise EngineError("dicom-spacing", f"The frames of {path.name} have pixels of several sizes; export it again.")
    positions = np.array([frame.position for frame in frames])
    depths = positions @ first.normal
    origin = positions[int(depths.argmin())]
    assert first.orientation is not None
    axes = np.stack([first.orientation[:3], first.orientation[3:], first.normal], axis=1)
    distance = _own_distance(depths, first.thickness, first.spacing)
    geometry = Geometry(
        (*first.size, 1),
        (*first.spacing, distance),
        tuple(float(x) for x in origin),
        tuple(float(x) for x in axes.ravel()),
        frame_of_reference=str(whole.get("FrameOfReferenceUID") or ""),
    )
    seen = {owner for owner in owners if owner is not None}
    if not seen or None in owners:
        seen |= {int(value) for value in np.unique(pixels) if value}
    known = {number: described.get(number) or _nameless(number) for number in sorted(seen | set(described))}
    offsets = SliceStack.of(geometry, positions).offsets
    planes = [
        Plane(float(depth), (float(i), float(j)), owner, plane)
        for depth, (i, j), owner, plane in zip(depths, offsets, owners, pixels, strict=True)
    ]
    empty = np.zeros((1, 1, *reversed(first.size)), np.uint8)
    series = frozenset(str(item.get("SeriesInstanceUID", "")) for item in whole.get("ReferencedSeriesSequence") or ())
    found = DicomSegmentation(
        list(known.values()), empty, geometry, {}, planes, list(known), geometry, _stated(first), series
    )
    found.stack(distance)
    return found


def _stated(frame: Frame) -> float:
    """mm between slices as the header says; 0 where it does not."""
    groups = [group.PixelMeasuresSequence[0] for group in frame.groups if group.get("PixelMeasuresSequence")]
    return next((float(t) for data in (*groups, frame.file) if (t := data.get("SpacingBetweenSlices"))), 0.0)


def _own_distance(depths: np.ndarray, stated: float, pixels: tuple[float, float]) -> float:
    gaps = _gaps_of(depths, pixels)
    if stated and _fits(depths, stated):
        return stated
    return float(gaps.min()) if len(gaps) else stated or 1.0


def _gaps_of(depths: Sequence[float] | np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    gaps = np.diff(np.unique(depths))
    return np.asarray(gaps[gaps > _CLOSE * min(spacing)])


def _fits(depths: Any, distance: float) -> bool:
    """Whether all slices lie a whole number of distances apart."""
    steps = (np.asarray(depths) - np.min(depths)) / distance
    return bool(np.abs(steps - np.rint(steps)).max() <= _CLOSE)


def _owners(header: Any, count: int) -> list[int | None]:
    """For each frame the number of its segment; None where its pixels are the numbers."""
    if header.get("SegmentationType") == "LABELMAP":
        return [None] * count
    shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0]
    groups = (header.get("PerFrameFunctionalGroupsSequence") or [None] * count)[:count]
    owners: list[int | None] = []
    for group in groups:
        named = [
            g.SegmentIdentificationSequence[0] for g in (group, shared) if g and "SegmentIdentificationSequence" in g
        ]
        owners.append(int(named[0].ReferencedSegmentNumber) if named else None)
    return owners


def _owners_unsaid(
    path: Path, owners: list[int | None], described: Mapping[int, Segment], pixels: np.ndarray
) -> list[int | None]:
    """Of frames that do not say whose they are: the only segment's. Numbers in a file that lists no segments are
    those of segments. Raises EngineError("unreadable-file")."""
    if len(described) <= 1 and len(np.unique(pixels)) <= 2:
        only = next(iter(described), 1)
        return [only if owner is None else owner for owner in owners]
    if described:
        raise unreadable(path, "its frames do not say which segment they belong to")
    return owners


def _described(header: Any) -> dict[int, Segment]:
    """{number: segment} in their order, each with a name of its own."""
    found: dict[int, Segment] = {}
    for item in header.get("SegmentSequence") or ():
        number = int(item.SegmentNumber)
        if number == 0 and header.get("SegmentationType") == "LABELMAP":  # the background
            continue
        name = str(item.get("SegmentLabel") or _meaning(item, "SegmentedPropertyTypeCodeSequence") or nameless(number))
        taken = {segment.name for segment in found.values()}
        unique = name if name not in taken else f"{name} {number}"
        found[number] = Segment(f"Segment_{number}", unique, _colour(item), _tags(item))
    return dict(sorted(found.items()))


def _nameless(number: int) -> Segment:
    return Segment(f"Segment_{number}", nameless(number))


def _meaning(item: Any, keyword: str) -> str:
    codes = item.get(keyword)
    return str(codes[0].get("CodeMeaning", "")) if codes else ""


def _tags(item: Any) -> dict[str, str]:
    """The terminology as Slicer writes it: category, type and modifier."""
    parts = []
    for keyword in ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"):
        codes = item.get(keyword)
        code = codes[0] if codes else {}
        parts.append("^".join(str(code.get(key, "")) for key in ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")))
    if not any(part.strip("^") for part in parts):
        return {}
    category, kind = parts
    entry = (
        f"Segmentation category and type - DICOM master list~{category}~{kind}~^^~Anatomic codes - DICOM master list"
    )
    return {"TerminologyEntry": f"{entry}~^^~^^"}


def _colour(item: Any) -> tuple[float, float, float]:
    """Of CIE L*a*b* in 16 bits, as DICOM has it."""
    values = item.get("RecommendedDisplayCIELabValue")
    if values is None or len(values) != 3:
        return GREY
    from skimage.color import lab2rgb

    lab = np.array([values[0] / 65535 * 100, values[1] / 257 - 128, values[2] / 257 - 128])
    red, green, blue = np.clip(lab2rgb(lab), 0, 1)
    return float(red), float(green), float(blue)
