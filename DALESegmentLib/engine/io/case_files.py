"""Reads a case from its files: channels stacked, label and reviewed voxels on the image's grid.

Also reads results that commands of this engine wrote for a case, from image files or from array cases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import EngineError
from ..core.notes import noting
from ..geometry.grid import Geometry, onto_grid, same_voxels
from .array_cases import load_array_case, without_ignored
from .case import NIFTI, PICTURES, Case, CaseSource, extension_of
from .checks import (
    check_confidence,
    check_geometry,
    check_image,
    check_label,
    check_same_grid,
    label_values,
    unreadable,
)
from .class_names import has_segments, matching_values, means_not_annotated, nameless, names_for
from .images import as_label, read_image, read_label, read_stored
from .label_encoding import AS_STORED, Decoded, LabelEncoding, one_channel, whole_numbers
from .label_facts import encoding_of
from .modality import read_modality
from .pictures import TURNED
from .segmentations import read_segmentation, to_label_map


def read_case(source: CaseSource, class_names: Mapping[int, str] | None = None) -> Case:
    """Read and check everything the source names.

    class_names: the whole data set's {value: name}; segments of a `.seg.nrrd` and of an array case get the values
    of their names; without it, those of a file 1, 2, ... in their own order, those of arrays what they have. A
    label map stored with other axes or flips is turned onto the image's grid.

    Raises EngineError with the codes of `read_image`, `read_label`, `to_label_map` and `checks`.
    """
    with naming(source.name), noting() as notes:
        try:
            case = _read_case(source, class_names)
        except EngineError as error:
            if (turned := _turned_alone(source, error, notes)) is not None:
                raise turned from error
            raise
    case.notes = (*case.notes, *notes)
    return case


def _turned_alone(source: CaseSource, error: EngineError, notes: Sequence[str]) -> EngineError | None:
    """The error, in its words, of a label that was drawn on a picture before it was turned, or on one that was turned;
    None where it is another one."""
    if error.code != "geometry-mismatch" or not source.images or source.label is None:
        return None
    pair = source.images[0].name, source.label.name
    for name, other in (pair, pair[::-1]):
        said = [sentence for sentence in notes if sentence.startswith(f"{name} {TURNED}")]
        if said:
            return EngineError(
                error.code,
                f"{said[0].removesuffix('.')}, but {other} was not and has another size; turn {other} in the same way, "
                f"or save {name} without an orientation in its header.",
            )
    return None


@contextmanager
def naming(case_name: str) -> Iterator[None]:
    """Say in every error which case it is about: a hundred cases have a file label.nii.gz."""
    try:
        yield
    except EngineError as error:
        if re.search(rf"(?<!\w){re.escape(case_name)}(?!\w)", error.sentence):
            raise
        raise EngineError(error.code, f"{case_name}: {error.sentence}") from error


def _read_case(source: CaseSource, class_names: Mapping[int, str] | None) -> Case:
    if source.arrays is not None:
        return load_array_case(source.arrays, source.name, class_names)
    if not source.images:
        raise EngineError("no-image", f"{source.name} has no image; say which file it is.")
    image, geometry = _read_channels(source.images)
    case = Case(source.name, image, geometry, modality=read_modality(source.images[0]))
    grid_name = source.images[0].name
    found = _label_of(source, geometry, grid_name, class_names)
    if found is not None:
        case.label, case.annotated = found.decoded.label, found.decoded.annotated
        case.class_names, case.notes = found.names, found.notes
    if source.trusted is not None:
        case.trusted = read_label_on(source.trusted, geometry, grid_name, None)[0] > 0
        if case.annotated is not None:
            case.trusted &= case.annotated
    if source.confidence is not None:
        case.confidence = read_map_on(source.confidence, geometry, grid_name)
        check_confidence(case.confidence, source.confidence.name)
    return case


@dataclass(frozen=True)
class LabelOnGrid:
    """A label on the grid of its image, with {value: name} of what is in it, and what a reader should know of it."""

    decoded: Decoded
    names: dict[int, str]
    notes: tuple[str, ...] = ()


def _label_of(
    source: CaseSource, geometry: Geometry, grid_name: str, class_names: Mapping[int, str] | None
) -> LabelOnGrid | None:
    if source.label is not None:
        return _label_on(source.label, geometry, grid_name, class_names, encoding_of(source), source.class_names)
    if source.class_files:
        return _of_class_files(source.class_files, geometry, grid_name, class_names)
    return None


def read_reference(source: CaseSource, case: Case, class_names: Mapping[int, str] | None = None) -> np.ndarray:
    """As `reference_of`, the label alone."""
    return reference_of(source, case, class_names).label


def reference_of(source: CaseSource, case: Case, class_names: Mapping[int, str] | None = None) -> Decoded:
    """The reference label (*grid) on the case's grid; with a threshold 1 where value >= threshold.
    class_names: as in `read_case`; the case's own without it.

    Raises EngineError("no-reference") and what `read_case` raises. A reference may be empty.
    """
    if source.reference is None:
        raise EngineError(
            "no-reference", f"{source.name} has no reference label to compare with; say which file it is."
        )
    with naming(source.name):
        return _read_reference(source, source.reference, case, class_names)


def _read_reference(source: CaseSource, path: Path, case: Case, class_names: Mapping[int, str] | None) -> Decoded:
    if source.reference_threshold is None:
        names = class_names or case.class_names or None
        return _label_on(path, case.geometry, case.name, names, encoding_of(source)).decoded
    votes = read_map_on(path, case.geometry, case.name)
    return Decoded((votes >= source.reference_threshold).astype(np.int16))


def output_extension(source: CaseSource, floats: bool = False) -> str:
    """The ending for results of this case, so that nothing is lost: the family of its first image.

    floats: for maps with fractions, several channels or values beyond two bytes. Array cases get ""
    (their results are arrays).
    """
    if source.arrays is not None:
        return ""
    first = source.images[0]
    extension = extension_of(first)
    if extension in NIFTI:
        return ".nii.gz"
    if extension in (".mha", ".mhd"):
        return ".mha"
    if extension in PICTURES:  # a TIFF may have pages, which PNG has not
        return ".tiff" if floats or extension.startswith(".tif") else ".png"
    return ".nrrd"


def _read_channels(paths: tuple[Path, ...]) -> tuple[np.ndarray, Geometry]:
    images: list[tuple[np.ndarray, Geometry]] = []
    for path in paths:
        image, geometry = read_image(path)
        check_geometry(geometry, path.name)
        check_image(image, path.name)
        if images:
            check_same_grid(images[0][1], paths[0].name, geometry, path.name, "name the channels to use by --image")
        images.append((image, geometry))
    return (np.concatenate([image for image, _ in images]) if len(images) > 1 else images[0][0]), images[0][1]


def read_label_on(
    path: Path, geometry: Geometry, grid_name: str, class_names: Mapping[int, str] | None
) -> tuple[np.ndarray, dict[int, str]]:
    """A single label that belongs to no set, such as a mask of trusted voxels: (*grid), and {value: name}."""
    if has_segments(path):
        found = _label_on(path, geometry, grid_name, class_names, AS_STORED)
        return found.decoded.label, found.names
    label, place = read_label(path)
    label = as_label(_turned(label, place, geometry, path.name, grid_name))
    return label, {value: (class_names or {}).get(value, name) for value, name in names_for(label, path).items()}


def _label_on(
    path: Path,
    geometry: Geometry,
    grid_name: str,
    class_names: Mapping[int, str] | None,
    encoding: LabelEncoding,
    listed_names: Mapping[int, str] | None = None,
) -> LabelOnGrid:
    """listed_names: {value: name} that a list gives to a label map, in place of its dataset.json."""
    if has_segments(path):
        return _of_segments(path, geometry, grid_name, class_names)
    stored, place = read_stored(path)
    decoded = encoding.decode(stored, path.name)
    label = as_label(_turned(decoded.label, place, geometry, path.name, grid_name))
    annotated = decoded.annotated
    if annotated is not None:
        annotated = _turned(annotated, place, geometry, path.name, grid_name)
    own = {**names_for(label, path), **encoding.names, **(listed_names or {})}
    label = as_label(_by_name(label, own, class_names or {}, f"{path.name} of {grid_name}"))
    known = {**own, **(class_names or {})}
    names = {value: known.get(value, nameless(value)) for value in label_values(label) if value}
    return LabelOnGrid(Decoded(label, annotated), names)


def _by_name(label: np.ndarray, own: Mapping[int, str], known: Mapping[int, str], name: str) -> np.ndarray:
    """The label with the values that `known` has for its names, where these are other ones than its own. A name that is
    not known says nothing against a value.

    Raises EngineError("unknown-segment") where a class has the value of another one, and no name that is known.
    """
    values = {known_name: value for value, known_name in known.items()}
    present = [value for value in label_values(label) if value]
    if all(known.get(v) == own.get(v) or values.get(own.get(v, ""), v) == v for v in present):
        return label
    exchanged = matching_values(own, known, present, name)
    result = np.zeros_like(label, np.int32)
    for value, there in exchanged.items():
        result[label == value] = there
    return result


def _of_segments(path: Path, geometry: Geometry, grid_name: str, class_names: Mapping[int, str] | None) -> LabelOnGrid:
    segmentation = read_segmentation(path)
    values = {name: value for value, name in class_names.items()} if class_names else None
    if values is not None:
        aside = [s.name for s in segmentation.segments if means_not_annotated(s.name)]
        values |= {name: max(values.values()) + n for n, name in enumerate(aside, 1)}
    label, names, shared = to_label_map(segmentation, geometry, values, path.name, grid_name)
    decoded, names = without_ignored(label, names)
    return LabelOnGrid(decoded, names, _overlap(shared))


def _of_class_files(
    files: Mapping[str, Path], geometry: Geometry, grid_name: str, class_names: Mapping[int, str] | None
) -> LabelOnGrid:
    """One label map of a mask a class. Where masks overlap, the later one in the order of the values wins."""
    values = {name: value for value, name in (class_names or dict(enumerate(files, 1))).items()}
    values |= {n: max(values.values()) + 1 for n in files if means_not_annotated(n) and n not in values}
    label = np.zeros(geometry.array_shape, np.int32)
    names: dict[int, str] = {}
    shared = np.zeros(geometry.array_shape, bool)
    for name in sorted(files, key=lambda n: values.get(n, 0)):
        path = files[name]
        stored, place = read_stored(path)
        inside = _turned(_one_class(stored, path.name), place, geometry, path.name, grid_name)
        if name not in values:
            if not inside.any():
                continue
            raise EngineError(
                "unknown-segment",
                f"{grid_name} has a mask of {name}, which is none of the classes {', '.join(values)}; rename or "
                "remove it.",
            )
        shared |= inside & (label > 0)
        label[inside] = values[name]
        names[values[name]] = name
    decoded, names = without_ignored(as_label(label), names)
    return LabelOnGrid(decoded, names, _overlap(int(np.count_nonzero(shared))))


def _one_class(stored: np.ndarray, name: str) -> np.ndarray:
    """A mask of a single class, whatever its value, as bool. Raises EngineError("label-encoding") and the codes of
    `check_label`."""
    mask = whole_numbers(one_channel(stored, name))
    check_label(mask, name)
    values = [value for value in label_values(mask) if value]
    if len(values) > 1:
        shown = ", ".join(map(str, values[:6]))
        raise EngineError(
            "label-encoding",
            f"{name} is the mask of one class, but has the values {shown}; save it with one value beside 0.",
        )
    return mask > 0


def _overlap(voxels: int) -> tuple[str, ...]:
    if not voxels:
        return ()
    return (f"{voxels:,} {'voxel lies' if voxels == 1 else 'voxels lie'} in several segments; the later one has them",)


def read_map_on(path: Path, geometry: Geometry, grid_name: str) -> np.ndarray:
    """(*grid) float32 of a map with one channel."""
    channels, place = read_image(path)
    if len(channels) != 1:
        raise EngineError("label-channels", f"{path.name} has {len(channels)} channels, but one is needed.")
    return _turned(channels[0], place, geometry, path.name, grid_name)


def _turned(array: np.ndarray, place: Geometry, geometry: Geometry, name: str, grid_name: str) -> np.ndarray:
    """The array on the image's grid: as it is, or with axes swapped and flipped; otherwise refused."""
    if place.difference(geometry) is None:
        return array
    if same_voxels(place, geometry):
        turned = onto_grid(array, place, geometry)
        assert turned is not None
        return np.ascontiguousarray(turned)
    check_same_grid(geometry, grid_name, place, name)
    return array


def read_label_result(
    path: Path, case: Case, class_names: Mapping[int, str] | None = None, encoding: LabelEncoding = AS_STORED
) -> np.ndarray:
    """A label map (*grid) on the case's grid. Raises EngineError where it does not lie there."""
    if path.suffix == ".npy":
        return _array(path, case, "iu")
    names = class_names or case.class_names or None
    return _label_on(path, case.geometry, case.name, names, encoding).decoded.label


def read_map_result(path: Path, case: Case) -> np.ndarray:
    """A float map (*grid) on the case's grid. Raises EngineError where it does not lie there."""
    return _array(path, case, "f") if path.suffix == ".npy" else read_map_on(path, case.geometry, case.name)


def _array(path: Path, case: Case, kinds: str) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise unreadable(path) from error
    if array.shape != case.geometry.array_shape or array.dtype.kind not in kinds:
        raise EngineError("geometry-mismatch", f"{path.name} does not belong to {case.name}; make it anew.")
    return array
