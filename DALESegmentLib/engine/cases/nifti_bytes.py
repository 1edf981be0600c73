"""A look at the bytes of a NIfTI file, for what ITK keeps quiet about.

ITK fills what is missing of a NIfTI file with zeros, passes over a wrong checksum, and turns NaN into 0.
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np

_CHUNK = 1 << 22  # whole voxels of any type
_LARGEST_OFFSET = 1 << 27
_LARGEST_REST = 1 << 26
"""Bytes after the voxels that other programs may have left; more of it is a file made to unpack without end."""


class NiftiHeader:
    """What the header promises. Raises struct.error where it is no NIfTI-1 header."""

    def __init__(self, header: bytes) -> None:
        order = next((o for o in "<>" if struct.unpack_from(o + "i", header)[0] == 348), None)
        if order is None:
            raise struct.error("no NIfTI header")
        sizes = struct.unpack_from(order + "8h", header, 40)
        code, bits = struct.unpack_from(order + "2h", header, 70)
        (offset,) = struct.unpack_from(order + "f", header, 108)
        if not 0 <= offset <= _LARGEST_OFFSET:  # NaN, too
            raise struct.error("no place of the voxels")
        self.offset = max(int(offset), 348)
        self.voxel_bytes = math.prod(max(n, 1) for n in sizes[1 : sizes[0] + 1]) * bits // 8
        self.float_type = {16: np.dtype(order + "f4"), 64: np.dtype(order + "f8")}.get(code)


def count_not_finite(path: Path) -> int:
    """Voxels that are NaN or infinite; reads the file to its end.

    Raises EOFError where bytes are missing; struct.error, zlib.error or gzip.BadGzipFile where wrong.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        header = NiftiHeader(file.read(348))
        file.read(header.offset - 348)
        left, bad = header.voxel_bytes, 0
        while left > 0:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise EOFError(path.name)
            left -= len(chunk)
            if header.float_type is not None:
                voxels = len(chunk) // header.float_type.itemsize  # the last one may be cut
                bad += int(np.count_nonzero(~np.isfinite(np.frombuffer(chunk, header.float_type, voxels))))
        rest = 0
        while chunk := file.read(_CHUNK):  # the checksum stands at the very end
            rest += len(chunk)
            if rest > _LARGEST_REST:
                raise struct.error("more than the header says")
    return bad
