"""What kind of image a DICOM file or folder holds, as it says itself."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pydicom

from .case import extension_of

NO_IMAGES = {"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "REG", "DOC"}
LOOKED_AT = 20
"""Files of a folder, until one says it."""


def read_modality(path: Path) -> str:
    """ "CT", "MR", ... (DICOM PS3.3 C.7.3.1.1.1); "" of files that are no DICOM or do not say it."""
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    else:
        files = [path] if extension_of(path) == ".dcm" else []
    found = (_modality(file) for file in islice(files, LOOKED_AT))
    return next((one for one in found if one and one not in NO_IMAGES), "")


def _modality(file: Path) -> str:
    try:
        return str(pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality") or "")
    except Exception:  # of a damaged file, whatever pydicom stumbles over; reading the image says so
        return ""
