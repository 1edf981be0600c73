"""The slices that DICOM files hold, from their headers: where each lies, how its numbers are meant, and what tells it
apart from others at the same place.

A file has one frame, or many (enhanced CT, MR, PET, ultrasound, nuclear medicine), each with a position, an orientation
and a rescaling of its own; DICOM PS3.3, C.7.6.16.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EngineError
from .checks import unreadable
from .dicom_kind import MAP, kind_of, read_header, sop_class

_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "PatientID", "ImageType", "Modality", "InstanceNumber"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing", "SpacingBetweenSlices"),
    *("SliceThickness", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "FrameIncrementPointer"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DetectorInformationSequence"),
    *(
        "TotalPixelMatrixColumns",
        "SliceVector",
        "EnergyWindowVector",
        "DetectorVector",
        "PhaseVector",
        "RRIntervalVector",
    ),
    *("TimeSlotVector", "TimeSliceVector", "RotationVector", "AngularViewVector"),
    *("TemporalPositionIdentifier", "EchoTime", "EchoNumbers", "TriggerTime", "DiffusionBValue", "InversionTime"),
    *(
        "ConvolutionKernel",
        "KVP",
        "FrameReferenceTime",
        "FlipAngle",
        "StackID",
        "AcquisitionNumber",
        "AcquisitionTime",
        "ComplexImageComponent",
        "SequenceName",
    ),
    *("BitsStored", "HighBit", "PixelRepresentation", "FrameOfReferenceUID"),
)
_FRAME_TIMES = (0x00181063, 0x00181065)  # Frame Time, Frame Time Vector
WORDS = {
    "TemporalPositionIdentifier": "time points",
    "TemporalPositionIndex": "time points",
    "EchoTime": "echo times (ms)",
    "EffectiveEchoTime": "echo times (ms)",
    "EchoNumbers": "echoes",
    "DiffusionBValue": "b-values",
    "DiffusionGradientOrientation": "diffusion directions",
    "ImageType": "kinds of image",
    "FrameType": "kinds of image",
    "ComplexImageComponent": "components",
    "TriggerTime": "cardiac phases (ms)",
    "NominalCardiacTriggerDelayTime": "cardiac phases (ms)",
    "NominalPercentageOfCardiacPhase": "cardiac phases (%)",
    "InversionTime": "inversion times (ms)",
    "InversionTimes": "inversion times (ms)",
    "FlipAngle": "flip angles",
    "StackID": "stacks",
    "SequenceName": "sequences",
    "ConvolutionKernel": "kernels",
    "KVP": "tube voltages (kV)",
    "FrameReferenceTime": "time points (ms)",
    "AcquisitionNumber": "acquisitions",
    "FrameAcquisitionNumber": "acquisitions",
    "EnergyWindowVector": "energy windows",
    "DetectorVector": "detectors",
    "PhaseVector": "phases",
    "RRIntervalVector": "heart beats",
    "TimeSlotVector": "time points",
    "TimeSliceVector": "time points",
    "AcquisitionTime": "acquisition times",
}
"""What tells frames at one place apart, the likeliest reason first, and what it is called."""
_IN_GROUPS = {
    "FrameContentSequence": ("TemporalPositionIndex", "StackID", "FrameAcquisitionNumber"),
    "TemporalPositionSequence": (),
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRDiffusionSequence": ("DiffusionBValue",),
    "MRImageFrameTypeSequence": ("FrameType", "ComplexImageComponent"),
    "CTImageFrameTypeSequence": ("FrameType",),
    "PETFrameTypeSequence": ("FrameType",),
    "MRModifierSequence": ("InversionTimes",),
    "MRTimingAndRelatedParametersSequence": ("FlipAngle",),
    "CardiacSynchronizationSequence": ("NominalCardiacTriggerDelayTime", "NominalPercentageOfCardiacPhase"),
}


@dataclass(frozen=True)
class Frame:
    """One slice.

    number: which frame of its file, from 0. size: columns, rows. position, orientation: LPS mm and unit vectors along
    a row and a column, None where the header does not say. spacing: mm along i and j. thickness: what the header says
    about the distance of slices, 0 where it does not. file, groups: the header, and the functional groups of the frame.
    """

    path: Path
    number: int
    file: Any = field(repr=False, compare=False)
    size: tuple[int, int]
    position: np.ndarray | None = field(compare=False)
    orientation: np.ndarray | None = field(compare=False)
    spacing: tuple[float, float]
    thickness: float
    slope: float
    intercept: float
    groups: list[Any] = field(repr=False, compare=False)

    @cached_property
    def signs(self) -> Mapping[str, str]:
        """What may tell it apart from others at its place, by DICOM's keyword."""
        return _signs(self.file, self.number, self.groups)

    @property
    def normal(self) -> np.ndarray:
        assert self.orientation is not None
        return np.cross(self.orientation[:3], self.orientation[3:])


