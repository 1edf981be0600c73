"""Which file names are images, and what is left of a name without its extension."""

from __future__ import annotations

from pathlib import Path

SEGMENTATION = ".seg.nrrd"
NIFTI = (".nii.gz", ".nii")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")  # pixels without a place in the patient
EXTENSIONS = (SEGMENTATION, *NIFTI, ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", *PICTURES)


def extension_of(path: Path) -> str:
    """The image extension in lower case (".nii.gz", ".seg.nrrd", ".png"), or "" for other files."""
    name = path.name.lower()
    return next((e for e in EXTENSIONS if name.endswith(e) and len(name) > len(e)), "")


def stem_of(path: Path) -> str:
    """The file name without its image extension; a folder's name as it is."""
    extension = extension_of(path)
    return path.name[: -len(extension)] if extension and not path.is_dir() else path.name


def is_picture(path: Path) -> bool:
    """PNG, JPEG or TIFF: what these say about resolution is about printing, not about the patient."""
    return extension_of(path) in PICTURES
