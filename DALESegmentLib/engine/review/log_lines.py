"""The lines of a review log: each is bound to all before it by a checksum, so that none can be lost unnoticed.

A line is `<checksum> <JSON object>\n`. The checksum (BLAKE2b, 128 bits, in hex) is that of the previous line's
checksum followed by the JSON. What a crash left of the last line was never confirmed to anybody and is passed over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

START = b""
"""What comes before the first line."""
_DIGITS = 32


@dataclass(frozen=True)
class Lines:
    """entries: the JSON objects of the whole lines; checksum: of the last; end: bytes up to there."""

    entries: list[dict[str, Any]]
    checksum: bytes
    end: int
    torn: int
    """Bytes of an unfinished line at the end."""


class DamagedLog(ValueError):
    """A whole line whose checksum is wrong. before: what stands before it."""

    def __init__(self, number: int, before: Lines) -> None:
        super().__init__(f"line {number}")
        self.number = number
        self.before = before


def make_line(entry: Mapping[str, Any], previous: bytes) -> tuple[bytes, bytes]:
    """The line of an entry after the line with the checksum `previous`, and its own checksum."""
    body = json.dumps(entry, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")
    checksum = _checksum(previous, body)
    return checksum + b" " + body + b"\n", checksum


def read_lines(data: bytes) -> Lines:
    """Raises DamagedLog where a whole line is not what was written."""
    entries: list[dict[str, Any]] = []
    checksum, end = START, 0
    while (stop := data.find(b"\n", end)) >= 0:
        entry = _entry(data[end:stop], checksum)
        if entry is None:
            raise DamagedLog(len(entries) + 1, Lines(entries, checksum, end, len(data) - end))
        entries.append(entry)
        checksum, end = data[end : end + _DIGITS], stop + 1
    return Lines(entries, checksum, end, len(data) - end)


def _entry(line: bytes, previous: bytes) -> dict[str, Any] | None:
    checksum, space, body = line[:_DIGITS], line[_DIGITS : _DIGITS + 1], line[_DIGITS + 1 :]
    if space != b" " or checksum != _checksum(previous, body):
        return None
    try:
        entry = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _checksum(previous: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(previous + body, digest_size=_DIGITS // 2).hexdigest().encode("ascii")
