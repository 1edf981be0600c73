"""Slicer's segmentations (.seg.nrrd): named, coloured segments that may overlap.

The file holds layers on one grid. A segment is one label value in one layer; segments that overlap lie in
different layers. What the header says beside that stands in key-value pairs `Segment<N>_...` and
`Segmentation_...`, as Slicer's segmentation storage writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import EngineError
from ..core.files import replacing
from ..geometry.grid import Geometry, onto_grid
from .case import SEGMENTATION, extension_of
from .checks import check_label, unreadable
from .images import as_label, placed, save_itk, storable
from .itk_files import channels_of, geometry_of, load_itk

GREY = (0.5, 0.5, 0.5)


@dataclass
class Segment:
    """One segment: where it lies in the layers, and what it is called. colour: red, green, blue in [0, 1]."""

    id: str
    name: str
    colour: tuple[float, float, float] = GREY
    tags: dict[str, str] = field(default_factory=dict)
    layer: int = 0
    label_value: int = 1


@dataclass
class Segmentation:
    """Segments in the order of Slicer's list. layers: (L, k, j, i) whole numbers on `geometry`.

    attributes: the file's other `Segmentation_...` entries (without that prefix), kept as they are.
    """

    segments: list[Segment]
    layers: np.ndarray
    geometry: Geometry
    attributes: dict[str, str] = field(default_factory=dict)

    def mask(self, segment: Segment) -> np.ndarray:
        """(k, j, i) bool on the segmentation's own grid."""
        return self.layers[segment.layer] == segment.label_value


def from_masks(masks: Sequence[np.ndarray], segments: Sequence[Segment], geometry: Geometry) -> Segmentation:
    """Put (k, j, i) masks into as few layers as their overlaps allow; sets the segments' layer and value."""
    layers: list[np.ndarray] = []
    used: list[int] = []  # highest value in each layer, be its segment empty or not
    for mask, segment in zip(masks, segments, strict=True):
        inside = np.asarray(mask, bool)
        free = (n for n, layer in enumerate(layers) if used[n] < 255 and not layer[inside].any())
        segment.layer = next(free, len(layers))
        if segment.layer == len(layers):
            layers.append(np.zeros(geometry.array_shape, np.uint8))
            used.append(0)
        used[segment.layer] += 1
        segment.label_value = used[segment.layer]
        layers[segment.layer][inside] = segment.label_value
    stacked = np.stack(layers) if layers else np.zeros((1, *geometry.array_shape), np.uint8)
    return Segmentation(list(segments), stacked, geometry)


def read_segmentation(path: Path | str) -> Segmentation:
    """A `.seg.nrrd` file. Raises EngineError as `read_image` does, and ("segmentation-header")."""
    path = Path(path)
    image = load_itk(path)
    if image.GetDimension() != 3:
        raise unreadable(path, "a segmentation is 3D")
    entries = _header_entries(image, path)
    layers = channels_of(image)
    check_label(layers, path.name)
    segments = _segments(entries, path, len(layers))
    prefix = "Segmentation_"
    attributes = {key.removeprefix(prefix): text for key, text in entries.items() if key.startswith(prefix)}
    return Segmentation(segments, layers, geometry_of(image), attributes)


def _header_entries(image: sitk.Image, path: Path) -> dict[str, str]:
    """The `Segment...` entries. Programs that do not write UTF-8 mostly write Latin-1, where every byte is a letter.
    Raises EngineError("unreadable-file")."""
    entries = {}
    for key in image.GetMetaDataKeys():
        if key.startswith("Segment"):
            if key.encode("utf-8", "replace").decode() != key:  # SimpleITK names what is no text, and cannot look it up
                raise unreadable(path, "its header is damaged")
            text = image.GetMetaData(key).encode("utf-8", "surrogateescape")
            entries[key] = _decoded(text)
    return entries


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def segment_values(paths: Iterable[Path], known: Mapping[int, str] | None = None) -> dict[int, str]:
    """{value: name} that gives a segment's name one value in all these files, in whatever order each lists them.

    known: values given already; names it lacks get the next free ones. Files of other kinds are passed over.
    """
    names = dict(known or {})
    for path in paths:
        if extension_of(path) == SEGMENTATION:
            for segment in read_segmentation(path).segments:
                if segment.name not in names.values():
                    names[max(names, default=0) + 1] = segment.name
    return names


def write_segmentation(path: Path | str, segmentation: Segmentation) -> None:
    """Write a `.seg.nrrd` that Slicer opens as a segmentation, compressed and atomically.

    Raises EngineError("unknown-format" or "cannot-write").
    """
    path = Path(path)
    if not path.name.lower().endswith(SEGMENTATION):
        raise EngineError("unknown-format", f"{path.name} must end in {SEGMENTATION}.")
    layers = storable(as_label(segmentation.layers))
    image = (
        sitk.GetImageFromArray(layers[0])
        if len(layers) == 1
        else sitk.GetImageFromArray(np.moveaxis(layers, 0, -1), isVector=True)
    )
    placed(image, segmentation.geometry)
    for key, text in _entries(segmentation).items():
        image.SetMetaData(key, text)
    with replacing(path) as temporary:
        save_itk(image, temporary, path.name)


