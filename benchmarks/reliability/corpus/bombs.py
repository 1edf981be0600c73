"""Small files that would unpack to gigabytes."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .entry import Entry, good_pair, reading

UNIT = bytes(1 << 26)


def bombs(folder: Path) -> Iterator[Entry]:
    image, label = good_pair(folder / "good")
    for claimed, unpacked, what in (
        ((2000, 2000, 2000), 8, "as large as it says"),
        ((40, 30, 8), 8, "larger than it says"),
        ((32000, 32000, 32000), 1, "smaller than it says"),
    ):
        for path in (
            _nifti(folder / "bomb.nii.gz", claimed, unpacked),
            _nrrd(folder / "bomb.nrrd", claimed, unpacked),
            _meta(folder / "bomb.mha", claimed, unpacked),
        ):
            yield reading(f"{path.suffix[1:]} of {unpacked} GB, {what}", path, label)
            yield reading(f"{path.suffix[1:]} label of {unpacked} GB, {what}", image, path)
    yield reading("png of 10 GB", _png(folder / "bomb.png", 100_000), None)
    yield reading("gzip of 4 GB that is no image", _plain(folder / "zeros.nii.gz", 4), label)


@cache
def _gzipped(gigabytes: int) -> bytes:
    """Zeros; a gzip file may be one stream after the other."""
    return gzip.compress(UNIT) * (gigabytes << 4)


@cache
def _deflated(gigabytes: int) -> bytes:
    """Zeros in one zlib stream: blocks that depend on none before them can be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    unit = packer.compress(UNIT) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = ((gigabytes << 30) % 65521 << 16) | 1  # Adler-32 of so many zeros
    return b"\x78\xda" + unit * (gigabytes << 4) + b"\x03\x00" + struct.pack(">I", checksum)


def _nifti(path: Path, size: tuple[int, int, int], gigabytes: int) -> Path:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *size, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)
    struct.pack_into("<8f", header, 76, *(1.0,) * 8)
    struct.pack_into("<f", header, 108, 352.0)
    header[344:348] = b"n+1\0"
    path.write_bytes(gzip.compress(bytes(header)) + _gzipped(gigabytes))
    return path


def _nrrd(path: Path, size: tuple[int, int, int], gigabytes: int) -> Path:
    sizes = " ".join(str(n) for n in size)
    head = f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: {sizes}\nencoding: gzip\n\n"
    path.write_bytes(head.encode() + _gzipped(gigabytes))
    return path


def _meta(path: Path, size: tuple[int, int, int], gigabytes: int) -> Path:
    packed = _deflated(gigabytes)
    head = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = True\nCompressedDataSize = {len(packed)}\n"
        f"DimSize = {size[0]} {size[1]} {size[2]}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )
    path.write_bytes(head.encode() + packed)
    return path


def _png(path: Path, edge: int) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", edge, edge, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", _deflated(10)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return path


def _plain(path: Path, gigabytes: int) -> Path:
    path.write_bytes(_gzipped(gigabytes))
    return path
