"""Is all of a file there and unharmed? ITK reads many formats without a word when they are not.

It fills what is missing of NIfTI and JPEG with zeros or grey, drops the missing pages of a TIFF, and does not
look at the checksums of compressed NRRD and MetaImage. Nor does it say a word where a full disk takes only half of
what it writes.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

from .checks import not_finite, unreadable
from .file_formats import NIFTI, extension_of
from .nifti_bytes import count_not_finite
from .tiff_pages import tiff_complete

_CHUNK = 1 << 22
_HEADER_BYTES = 1 << 20
_PNG_END = b"IEND\xaeB`\x82"


_BROKEN = (EOFError, OSError, zlib.error, struct.error)


def check_complete(path: Path, promised: int | None = None) -> None:
    """promised: bytes of voxels its header speaks of; nothing is unpacked far beyond these.

    Raises EngineError("unreadable-file"), or ("image-not-finite") for a NIfTI file with NaN."""
    try:
        complete, bad = _looked_through(path, promised)
    except _BROKEN as error:
        raise unreadable(path) from error
    if bad:
        raise not_finite(path.name, bad)
    if not complete:
        raise unreadable(path)


def is_complete(path: Path) -> bool:
    """Whether the file is whole, whatever its voxels are."""
    try:
        return _looked_through(path)[0]
    except _BROKEN:
        return False


def _looked_through(path: Path, promised: int | None = None) -> tuple[bool, int]:
    """Whether it is whole, and how many voxels of a NIfTI file are NaN or infinite. Raises one of _BROKEN."""
    extension = extension_of(path)
    if extension in NIFTI:
        return True, count_not_finite(path)
    return (
        (extension not in (".jpg", ".jpeg") or _jpeg_complete(path.read_bytes()))
        and (extension != ".png" or _PNG_END in path.read_bytes())
        and (extension not in (".tif", ".tiff") or tiff_complete(path))
        and (not extension.endswith((".nrrd", ".mha")) or _checksum_right(path, promised))
    ), 0


def _jpeg_complete(data: bytes) -> bool:
    """The end marker must follow the last start of scan; inside a scan its two bytes cannot occur."""
    return data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda") > 0


def _checksum_right(path: Path, promised: int | None) -> bool:
    """Read the zipped voxels of NRRD or MetaImage, where they follow the header, to their checksum."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
        if head.startswith(b"NRRD"):
            end = re.search(rb"\r?\n\r?\n", head)
            zipped = re.search(rb"^encoding: *gz", head[: end.start()] if end else b"", re.M | re.I)
        else:
            end = re.search(rb"^ElementDataFile *= *LOCAL *\r?\n", head, re.M)
            zipped = re.search(rb"^CompressedData *= *True", head[: end.start()] if end else b"", re.M | re.I)
        if not end or not zipped:
            return True
        file.seek(end.end())
        stream = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: zlib or gzip, as the stream says
        unpacked = 0
        while not stream.eof and (chunk := stream.unconsumed_tail or file.read(_CHUNK)):
            unpacked += len(stream.decompress(chunk, _CHUNK))
            if promised is not None and unpacked > promised:
                return False
        return stream.eof