def to_label_map(
    segmentation: Segmentation,
    geometry: Geometry,
    values: Mapping[str, int] | None = None,
    name: str = "The segmentation",
    image_name: str = "the image",
) -> tuple[np.ndarray, dict[int, str], int]:
    """One label map on the image's grid: (label (k, j, i) as `as_label` has it, class names, voxels in several
    segments).

    Where segments overlap, the later one wins. Values are 1, 2, ... in the order of the segments, or
    `values[name]`. Raises EngineError("geometry-mismatch") where a resampling would be needed, and
    ("unknown-segment") for a name that `values` lacks, unless that segment is empty.
    """
    layers = onto_grid(segmentation.layers, segmentation.geometry, geometry)
    if layers is None:
        raise EngineError(
            "geometry-mismatch",
            f"{name} and {image_name} do not lie on the same voxels; in Slicer, make {image_name} the source "
            "geometry of the segmentation and save it again.",
        )
    label = np.zeros(geometry.array_shape, np.int32)
    covered = np.zeros(geometry.array_shape, np.int16)
    class_names: dict[int, str] = {}
    for number, segment in enumerate(segmentation.segments, 1):
        inside = layers[segment.layer] == segment.label_value
        if values is not None and segment.name not in values:
            if not inside.any():
                continue
            raise EngineError(
                "unknown-segment",
                f"{name} has the segment {segment.name}, which is none of the classes {', '.join(values)}; "
                "rename or remove it.",
            )
        value = number if values is None else values[segment.name]
        label[inside] = value
        covered += inside
        class_names[value] = segment.name
    return as_label(label), class_names, int(np.count_nonzero(covered > 1))


def _segments(entries: Mapping[str, str], path: Path, layers: int) -> list[Segment]:
    numbers = sorted({int(m[1]) for key in entries if (m := re.match(r"Segment(\d+)_", key))})
    if not numbers:
        raise EngineError(
            "segmentation-header", f"{path.name} lists no segments; save it from Slicer as a segmentation."
        )
    return [_segment(entries, number, path, layers) for number in numbers]


def _segment(entries: Mapping[str, str], number: int, path: Path, layers: int) -> Segment:
    def entry(key: str, default: str) -> str:
        return entries.get(f"Segment{number}_{key}", default)

    try:
        colour = tuple(float(part) for part in entry("Color", "0.5 0.5 0.5").split())
        segment = Segment(
            id=entry("ID", f"Segment_{number + 1}"),
            name=entry("Name", f"Segment_{number + 1}"),
            colour=(colour[0], colour[1], colour[2]),
            tags=_tags(entry("Tags", "")),
            layer=int(entry("Layer", "0")),
            label_value=int(entry("LabelValue", str(number + 1))),
        )
        if not 0 <= segment.layer < layers:
            raise ValueError
    except (ValueError, IndexError) as error:
        raise EngineError(
            "segmentation-header",
            f"The list of segments in {path.name} is damaged; save it from Slicer again.",
        ) from error
    return segment


def _tags(text: str) -> dict[str, str]:
    """`key:value|key:value|`; a piece without a colon belongs to the value before it."""
    tags: dict[str, str] = {}
    last = ""
    for piece in text.removesuffix("|").split("|"):
        key, colon, value = piece.partition(":")
        if colon:
            last = key.strip()
            tags[last] = value
        elif last:
            tags[last] += "|" + piece
    return tags


def _entries(segmentation: Segmentation) -> dict[str, str]:
    entries = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    entries |= {f"Segmentation_{key}": text for key, text in segmentation.attributes.items()}
    for number, segment in enumerate(segmentation.segments):
        values = {
            "ID": segment.id,
            "Name": segment.name,
            "Color": " ".join(f"{part:.6g}" for part in segment.colour),
            "Extent": _extent(segmentation.mask(segment)),
            "Layer": str(segment.layer),
            "LabelValue": str(segment.label_value),
            "Tags": "".join(f"{key}:{value}|" for key, value in segment.tags.items()),
        }
        entries |= {f"Segment{number}_{key}": " ".join(text.split()) for key, text in values.items()}
    return entries


def _extent(mask: np.ndarray) -> str:
    """First and last index along i, j, k; Slicer's empty extent where there is no voxel."""
    if not mask.any():
        return "0 -1 0 -1 0 -1"
    spans = []
    for axis in (2, 1, 0):
        used = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        spans += [used[0], used[-1]]
    return " ".join(str(n) for n in spans)