def header_of(path: Path) -> Any:
    """What is needed of the header, as pydicom has it; its `pixels_at` is where in the file the pixels begin.

    Raises EngineError("unreadable-file").
    """
    return read_header(path, *_TAGS, force=True)


def frames_of(path: Path, header: Any) -> list[Frame]:
    """The frames of a file in its own order.

    Raises EngineError("unreadable-file", "dicom-no-pixels", "dicom-tiles", "dicom-mosaic" or "dicom-cine").
    """
    try:
        if not header.get("Rows") or not header.get("Columns"):
            raise EngineError("dicom-no-pixels", f"{path.name} is a DICOM file without pixels; choose another file.")
        if "MOSAIC" in (header.get("ImageType") or ()):
            raise EngineError(
                "dicom-mosaic",
                f"{path.name} shows many slices side by side in one picture (mosaic); convert it with dcm2niix.",
            )
        count = int(header.get("NumberOfFrames") or 1)
        if count > 1:
            _check_volume(path, header, count)
        return [_frame(path, header, n, groups) for n, groups in enumerate(_groups(header, count))]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise unreadable(path, "its header makes no sense") from error


def _check_volume(path: Path, header: Any, count: int) -> None:
    if "TotalPixelMatrixColumns" in header:
        raise EngineError(
            "dicom-tiles",
            f"{path.name} is a slide in {count} tiles, not a volume; export the part you want as TIFF or PNG.",
        )
    pointer = header.get("FrameIncrementPointer")
    pointers = {int(tag) for tag in (pointer if isinstance(pointer, list | tuple) else [pointer] if pointer else ())}
    if "PerFrameFunctionalGroupsSequence" in header or _is_reconstructed(header):
        return
    if pointers & set(_FRAME_TIMES) or header.get("Modality") in ("US", "XA", "RF", "ES", "IVUS", "XC", "OPT"):
        raise EngineError(
            "dicom-cine",
            f"{path.name} is a film of {count} frames over time, not a volume; export single frames as images.",
        )
    raise EngineError(
        "dicom-spacing",
        f"The {count} frames of {path.name} do not say where they lie; export the original series again.",
    )


def _is_reconstructed(header: Any) -> bool:
    """Of nuclear medicine: slices, not projections."""
    detectors = header.get("DetectorInformationSequence")
    return "SliceVector" in header and bool(detectors) and "ImageOrientationPatient" in detectors[0]


def _groups(header: Any, count: int) -> Iterator[list[Any]]:
    """For each frame the data sets to look at, the frame's own first."""
    frames = header.get("PerFrameFunctionalGroupsSequence")
    shared = list(header.get("SharedFunctionalGroupsSequence") or ())
    if frames is not None and len(frames) < count:
        raise ValueError("frames")
    for n in range(count):
        yield [*([frames[n]] if frames is not None else ()), *shared]


def _frame(path: Path, header: Any, number: int, groups: list[Any]) -> Frame:
    position, orientation = _place(header, number, groups)
    measures = _item(groups, "PixelMeasuresSequence")
    spacing = next((s for d in (measures, header) if d and (s := d.get("PixelSpacing"))), None)
    spacing = spacing or header.get("ImagerPixelSpacing") or (1, 1)
    thickness = next(
        (
            float(t)
            for key in ("SpacingBetweenSlices", "SliceThickness")
            for d in (measures, header)
            if d and (t := d.get(key))
        ),
        0.0,
    )
    slope, intercept = _rescaling(header, groups)
    if slope == 0:
        raise ValueError("slope")  # which leaves nothing of the pixels
    return Frame(
        path,
        number,
        header,
        (int(header.Columns), int(header.Rows)),
        position,
        orientation,
        (float(spacing[1]), float(spacing[0])),
        abs(thickness),
        slope,
        intercept,
        groups,
    )


