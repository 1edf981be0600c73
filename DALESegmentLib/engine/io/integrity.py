"""Checks that a file is complete and unharmed, before and after ITK reads or writes it.

ITK reports no error for many damaged files. It

- fills missing voxels of NIfTI and JPEG with zeros or grey, and drops missing pages of a TIFF,
- ignores wrong checksums of gzip, NRRD and MetaImage, and turns NaN in a NIfTI file into 0,
- trusts headers: a wrong one makes it allocate terabytes, read another file as voxels, or crash,
- reports success where a full disk took only half of what it wrote.

`check_complete` compares the bytes with the format. `check_promise` compares the size that a header states with the
file and the free memory, before anything is allocated.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from ..core.errors import EngineError
from ..core.memory import available_memory
from .case import NIFTI, PICTURES, extension_of
from .checks import not_finite, unreadable

_CHUNK = 1 << 22
_HEADER_BYTES = 1 << 20
_PNG_END = b"IEND\xaeB`\x82"


_BROKEN = (EOFError, OSError, zlib.error, struct.error)


def check_complete(path: Path, promised: int | None = None) -> None:
    """promised: bytes of voxels its header speaks of; nothing is unpacked far beyond these.

    Raises EngineError("unreadable-file"), or ("image-not-finite") for a NIfTI file with NaN."""
    try:
        complete, bad = _check_format(path, promised)
    except _BROKEN as error:
        raise unreadable(path) from error
    if bad:
        raise not_finite(path.name, bad)
    if not complete:
        raise unreadable(path)


def is_complete(path: Path) -> bool:
    """Whether the file is whole, whatever its voxels are."""
    try:
        return _check_format(path)[0]
    except _BROKEN:
        return False


def _check_format(path: Path, promised: int | None = None) -> tuple[bool, int]:
    """Whether it is whole, and how many voxels of a NIfTI file are NaN or infinite. Raises one of _BROKEN."""
    extension = extension_of(path)
    if extension in NIFTI:
        return True, count_not_finite(path)
    if extension in PICTURES:
        return _picture_complete(path), 0
    return not extension.endswith((".nrrd", ".mha")) or _checksum_right(path, promised), 0


def is_tiff(path: Path) -> bool:
    """By its first bytes, whatever its ending."""
    with path.open("rb") as file:
        return file.read(4)[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _picture_complete(path: Path) -> bool:
    """By what it is, whatever its ending. Raises struct.error."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(b"\xff\xd8"):
        return _jpeg_complete(path.read_bytes())
    if start == b"\x89PNG":
        return _PNG_END in path.read_bytes()
    return tiff_complete(path) if is_tiff(path) else bool(start)


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


_DECOMPRESSED_CHUNK = 1 << 22  # whole voxels of any type
_LARGEST_OFFSET = 1 << 27
_LARGEST_REST = 1 << 26
"""Bytes after the voxels that other programs may have left; more of it is a file made to unpack without end."""


class NiftiHeader:
    """What the header states. Raises struct.error where it is no NIfTI header."""

    def __init__(self, header: bytes) -> None:
        order = next((o for o in "<>" if struct.unpack_from(o + "i", header)[0] in (348, 540)), None)
        if order is None:
            raise struct.error("no NIfTI header")
        if struct.unpack_from(order + "i", header)[0] == 348:
            sizes = struct.unpack_from(order + "8h", header, 40)
            code, bits = struct.unpack_from(order + "2h", header, 70)
            (offset,) = struct.unpack_from(order + "f", header, 108)
            self.spacing = struct.unpack_from(order + "3f", header, 80)
        else:  # NIfTI-2
            sizes = struct.unpack_from(order + "8q", header, 16)
            code, bits = struct.unpack_from(order + "2h", header, 12)
            (offset,) = struct.unpack_from(order + "q", header, 168)
            self.spacing = struct.unpack_from(order + "3d", header, 112)
        if not 0 <= offset <= _LARGEST_OFFSET:  # NaN, too
            raise struct.error("no place of the voxels")
        self.offset = max(int(offset), 348)
        self.voxel_bytes = math.prod(max(n, 1) for n in sizes[1 : sizes[0] + 1]) * bits // 8
        self.float_type = {16: np.dtype(order + "f4"), 64: np.dtype(order + "f8")}.get(code)


