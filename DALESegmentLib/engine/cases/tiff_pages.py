"""Where the pages of a TIFF lie, because ITK drops missing ones without a word."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

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