def _place(header: Any, number: int, groups: list[Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
    if _is_reconstructed(header):
        detector = header.DetectorInformationSequence[0]
        orientation = _numbers(detector.get("ImageOrientationPatient"), 6)
        first = _numbers(detector.get("ImagePositionPatient"), 3)
        if orientation is None:
            return None, None
        along = np.cross(orientation[:3], orientation[3:]) * float(header.get("SpacingBetweenSlices") or 1)
        step = int(np.atleast_1d(header.SliceVector)[number]) - 1
        return (np.zeros(3) if first is None else first) + step * along, orientation
    for kind in ("", "Volume"):
        place = _item(groups, f"PlanePosition{kind}Sequence")
        facing = _item(groups, f"PlaneOrientation{kind}Sequence")
        if place is not None and facing is not None:
            end = kind or "Patient"
            return _numbers(place.get(f"ImagePosition{end}"), 3), _numbers(facing.get(f"ImageOrientation{end}"), 6)
    return _numbers(header.get("ImagePositionPatient"), 3), _numbers(header.get("ImageOrientationPatient"), 6)


def _numbers(values: Any, count: int) -> np.ndarray | None:
    """None where there are none, or others than can be."""
    if values is None or isinstance(values, str | bytes) or not hasattr(values, "__len__") or len(values) != count:
        return None
    numbers = np.array([float(v) for v in values])
    if not np.isfinite(numbers).all():
        return None
    if count == 6:
        row, column = numbers[:3], numbers[3:]
        lengths = np.linalg.norm(row), np.linalg.norm(column)
        if not np.allclose(lengths, 1, atol=0.01) or abs(row @ column) > 0.01:
            return None
        row = row / lengths[0]
        column = column - (column @ row) * row  # square, whatever its digits were rounded to
        return np.concatenate([row, column / np.linalg.norm(column)])
    return numbers


def _rescaling(header: Any, groups: list[Any]) -> tuple[float, float]:
    """Slope and intercept; of a parametric map's whole numbers those of the real world."""
    values = _item(groups, "PixelValueTransformationSequence")
    for data in (values, header):
        if data is not None and data.get("RescaleSlope") is not None:
            return float(data.RescaleSlope), float(data.get("RescaleIntercept") or 0)
    real = _item(groups, "RealWorldValueMappingSequence")
    if real is not None and kind_of(sop_class(header)) == MAP and "RealWorldValueSlope" in real:
        return float(real.RealWorldValueSlope), float(real.get("RealWorldValueIntercept") or 0)
    return 1.0, float(header.get("RescaleIntercept") or 0)


def _item(groups: list[Any], keyword: str) -> Any:
    return next((items[0] for group in groups if (items := group.get(keyword))), None)


def _signs(header: Any, number: int, groups: list[Any]) -> dict[str, str]:
    found = {}
    for keyword in WORDS:
        if keyword == "ImageType":
            found[keyword] = "/".join(str(part) for part in (header.get(keyword) or ())[2:])
        elif keyword.endswith("Vector"):
            if keyword in header:
                found[keyword] = str(np.atleast_1d(header[keyword].value)[number])
        elif keyword in header:
            found[keyword] = _text(header[keyword].value)
    for sequence, keywords in _IN_GROUPS.items():
        item = _item(groups, sequence)
        for keyword in keywords if item is not None else ():
            if keyword in item:
                found[keyword] = _text(item[keyword].value)
    diffusion = _item(groups, "MRDiffusionSequence")
    direction = _item([diffusion], "DiffusionGradientDirectionSequence") if diffusion is not None else None
    if direction is not None and "DiffusionGradientOrientation" in direction:
        found["DiffusionGradientOrientation"] = _text(direction.DiffusionGradientOrientation)
    return {key: text for key, text in found.items() if text}


def _text(value: Any) -> str:
    return "/".join(map(str, value)) if hasattr(value, "__iter__") and not isinstance(value, str) else str(value)
