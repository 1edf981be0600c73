"""The lines of a review log, and the count of them beside it.

A line is `<checksum> <JSON object>\\n`. The checksum (BLAKE2b, 128 bits, in hex) is that of the previous line's
checksum followed by the JSON, so that a lost or changed line is detected.

Lines that were cut off at the end are not seen by the checksums of those before. `<log>.count` beside the log says
how many lines there are and the checksum of the last one. It is written after the line, so that it may be behind, never
ahead; a writer that finds it ahead keeps in it what is missing. Checksum and count have no key: who may write the
folder can write both anew, which only a count that was kept elsewhere shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.files import write_atomically

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
    checksums: list[str] = field(default_factory=list)
    """Of each whole line."""


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
    checksums: list[str] = []
    checksum, end = START, 0
    while (stop := data.find(b"\n", end)) >= 0:
        entry = _entry(data[end:stop], checksum)
        if entry is None:
            raise DamagedLog(len(entries) + 1, Lines(entries, checksum, end, len(data) - end, checksums))
        entries.append(entry)
        checksum, end = data[end : end + _DIGITS], stop + 1
        checksums.append(checksum.decode("ascii"))
    return Lines(entries, checksum, end, len(data) - end, checksums)


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


COUNTED = "counted"
"""In the header of a log that has a count beside it; those of the first version have none."""


@dataclass(frozen=True)
class Count:
    """Lines that a log had, its header too, and the checksum of the last; missing: what was found to be cut off when
    the log was opened, {"lines", "found", "at"} each."""

    lines: int = 0
    checksum: str = ""
    missing: tuple[dict[str, Any], ...] = ()

    def agrees(self, log: Lines) -> bool:
        """Whether the log still has these lines."""
        return self.lines == 0 or (self.lines <= len(log.entries) and log.checksums[self.lines - 1] == self.checksum)


def count_file(log: Path) -> Path:
    return log.with_name(log.name + ".count")


def read_count(log: Path) -> Count | None:
    """What stands beside a log; None without one. Raises DamagedLog where it is not as it was written."""
    try:
        lines = read_lines(count_file(log).read_bytes())
        (told,) = lines.entries
        if lines.torn or not isinstance(told["checksum"], str):
            raise ValueError
        return Count(int(told["lines"]), told["checksum"], tuple(dict(each) for each in told["missing"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedLog(1, Lines([], START, 0, 0)) from error


def write_count(log: Path, count: Count) -> None:
    told = {"lines": count.lines, "checksum": count.checksum, "missing": list(count.missing)}
    write_atomically(count_file(log), make_line(told, START)[0])
