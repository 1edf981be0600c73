"""The headers of the DICOM images that a case was read from: patient, study and frame of reference of what is derived
from them, and which of them shows which slice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import EngineError, checkpoint
from ..geometry.grid import Geometry
from .case import CaseSource, extension_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

ON_A_SLICE = 0.1
"""Of a slice's step, that a position may lie off."""
# PS3.3: what every object has of patient, study, frame of reference and equipment, be it empty (type 2)
KNOWN_OR_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator", "Manufacturer"),
)
FORMATTED = ("PatientBirthDate", "StudyDate", "StudyTime")
SEXES = ("M", "F", "O", "")


def source_images(source: CaseSource, geometry: Geometry) -> list[Dataset]:
    """The images behind a case's first channel, without their pixels, by slice; those of one series.

    Where their slices are not those of the grid (a tilted series that was straightened), all images of the series that
    has most of them. Text is decoded, so that objects made of it may hold any name.

    Raises EngineError("dicom-source") where the case was not read from DICOM, or the images lack the frame of
    reference.
    """
    path = check_source(source)
    files = [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
    return images_of(files, geometry, source.name)


def images_of(files: Iterable[Path], geometry: Geometry, name: str) -> list[Dataset]:
    """As `source_images`, of these files; name: of the case, for the errors."""
    series: dict[str, list[Dataset]] = {}
    for image in _headers(files):
        series.setdefault(str(image.SeriesInstanceUID), []).append(image)
    if not series:
        raise EngineError("dicom-source", f"The files of {name} hold no DICOM image; choose another format.")
    chosen = max(series.values(), key=lambda images: (len(_slices(images, geometry)), len(images)))
    on_grid = _slices(chosen, geometry)
    images = [on_grid[k] for k in sorted(on_grid)]
    if len(images) < min(len(chosen), geometry.size[2]):
        images = sorted(chosen, key=lambda image: int(image.get("InstanceNumber") or 0))
    if not all(image.get("FrameOfReferenceUID") for image in images):
        raise EngineError(
            "dicom-source",
            f"The images of {name} do not name their frame of reference, so nothing can be placed on them; "
            "write the results with --format nifti or --format nrrd instead.",
        )
    for image in images:
        _complete(image)
    return images


def check_source(source: CaseSource) -> Path:
    """The file or folder of the case's first channel. Raises EngineError("dicom-source") where it is no DICOM."""
    path = source.images[0] if source.images else None
    if path is None or not (path.is_dir() or extension_of(path) in ("", ".dcm")):
        raise EngineError(
            "dicom-source",
            f"{source.name} was not read from DICOM, so nothing says whose image it is; write the results with "
            "--format nifti or --format nrrd instead.",
        )
    return path


def lies_on(images: list[Dataset], geometry: Geometry) -> bool:
    """Whether a grid is that of the images, slice by slice."""
    return len(_slices(images, geometry)) == min(len(images), geometry.size[2])


def _headers(files: Iterable[Path]) -> Iterator[Dataset]:
    """Of images; other objects and files are passed over."""
    import pydicom

    for file in files:
        checkpoint()
        with suppress(pydicom.errors.InvalidDicomError, OSError):
            image = pydicom.dcmread(file, stop_before_pixels=True)
            if "Rows" in image and "SeriesInstanceUID" in image and image.get("Modality") not in ("SEG", "RTDOSE"):
                image.decode()
                yield image


def _slices(images: list[Dataset], geometry: Geometry) -> dict[int, Dataset]:
    """The images that show a slice of the grid, by its k; an image of many frames by its first one's."""
    found: dict[int, Dataset] = {}
    for image in images:
        position = _position(image)
        if position is None:
            continue
        i, j, k = geometry.ras_to_index((-position[0], -position[1], position[2]))
        near = round(k)
        inside = 0 <= near < geometry.size[2]
        if inside and abs(k - near) <= ON_A_SLICE and max(abs(i), abs(j)) <= 0.5:
            found.setdefault(near, image)
    return found


def _position(image: Dataset) -> np.ndarray | None:
    """LPS mm of the first voxel."""
    if "PerFrameFunctionalGroupsSequence" in image:
        frame = image.PerFrameFunctionalGroupsSequence[0]
        image = frame.PlanePositionSequence[0] if "PlanePositionSequence" in frame else frame
    position = image.get("ImagePositionPatient")
    return None if position is None or len(position) != 3 else np.array(position, float)


def _complete(image: Dataset) -> None:
    """What must be there though it may be empty; what is written otherwise than DICOM has it becomes empty."""
    from pydicom.valuerep import DA, TM

    for keyword in KNOWN_OR_EMPTY:
        if keyword not in image:
            setattr(image, keyword, "")
    for keyword in FORMATTED:
        try:
            (TM if keyword.endswith("Time") else DA)(image.get(keyword) or None)
        except ValueError:  # noqa: PERF203
            setattr(image, keyword, "")
    if image.PatientSex not in SEXES:
        image.PatientSex = ""
