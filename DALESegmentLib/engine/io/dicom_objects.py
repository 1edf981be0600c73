"""Label maps and maps between 0 and 1 as DICOM objects on the frame of reference of the series they were made from:
segmentations (PS3.3, A.51) and parametric maps (A.75), built with highdicom.

Every object is a series of its own and gets new UIDs each time it is written, so that an archive never takes one for
another. Tracking UIDs follow from frame of reference and name: what is found again in a later object has the same.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import EngineError
from ..core.files import replacing, sync
from ..geometry.grid import Geometry
from .checks import label_values
from .class_names import nameless
from .terminology import class_colour, codes_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

MAKER, MODEL_NAME = "DALESegment", "DALESegment"
LONGEST = 64
"""Characters of a value of type LO."""
LONGEST_NUMBER = 16
"""Of type DS."""
STEPS = 255
"""Of a fractional segmentation."""
SERIES = {"segmentation": 7001, "regions": 7002, "fractional": 7003, "map": 7004, "report": 7005}
"""Series numbers."""
REGION_CODES = ("309825002", "SCT", "Spatial and Relational Concept"), ("111030", "DCM", "Image Region")


@dataclass(frozen=True)
class Provenance:
    """What made it: the model's name and its identity (a hash, as serial number), the version of the software, and who
    reviewed it, if somebody did."""

    model: str
    serial: str
    version: str
    reviewer: str = ""

    @property
    def words(self) -> str:
        return f"AI-generated, reviewed by {self.reviewer}" if self.reviewer else "AI-generated"


@dataclass(frozen=True)
class SegmentName:
    """What one segment is. tracking: what it is called in later objects too; by default its name."""

    name: str
    category: Code
    kind: Code
    colour: tuple[int, int, int]
    tracking: str = ""


def class_segments(names: Mapping[int, str]) -> dict[int, SegmentName]:
    """By label value, in its order; names: {value: name} of the classes."""
    return {value: SegmentName(name, *codes_of(name), class_colour(value)) for value, name in sorted(names.items())}


def region_segments(names: Mapping[int, str]) -> dict[int, SegmentName]:
    """By the value in a map of regions; names: {value: name}. A segmentation has a segment at least, so where there is
    no region that one says so."""
    from pydicom.sr.coding import Code

    category, kind = (Code(*code) for code in REGION_CODES)
    found = names or {1: "No doubtful region"}
    return {n: SegmentName(name, category, kind, class_colour(n), f"Region {n}") for n, name in sorted(found.items())}


def segmentation(
    label: np.ndarray,
    geometry: Geometry,
    segments: Mapping[int, SegmentName],
    images: Sequence[Dataset],
    made: Provenance,
    kind: str = "segmentation",
) -> Dataset:
    """A binary segmentation. label: (k, j, i) or (j, i) of values that `segments` names, 0 elsewhere; the segments are
    numbered from 1 on in the order of their values. images: as `source_images` gives them."""
    from highdicom.seg import Segmentation

    unnamed = sorted(set(label_values(label)) - {0, *segments})
    segments = dict(sorted({**segments, **class_segments({v: nameless(v) for v in unnamed})}.items()))
    numbers = np.zeros(max(segments) + 1, np.uint16)
    numbers[list(segments)] = np.arange(1, len(segments) + 1)
    values = _volume(numbers[label], geometry, images)
    about = _descriptions(list(segments.values()), images, made)
    with quietly():
        return Segmentation(
            images, values, "BINARY", about, **identity(kind, made), **_content(kind, made), omit_empty_frames=True
        )


def fractional(
    shares: np.ndarray,
    geometry: Geometry,
    segments: Sequence[SegmentName],
    images: Sequence[Dataset],
    made: Provenance,
) -> Dataset:
    """A fractional segmentation of the type PROBABILITY, in 255 steps. shares: (S, *grid) between 0 and 1."""
    from highdicom.seg import Segmentation

    values = _volume(np.clip(shares, 0, 1), geometry, images, "SegmentNumber")
    about = _descriptions(segments, images, made)
    with quietly():
        return Segmentation(
            images,
            values,
            "FRACTIONAL",
            about,
            fractional_type="PROBABILITY",
            max_fractional_value=STEPS,
            **identity("fractional", made),
            **_content("fractional", made),
        )


def parametric_map(
    values: np.ndarray, geometry: Geometry, name: str, images: Sequence[Dataset], made: Provenance
) -> Dataset:
    """Floats (*grid) between 0 and 1 as they are, called `name`."""
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from pydicom.sr.coding import Code

    meaning = RealWorldValueMapping(
        lut_label=_code_string(name),
        lut_explanation=as_text(name),
        unit=Code("1", "UCUM", "no units"),
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=Code("246103008", "SCT", "Certainty"),
    )
    with quietly():
        made_of = ParametricMap(
            images,
            _volume(np.asarray(values, np.float32), geometry, images),
            **identity("map", made),
            **_content("map", made, name),
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[meaning],
            window_center=0.5,
            window_width=1.0,
        )
    made_of.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_anatomy(images[0])]
    _store_along_normal(made_of)
    return made_of


def tracking_uid(images: Sequence[Dataset], name: str) -> str:
    """The same whenever something of this name is found in this frame of reference (PS3.5, B.2: 2.25 and a UUID)."""
    digest = hashlib.blake2b(f"{images[0].FrameOfReferenceUID}\n{name}".encode(), digest_size=16).digest()
    return f"2.25.{int.from_bytes(digest, 'big')}"


def save(dataset: Dataset, path: Path) -> None:
    """Write a Part 10 file, whole or not at all. Numbers that scanners wrote with more than the 16 characters of a DS
    are shortened. Raises EngineError("cannot-write" or "disk-full")."""
    from pydicom.multival import MultiValue
    from pydicom.valuerep import format_number_as_ds

    for element in dataset.iterall():
        if element.VR == "DS" and not element.is_empty:
            values = element.value if isinstance(element.value, MultiValue) else [element.value]
            if any(len(str(value)) > LONGEST_NUMBER for value in values):
                element.value = [format_number_as_ds(float(value)) for value in values]
    with replacing(path) as temporary, temporary.open("wb") as file:
        dataset.save_as(file, enforce_file_format=True)
        sync(file)


def new_uid() -> str:
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=None))


def equipment(made: Provenance) -> dict[str, Any]:
    return {
        "manufacturer": MAKER,
        "manufacturer_model_name": MODEL_NAME,
        "software_versions": made.version,
        "device_serial_number": as_text(made.serial),
    }


def _store_along_normal(image: Dataset) -> None:
    """Store the frames of a map in the order of the normal (row times column), as dcmqi takes them without looking at
    their positions; highdicom stores them against it."""
    frames = list(image.PerFrameFunctionalGroupsSequence)
    orientation = np.array(image.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient)
    normal = np.cross(*orientation.astype(float).reshape(2, 3))
    depths = [np.array(f.PlanePositionSequence[0].ImagePositionPatient, float) @ normal for f in frames]
    order = np.argsort(depths, kind="stable")
    pixels = np.frombuffer(image.FloatPixelData, np.uint8).reshape(len(frames), -1)
    image.FloatPixelData = pixels[order].tobytes()
    image.PerFrameFunctionalGroupsSequence = [frames[n] for n in order]
    for number, frame in enumerate(image.PerFrameFunctionalGroupsSequence, 1):
        frame.FrameContentSequence[0].DimensionIndexValues = [number]


def _anatomy(image: Dataset) -> Dataset:
    """The frame anatomy (PS3.3, C.7.6.16.2.8), without which dcmqi, and Slicer with it, reads no parametric map: the
    body part of the series, or the whole body."""
    from pydicom.dataset import Dataset as Group
    from pydicom.sr.codedict import Collection

    regions = {keyword.casefold(): code for keyword, code in Collection("CID4031").concepts.items()}
    code = regions.get(str(image.get("BodyPartExamined", "")).casefold(), regions["entirebody"])
    region, group = Group(), Group()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = code[:3]
    group.FrameLaterality = "U"
    group.AnatomicRegionSequence = [region]
    return group


def _volume(array: np.ndarray, geometry: Geometry, images: Sequence[Dataset], channel: str = "") -> Any:
    """(*grid) or (S, *grid) with its place in the patient; a 2D grid is one slice."""
    import highdicom

    if geometry.dims == 2:
        raise EngineError(
            "dicom-source", "A picture without a place in the patient cannot be written as DICOM; use --format nrrd."
        )
    axes = np.array(geometry.direction).reshape(3, 3) * geometry.spacing
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes[:, ::-1], geometry.origin
    channels: dict[Any, Any] | None = {channel: list(range(1, len(array) + 1))} if channel else None
    ordered = np.moveaxis(array, 0, -1) if channel else array
    return highdicom.Volume(
        np.ascontiguousarray(ordered),
        affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=images[0].FrameOfReferenceUID,
        channels=channels,
    )


def _descriptions(segments: Sequence[SegmentName], images: Sequence[Dataset], made: Provenance) -> list[Any]:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    return [
        SegmentDescription(
            segment_number=number,
            segment_label=as_text(segment.name) or f"Segment {number}",
            segmented_property_category=segment.category,
            segmented_property_type=segment.kind,
            algorithm_type="SEMIAUTOMATIC" if made.reviewer else "AUTOMATIC",
            algorithm_identification=_algorithm(made),
            tracking_id=as_text(segment.tracking or segment.name) or f"Segment {number}",
            tracking_uid=tracking_uid(images, segment.tracking or segment.name),
            display_color=CIELabColor.from_rgb(*segment.colour),
        )
        for number, segment in enumerate(segments, 1)
    ]


def _algorithm(made: Provenance) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    return AlgorithmIdentificationSequence(
        name=as_text(f"{MODEL_NAME} {made.model}"),
        family=codes.DCM.ArtificialIntelligence,
        version=made.version,
        source=MAKER,
        parameters={"model": as_text(made.serial)},
    )


def identity(kind: str, made: Provenance) -> dict[str, Any]:
    return {
        "series_instance_uid": new_uid(),
        "series_number": SERIES[kind],
        "sop_instance_uid": new_uid(),
        "instance_number": 1,
        **equipment(made),
    }


def _content(kind: str, made: Provenance, name: str = "") -> dict[str, Any]:
    what = {"segmentation": "segmentation", "regions": "doubtful regions", "fractional": "probability"}
    title = name or what[kind]
    return {
        "series_description": as_text(f"{title}, {made.words}"),
        "content_description": as_text(title),
        "content_label": _code_string(title),
        "content_creator_name": person_name(made.reviewer) if made.reviewer else "",
        "specific_character_set": "ISO_IR 192",
    }


def person_name(name: str) -> str:
    """A name as one types it, as a family name."""
    return (re.sub(r"[\\^=]", " ", as_text(name)).strip() or "unknown") + "^"


def as_text(words: str) -> str:
    """What a value of type LO may hold."""
    return re.sub(r"[\\\s\x00-\x1f\x7f]+", " ", words).strip()[:LONGEST].strip()


def _code_string(words: str) -> str:
    """Of type CS."""
    return re.sub(r"[^A-Z0-9_ ]+", "_", words.upper())[:16].strip(" _") or "RESULT"


@contextmanager
def quietly() -> Iterator[None]:
    """Without remarks of the libraries on the patient's name as the scanner wrote it, which would stand in logs."""
    import warnings

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
