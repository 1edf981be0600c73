"""What a file's header promises, looked at before anything is made room for.

ITK believes headers: a wrong one makes it ask for terabytes, read another file as voxels, or crash.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import SimpleITK as sitk

from ..errors import EngineError
from ..memory import available_memory
from .checks import unreadable
from .file_formats import extension_of

_HEADER_BYTES = 1 << 20
_LARGE = 1 << 30
_DENSE = 500
"""Images do not compress to a 500th, and neither do masks that hold something and unpack to a gigabyte."""
_MOST_AXES = 6


def check_promise(path: Path) -> int:
    """Bytes of voxels that the file says it holds.

    Raises EngineError("unreadable-file", "image-empty", "leads-out", "voxels-in-parts", "file-too-large").
    """
    _check_text_header(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return _LARGE  # reading it will fail, too, and say why
    size = reader.GetSize()
    if min(size, default=0) < 1:
        raise EngineError("image-empty", f"{path.name} has no voxels; export it again from its source.")
    voxels = math.prod(size) * reader.GetNumberOfComponents()
    promised = voxels * _bytes_each(reader.GetPixelID())
    if promised > _LARGE and promised > _DENSE * path.stat().st_size and not _is_detached(path):
        raise EngineError(
            "file-too-large",
            f"{path.name} says that it unpacks to {promised / 1e9:.1f} GB, more than a file of its size holds; "
            "it is damaged or made to do harm, so copy it again from its source.",
        )
    free = available_memory()
    if promised + 4 * voxels > free:
        raise EngineError(
            "file-too-large",
            f"{path.name} needs {(promised + 4 * voxels) / 1e9:.1f} GB of memory, but {free / 1e9:.1f} GB are free; "
            "crop or resample it first, or close other programs.",
        )
    return promised


def _check_text_header(path: Path) -> None:
    """MetaImage and NRRD: axes that can be, and voxels in this file or beside it."""
    extension = extension_of(path)
    if extension not in (".mha", ".mhd", ".nrrd", ".nhdr", ".seg.nrrd"):
        return
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if extension in (".mha", ".mhd"):
        # the header ends there; what looks like one in the voxels after it is none
        end = re.match(rb"(.*?^[ \t]*)ElementDataFile[ \t]*=[ \t]*(.*?)[ \t]*\r?$", head, re.M | re.S)
        if end is None or b"ElementDataFile" in end[1]:
            raise unreadable(path, "its header makes no sense")
        fields = dict(re.findall(rb"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t]*\r?$", end[1], re.M))
        _check_axes(path, fields.get(b"NDims", b""), fields.get(b"DimSize"))
        _check_beside(path, end[2])
    else:
        lines = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
        for named in re.findall(rb"^data ?file: *(.*?)[ \t]*\r?$", lines, re.M | re.I):
            _check_beside(path, named)


def _check_axes(path: Path, axes: bytes, sizes: bytes | None) -> None:
    try:
        n = int(axes)
        good = 1 <= n <= _MOST_AXES and (sizes is None or len(sizes.split()) == n)
    except ValueError:
        good = False
    if not good:
        raise unreadable(path, "its header makes no sense")


def _check_beside(path: Path, named: bytes) -> None:
    """A header may name another file to read the voxels from, but none elsewhere on the disk; and no pattern of several
    files, since MetaIO hands that to printf as it is, which crashes or worse."""
    if b"%" in named or named.split()[:1] == [b"LIST"]:
        raise EngineError(
            "voxels-in-parts",
            f"{path.name} takes its voxels from several files; open it where it was made and save it as one.",
        )
    name = Path(named.decode("utf-8", "replace").replace("\\", "/").split(" ")[0])
    if name.is_absolute() or ".." in name.parts or re.match(r"^[A-Za-z]:", str(name)):
        raise EngineError(
            "leads-out",
            f"{path.name} takes its voxels from a file in another folder; put both files into one folder.",
        )


def _is_detached(path: Path) -> bool:
    return extension_of(path) in (".mhd", ".nhdr")


def _bytes_each(pixel: int) -> int:
    """Bytes of a component; 8 for what SimpleITK does not know."""
    kind = sitk.GetPixelIDValueAsString(pixel)
    bits = re.search(r"(\d+)-bit", kind)
    size = int(bits[1]) // 8 if bits else 8
    return 2 * size if "complex" in kind else size
