"""DICOM segmentations (SEG): binary, fractional and as label maps, each frame where its position says.

A file keeps the frames alone that hold something, in any order; DICOM PS3.3, A.51 and C.8.20.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.notes import note, quiet
from ..geometry.grid import Geometry, onto_grid
from .checks import unreadable
from .class_names import nameless
from .dicom_frames import Frame, frames_of, header_of
from .dicom_kind import SEGMENTATION, kind_of, read_header, sop_class
from .dicom_pixels import read_pixels
from .segments import GREY, Segment, Segmentation, from_masks

_CLOSE = 0.02
"""Of the distance of slices: positions are rounded in headers."""


@dataclass
class DicomSegmentation(Segmentation):
    """A segmentation whose slices may have gaps. planes: for each frame its depth along the normal (mm), the number of
    its segment (None: its pixels are numbers of segments), and its pixels (rows, columns). numbers: of the segments, in
    their order."""

    planes: list[tuple[float, int | None, np.ndarray]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def layers_on(self, geometry: Geometry, name: str = "", grid_name: str = "") -> np.ndarray | None:
        """With the distance of the other grid's slices: a file with few frames does not say its own."""
        if geometry.dims == 3:
            normal = np.array(self.geometry.direction).reshape(3, 3)[:, 2]
            axes = np.array(geometry.direction).reshape(3, 3)
            distance = geometry.spacing[int(np.abs(normal @ axes).argmax())]
            if _fits([depth for depth, _, _ in self.planes], distance):
                self.stack(distance)
        return onto_grid(self.layers, self.geometry, geometry)

    def stack(self, distance: float) -> None:
        """Put the frames into layers, `distance` mm apart."""
        first = min(depth for depth, _, _ in self.planes)
        places = [round((depth - first) / distance) for depth, _, _ in self.planes]
        grid = self.geometry
        size = (*grid.size[:2], max(places) + 1)
        self.geometry = Geometry(size, (*grid.spacing[:2], distance), grid.origin, grid.direction)
        self.layers = from_masks(self._masks(places), self.segments, self.geometry).layers

    def _masks(self, places: list[int]) -> Iterator[np.ndarray]:
        """(k, j, i) of each segment, in their order."""
        for number in self.numbers:
            mask = np.zeros(self.geometry.array_shape, bool)
            for k, (_, segment, pixels) in zip(places, self.planes, strict=True):
                if segment is None or segment == number:
                    mask[k] |= pixels == number if segment is None else pixels > 0
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
    return _stacked(path, frames, owners, pixels, described)


def _stacked(
    path: Path, frames: list[Frame], owners: list[int | None], pixels: np.ndarray, described: Mapping[int, Segment]
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
    aside = positions - origin - np.outer(depths - depths.min(), first.normal)
    if np.linalg.norm(aside, axis=1).max() > 0.1 * min(first.spacing):
        raise EngineError(
            "dicom-tilted",
            f"The frames of {path.name} are shifted against each other (tilted gantry); "
            "resample image and segmentation to straight slices first.",
        )
    assert first.orientation is not None
    axes = np.stack([first.orientation[:3], first.orientation[3:], first.normal], axis=1)
    distance = _own_distance(depths, first.thickness)
    geometry = Geometry(
        (*first.size, 1),
        (*first.spacing, distance),
        tuple(float(x) for x in origin),
        tuple(float(x) for x in axes.ravel()),
    )
    seen = {owner for owner in owners if owner is not None}
    if not seen or None in owners:
        seen |= {int(value) for value in np.unique(pixels) if value}
    known = {number: described.get(number) or _nameless(number) for number in sorted(seen | set(described))}
    planes = list(zip(map(float, depths), owners, pixels, strict=True))
    empty = np.zeros((1, 1, *reversed(first.size)), np.uint8)
    found = DicomSegmentation(list(known.values()), empty, geometry, {}, planes, list(known))
    found.stack(distance)
    return found


def _own_distance(depths: np.ndarray, stated: float) -> float:
    gaps = np.diff(np.unique(np.round(depths, 4)))
    if stated and _fits(depths, stated):
        return stated
    return float(gaps.min()) if len(gaps) else stated or 1.0


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
