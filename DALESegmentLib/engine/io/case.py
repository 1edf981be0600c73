"""A case: its image and label on one grid, where it lies on disk, its patient, and the fingerprint of its image. Which
file names are images, and what is left of a name without its extension.

The patient keeps all cases of one person on the same side of a validation split. The fingerprint identifies an image
whatever its file and its case are called.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..core.errors import EngineError
from ..geometry.grid import Geometry
from .label_encoding import LabelEncoding


@dataclass
class Case:
    """Everything known about one image, on one grid.

    image: (C, *grid) float32 as stored in the file; label, trusted, confidence: (*grid), where grid is
    `geometry.array_shape`. label: 0 is background, any number of classes. trusted: True where a clinician
    confirmed or corrected the label. confidence: in [0, 1], how far the label of that voxel can be trusted.
    class_names maps label values (not 0) to names. annotated: False where nobody labelled, and `label` is 0: nothing is
    learned from there, nothing scored; None where all is. notes: what a reader should know of how it was read.
    modality: as DICOM calls it, "" where that is not known.
    """

    name: str
    image: np.ndarray
    geometry: Geometry
    label: np.ndarray | None = None
    trusted: np.ndarray | None = None
    confidence: np.ndarray | None = None
    class_names: dict[int, str] = field(default_factory=dict)
    annotated: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    modality: str = ""

    @property
    def channels(self) -> int:
        return int(self.image.shape[0])


BY_RATER = "@"
"""Between the name of a case and that of the rater whose label of it is meant."""


@dataclass(frozen=True)
class CaseSource:
    """The files of one case.

    images: one path a channel group, in order; a path may be a DICOM folder. arrays: folder of an array case
    (see `array_cases`), instead of the files. reference: a label to compare with, never to train on;
    `reference_threshold` turns a vote count into a mask (value >= threshold).
    split: "train", "test" or "" where the folder does not say. patient: "" where no list says it, see `patient_of`.
    class_names: {value: name} of a label map, where a list or the layout says it.
    class_files: a mask a class, by name, in place of a label. candidates: short names of files that may be its label,
    where it has none. layout: in words. encoding: what the values of its label mean, as decided for the whole set, see
    `label_encoding`; None where it was not. image_names: the short names of its images, in order; () where a list or
    the application names the images by their paths. rater: the short name of its label, where that is one of several
    raters'; of_case: where several of them are asked for, the case whose label by that rater this is.
    """

    name: str
    images: tuple[Path, ...] = ()
    label: Path | None = None
    trusted: Path | None = None
    confidence: Path | None = None
    reference: Path | None = None
    reference_threshold: float | None = None
    arrays: Path | None = None
    split: str = ""
    class_names: dict[int, str] = field(default_factory=dict, hash=False)
    patient: str = ""
    class_files: dict[str, Path] = field(default_factory=dict, hash=False)
    candidates: tuple[str, ...] = ()
    layout: str = ""
    encoding: LabelEncoding | None = None
    image_names: tuple[str, ...] = ()
    rater: str = ""
    of_case: str = ""

    @property
    def has_label(self) -> bool:
        """Of files; whether an array case has one stands in its folder."""
        return self.label is not None or bool(self.class_files)

    @property
    def rater_name(self) -> str:
        """What the case is called where it is learned with its other raters' labels."""
        return self.name if self.of_case or not self.rater else f"{self.name}{BY_RATER}{self.rater}"

    def without_label(self) -> CaseSource:
        """The images alone."""
        return replace(self, label=None, class_files={}, trusted=None, confidence=None)


@dataclass(frozen=True)
class UnusableCase:
    """A case that was found, but whose files are missing or not understood."""

    name: str
    split: str
    problem: EngineError


_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")


def patient_of(source: CaseSource) -> str:
    """The list's own word (column or key `patient`); else the subject of a name as BIDS has it (`sub-01_ses-2`); else
    the case is taken for a patient of its own."""
    subject = _SUBJECT.match(source.name)
    return source.patient or (subject[0] if subject else source.name)


def image_fingerprint(image: np.ndarray) -> str:
    """BLAKE2b (128 bits, hex) of the first channel of (C, *grid) as float32."""
    return hashlib.blake2b(np.ascontiguousarray(image[0], np.float32).data, digest_size=16).hexdigest()


def label_fingerprint(label: np.ndarray) -> str:
    """BLAKE2b (128 bits, hex) of the label values; label: (*grid)."""
    return hashlib.blake2b(np.ascontiguousarray(label, np.int32).data, digest_size=16).hexdigest()


def hash_inputs(case: Case) -> dict[str, str]:
    """BLAKE2b (128 bits, hex) of the whole image, and of label, trusted and annotated voxels with the names of the
    classes."""
    image, label = (hashlib.blake2b(digest_size=16) for _ in range(2))
    image.update(np.ascontiguousarray(case.image, np.float32).data)
    label.update(repr(sorted(case.class_names.items())).encode())
    for array, kind in ((case.label, np.int32), (case.trusted, bool), (case.annotated, bool)):
        if array is not None:
            label.update(np.ascontiguousarray(array, kind).data)
    return {"image": image.hexdigest(), "label": label.hexdigest()}


SEGMENTATION = ".seg.nrrd"
NIFTI = (".nii.gz", ".nii")
OTHER_VOLUMES = (".hdr", ".mgz", ".mgh", ".mnc")  # Analyze and NIfTI in two files, FreeSurfer, MINC
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")  # pixels without a place in the patient
EXTENSIONS = (SEGMENTATION, *NIFTI, ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", *OTHER_VOLUMES, *PICTURES)


def extension_of(path: Path) -> str:
    """The image extension in lower case (".nii.gz", ".seg.nrrd", ".png"), or "" for other files."""
    name = path.name.lower()
    return next((e for e in EXTENSIONS if name.endswith(e) and len(name) > len(e)), "")


def stem_of(path: Path) -> str:
    """The file name without its image extension; a folder's name as it is."""
    extension = extension_of(path)
    return path.name[: -len(extension)] if extension and not path.is_dir() else path.name


def is_picture(path: Path) -> bool:
    """PNG, JPEG, BMP or TIFF: what these say about resolution is about printing, not about the patient."""
    return extension_of(path) in PICTURES
