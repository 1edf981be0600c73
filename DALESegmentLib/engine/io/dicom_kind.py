"""What a DICOM file is, by its SOP class, from its first bytes.

`kind_of_dicom(path)` gives "image", "segmentation", "parametric map", "rtstruct", "report" and the like, "" for a file
that is no DICOM; `is_dicom(path)` looks at 132 bytes. Pixels are never read.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core.errors import EngineError
from ..core.notes import quiet
from .case import extension_of
from .checks import unreadable

IMAGE, SEGMENTATION, MAP, RTSTRUCT = "image", "segmentation", "parametric map", "rtstruct"
OTHER = "other"
_MOST_LOOKED_AT = 20
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_KINDS = {
    f"{_STORAGE}66.4": SEGMENTATION,
    f"{_STORAGE}66.7": SEGMENTATION,  # label map
    f"{_STORAGE}66.5": "surface segmentation",
    f"{_STORAGE}66.6": "tractography",
    f"{_STORAGE}66.1": "registration",
    f"{_STORAGE}66.2": "fiducials",
    f"{_STORAGE}66.3": "registration",
    f"{_STORAGE}66": "raw data",
    f"{_STORAGE}30": MAP,
    f"{_STORAGE}67": "value mapping",
    f"{_STORAGE}481.2": "rtdose",
    f"{_STORAGE}481.3": RTSTRUCT,
    f"{_STORAGE}481.5": "rtplan",
    f"{_STORAGE}481.8": "rtplan",  # of ions
    f"{_STORAGE}481.1": IMAGE,
    f"{_STORAGE}481.23": IMAGE,
    f"{_STORAGE}481.24": IMAGE,
    f"{_STORAGE}88.59": "key objects",
    "1.3.12.2.1107.5.9.1": "raw data",  # of Siemens
    "1.2.840.10008.1.3.10": "directory",
}
_FAMILIES = {  # SOP classes that start so
    f"{_STORAGE}88.": "report",
    f"{_STORAGE}11.": "presentation state",
    f"{_STORAGE}9.": "waveform",
    f"{_STORAGE}104.": "document",
    f"{_STORAGE}481.": "radiotherapy record",
    f"{_STORAGE}78.": "measurement",
    f"{_STORAGE}68.": "surface",
}
ARTICLES = {
    SEGMENTATION: "a DICOM segmentation",
    MAP: "a DICOM parametric map",
    RTSTRUCT: "an RTSTRUCT (radiotherapy contours)",
    "rtdose": "an RTDOSE (radiation dose)",
    "rtplan": "an RTPLAN (radiotherapy plan)",
    "report": "a DICOM report (SR)",
    "key objects": "a DICOM list of key images (KO)",
    "presentation state": "a DICOM presentation state (how images are shown)",
    "directory": "a DICOMDIR (a list of other files)",
}


def is_dicom(path: Path) -> bool:
    """Whether the file starts like DICOM; False where it cannot be opened, and for pipes and devices."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


@quiet()
def kind_of_dicom(path: Path) -> str:
    """The kind: "image", "segmentation", "parametric map", "rtstruct", "rtdose", "rtplan", "report", "key objects",
    "presentation state", "directory", "registration", ..., "other"; "" for a file that is no DICOM.

    A file without the usual first 132 bytes counts where its ending is `.dcm` and its header makes sense. No pixels are
    read. Raises EngineError("unreadable-file") for a DICOM file whose header is cut short.
    """
    if is_dicom(path):
        return kind_of(sop_class(read_header(path, "SOPClassUID", "Rows")))
    if path.suffix.lower() != ".dcm" or not path.is_file():
        return ""
    header = headless(path)
    return kind_of(sop_class(header)) if header is not None else ""


def segments_in(path: Path) -> Path | None:
    """The file itself where it is a DICOM segmentation or an RTSTRUCT, or the only one of a folder's DICOM files that
    is one; else None."""
    if not path.is_dir():
        return path if kind_of_dicom(path) in (SEGMENTATION, RTSTRUCT) else None
    files = [file for file in sorted(path.iterdir()) if not file.name.startswith(".") and is_dicom(file)]
    kinds = [kind_of_dicom(file) for file in files] if len(files) <= _MOST_LOOKED_AT else []
    found = [file for file, kind in zip(files, kinds, strict=False) if kind in (SEGMENTATION, RTSTRUCT)]
    return found[0] if len(found) == 1 and IMAGE not in kinds else None


def kind_of(uid: str) -> str:
    """The kind of a SOP class. One that the standard does not list is an image: archives have private ones of those."""
    if uid in _KINDS:
        return _KINDS[uid]
    family = next((kind for start, kind in _FAMILIES.items() if uid.startswith(start)), "")
    return family or (IMAGE if "Image" in (name := _name(uid)) or "US Volume" in name or not name else OTHER)


def article(kind: str, uid: str = "") -> str:
    """The kind with an article, for sentences: "a DICOM segmentation"; of other kinds the name of the SOP class."""
    return ARTICLES.get(kind, f"a DICOM {_name(uid).removesuffix(' Storage') if kind == OTHER else kind}")


def _name(uid: str) -> str:
    """What the standard calls it; "" for one that it does not list."""
    from pydicom.uid import UID

    name = UID(uid).name
    return "" if name == uid else name


def sop_class(header: Any) -> str:
    return str(header.get("SOPClassUID", "") or header.file_meta.get("MediaStorageSOPClassUID", ""))


def read_header(path: Path, *tags: str | int, force: bool = False) -> Any:
    """The pydicom data set without pixels; of the named tags alone where there are any.

    Raises EngineError("unreadable-file").
    """
    import pydicom

    try:
        with path.open("rb") as file:
            wanted: Any = _as_tags(tags) or None
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=wanted, force=force)
            header.pixels_at = file.tell()
        _convert(header.file_meta)
        _convert(header)
        return header
    except Exception as error:  # pydicom raises whatever a damaged file happens to cause
        raise unreadable(path) from error


@lru_cache
def _as_tags(tags: tuple[str | int, ...]) -> list[Any]:
    """pydicom takes their names too, but looks each one up for every file."""
    from pydicom.tag import Tag

    return [Tag(tag) for tag in tags]


def _convert(data: Any) -> None:
    """Values are read when they are asked for, and say only then that they are none."""
    for tag in list(data.keys()):
        element = data[tag]
        if element.VR == "SQ":
            for item in element.value:
                _convert(item)


def headless(path: Path) -> Any | None:
    """The header of a DICOM file that lacks the usual first 132 bytes; None where it is no DICOM."""
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except Exception:  # as above
        return None
    return header if "SOPClassUID" in header or ("Rows" in header and "Columns" in header) else None


_LABEL_CLASSES = (b"1.2.840.10008.5.1.4.1.1.66.4", b"1.2.840.10008.5.1.4.1.1.66.7", b"1.2.840.10008.5.1.4.1.1.481.3")
_HEAD = 2048


def is_dicom_label(path: Path) -> bool:
    """A DICOM segmentation or RTSTRUCT. Of other files no more than their first bytes are read."""
    if path.name.startswith(".") or extension_of(path) not in ("", ".dcm"):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        named = head[128:132] == b"DICM" and any(uid in head for uid in _LABEL_CLASSES)
        return named and kind_of_dicom(path) in (SEGMENTATION, RTSTRUCT)
    except (OSError, EngineError):  # who reads the file will say what is wrong with it
        return False
