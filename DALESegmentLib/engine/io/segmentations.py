"""Files with segments: Slicer's (.seg.nrrd), and by their own readers those of DICOM.

Of Slicer's file, what the header says beside that stands in key-value pairs `Segment<N>_...` and
`Segmentation_...`, as Slicer's segmentation storage writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import EngineError
from ..core.files import replacing
from .case import SEGMENTATION, extension_of
from .checks import as_label, check_exists, check_label, unreadable
from .class_names import has_segments, means_not_annotated
from .dicom_kind import RTSTRUCT, kind_of_dicom, segments_in
from .dicom_segmentation import read_dicom_segmentation
from .images import placed, save_itk, storable
from .itk_files import channels_of, geometry_of, load_itk
from .rtstruct import read_rtstruct
from .segments import GREY, Segment, Segmentation, from_masks, to_label_map

__all__ = [
    "GREY",
    "Segment",
    "Segmentation",
    "from_masks",
    "read_segmentation",
    "segment_values",
    "to_label_map",
    "write_segmentation",
]


def read_segmentation(path: Path | str) -> Segmentation:
    """A `.seg.nrrd` file, or another file in which `has_segments` finds some.

    Raises EngineError as `read_image` does, and ("segmentation-header"); of DICOM what `read_dicom_segmentation` and
    `read_rtstruct` raise.
    """
    path = Path(path)
    if path.is_dir() or extension_of(path) in ("", ".dcm"):
        check_exists(path)
        path = segments_in(path) or path
        return read_rtstruct(path) if kind_of_dicom(path) == RTSTRUCT else read_dicom_segmentation(path)
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

    known: values given already; names it lacks get the next free ones. Segments called "ignore" get none. Files of
    other kinds are passed over.
    """
    names = dict(known or {})
    for path in paths:
        if has_segments(path):
            for segment in read_segmentation(path).segments:
                if segment.name not in names.values() and not means_not_annotated(segment.name):
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


def _segments(entries: Mapping[str, str], path: Path, layers: int) -> list[Segment]:
    numbers = sorted({int(m[1]) for key in entries if (m := re.match(r"Segment(\d+)_", key))})
    if not numbers:
        raise EngineError(
            "segmentation-header", f"{path.name} lists no segments; save it from Slicer as a segmentation."
        )
    return [_segment(entries, number, path, layers, len(numbers)) for number in numbers]


def _segment(entries: Mapping[str, str], number: int, path: Path, layers: int, segments: int) -> Segment:
    """Slicer up to 4.10 wrote neither layer nor value: each segment had a layer of its own, with the value 1."""
    own_layer = layers >= segments

    def entry(key: str, default: str) -> str:
        return entries.get(f"Segment{number}_{key}", default)

    try:
        colour = tuple(float(part) for part in entry("Color", "0.5 0.5 0.5").split())
        segment = Segment(
            id=entry("ID", f"Segment_{number + 1}"),
            name=entry("Name", f"Segment_{number + 1}"),
            colour=(colour[0], colour[1], colour[2]),
            tags=_tags(entry("Tags", "")),
            layer=int(entry("Layer", str(number) if own_layer else "0")),
            label_value=int(entry("LabelValue", "1" if own_layer else str(number + 1))),
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