def nifti_header(path: Path) -> NiftiHeader:
    """Raises struct.error, OSError, EOFError or zlib.error where it is none."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        return NiftiHeader(file.read(540))


def count_not_finite(path: Path) -> int:
    """Voxels that are NaN or infinite; reads the file to its end.

    Raises EOFError where bytes are missing; struct.error, zlib.error or gzip.BadGzipFile where wrong.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        start = file.read(540)
        header = NiftiHeader(start)
        file.seek(header.offset)
        left, bad = header.voxel_bytes, 0
        while left > 0:
            chunk = file.read(min(_DECOMPRESSED_CHUNK, left))
            if not chunk:
                raise EOFError(path.name)
            left -= len(chunk)
            if header.float_type is not None:
                voxels = len(chunk) // header.float_type.itemsize  # the last one may be cut
                bad += int(np.count_nonzero(~np.isfinite(np.frombuffer(chunk, header.float_type, voxels))))
        rest = 0
        while chunk := file.read(_DECOMPRESSED_CHUNK):  # the checksum stands at the very end
            rest += len(chunk)
            if rest > _LARGEST_REST:
                raise struct.error("more than the header says")
    return bad


STRIPS, TILES = (273, 279), (324, 325)  # tags: offsets, byte counts
_KINDS = {3: "H", 4: "I", 16: "Q"}


def tiff_complete(path: Path) -> bool:
    """Does every page's directory and every strip or tile lie inside the file? Raises struct.error."""
    size = path.stat().st_size
    with path.open("rb") as file:
        return all(
            offset + count <= size
            for page in _pages(file, size)
            for offsets, counts in (STRIPS, TILES)
            for offset, count in zip(page.get(offsets, ()), page.get(counts, ()), strict=False)
        )


def _pages(file: BinaryIO, size: int) -> Iterator[dict[int, tuple[int, ...]]]:
    """Of each page, the numbers under the tags that say where its pixels lie."""
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise struct.error("no TIFF header")
    big = struct.unpack_from(order + "H", head, 2)[0] == 43
    word, counter, entry_bytes = ("Q", "Q", 20) if big else ("I", "H", 12)
    (place,) = struct.unpack_from(order + word, head, 8 if big else 4)
    seen: set[int] = set()
    while place and place not in seen:
        seen.add(place)
        file.seek(place)
        (entries,) = _unpack(file, order + counter)
        table = file.read(entries * entry_bytes)
        (place,) = _unpack(file, order + word)
        page = {}
        for at in range(0, entries * entry_bytes, entry_bytes):
            tag, kind, count = struct.unpack_from(order + "HH" + word, table, at)
            if tag in (*STRIPS, *TILES) and kind in _KINDS:
                value = table[at + 4 + struct.calcsize(order + word) : at + entry_bytes]
                page[tag] = _numbers(file, size, order, word, f"{order}{count}{_KINDS[kind]}", value)
        yield page


def _numbers(file: BinaryIO, size: int, order: str, word: str, code: str, value: bytes) -> tuple[int, ...]:
    """An entry's numbers: in the entry itself, or where it points."""
    length = struct.calcsize(code)
    if length <= len(value):
        return struct.unpack(code, value[:length])
    (place,) = struct.unpack(order + word, value)
    if place + length > size:
        raise struct.error("list outside the file")
    file.seek(place)
    return _unpack(file, code)


def _unpack(file: BinaryIO, code: str) -> tuple[int, ...]:
    return struct.unpack(code, file.read(struct.calcsize(code)))


_LONGEST_HEADER = 1 << 20
_SMALL, _LARGE = 1 << 24, 1 << 30
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
    check_size(path, promised, voxels, packed=_is_detached(path))
    return promised


def check_size(path: Path, promised: int, voxels: int, packed: bool = False) -> None:
    """promised: bytes that the file says it unpacks to; voxels: how many numbers of four bytes become of them. packed:
    what it unpacks to lies elsewhere, or was looked at.

    Raises EngineError("file-too-large") where they cannot come out of a file of its size, or do not fit into memory.
    """
    if not packed and promised > _LARGE and promised > _DENSE * path.stat().st_size:
        raise EngineError(
            "file-too-large",
            f"{path.name} says that it unpacks to {promised / 1e9:.1f} GB, more than a file of its size holds; "
            "it is damaged or made to do harm, so copy it again from its source.",
        )
    needed = promised + 4 * voxels
    if needed <= _SMALL:  # asking the system would take longer than reading
        return
    free = available_memory()
    if needed > free:
        raise EngineError(
            "file-too-large",
            f"{path.name} needs {needed / 1e9:.1f} GB of memory, but {free / 1e9:.1f} GB are free; "
            "crop or resample it first, or close other programs.",
        )


def _check_text_header(path: Path) -> None:
    """MetaImage and NRRD: axes that can be, and voxels in this file or beside it."""
    extension = extension_of(path)
    if extension not in (".mha", ".mhd", ".nrrd", ".nhdr", ".seg.nrrd"):
        return
    with path.open("rb") as file:
        head = file.read(_LONGEST_HEADER)
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
