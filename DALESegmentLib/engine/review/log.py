"""The review log: an append-only file that holds every decision before it counts. See docs/formats.md.

A line is `<checksum> <JSON object>\\n`. The checksum (BLAKE2b, 128 bits, in hex) is that of the previous line's
checksum followed by the JSON, so that a lost or changed line is detected. An incomplete last line, which a crash left,
was never confirmed to anybody and is ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from ..core.errors import EngineError
from ..core.files import not_written, only_owner, replacing, sync
from ..dale.issues import Region
from .decisions import Decision, History, ReviewState, Verdict, replay
from .reviewed_voxels import TrustedVoxels

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


HEADER = {"format": "dalesegment-review-log", "version": 1}

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(timezone.utc)


class ReviewLog:
    """A log open for writing, made by `open_log`. `state` is what all its decisions come to."""

    def __init__(self, path: Path, file: BinaryIO, lines: Lines, clock: Clock) -> None:
        self._path = path
        self._file = file
        self._history = _history(path, lines)
        self._checksum, self._end = lines.checksum, lines.end
        self._clock = clock

    @property
    def state(self) -> ReviewState:
        return self._history.state()

    def decide(self, region: Region, verdict: Verdict, annotator: str, voxels: TrustedVoxels | None = None) -> int:
        """Note a decision about a region; returns its number once it is on the disk.

        voxels: what it vouches for. Raises EngineError("disk-full", "cannot-write"); the log is then as before.
        """
        return self._append({"decide": Decision.about(region, verdict, annotator, self._at(), voxels).as_dict()})

    def note_edit(self, case: str, annotator: str, voxels: TrustedVoxels) -> int:
        """Note voxels that were edited outside the listed regions. As `decide`."""
        return self._append({"decide": Decision(case, "corrected", annotator, self._at(), voxels=voxels).as_dict()})

    def undo(self, number: int) -> int:
        """Take a decision back; it stays in the log. Raises EngineError("nothing-to-undo") and as `decide`."""
        if not self._history.can_undo(number):
            raise EngineError(
                "nothing-to-undo", f"Decision {number} is not there or was taken back before; choose another one."
            )
        return self._append({"undo": number, "at": self._at()})

    def _at(self) -> str:
        return self._clock().isoformat(timespec="seconds")

    def _append(self, entry: Mapping[str, Any]) -> int:
        line, checksum = make_line(entry, self._checksum)
        try:
            if os.fstat(self._file.fileno()).st_size > self._end:
                self._file.truncate(self._end)  # what a write that failed left, or all that follows would be lost
            _write(self._file, line)
        except OSError as error:
            with suppress(OSError):  # else before the next line; a reader passes over half a line
                self._file.truncate(self._end)
            raise not_written(self._path.name, self._path.parent, error) from error
        self._checksum, self._end = checksum, self._end + len(line)
        self._history.add(entry)
        return self._history.length


@contextmanager
def open_log(path: Path | str, clock: Clock = now) -> Iterator[ReviewLog]:
    """The log in a file, made where it is not there, for a `with` block. What a crash left of a last line is cut off.

    Raises EngineError("review-in-use") where another process has it open, ("review-log-damaged", "cannot-write",
    "disk-full").
    """
    path = Path(path)
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(only_owner(path.with_name(path.name + ".lock"), _in_use(path)))
            lines = _whole(path, _bytes(path))
            file = stack.enter_context(path.open("ab", buffering=0))
            if lines.torn:
                file.truncate(lines.end)
            log = ReviewLog(path, file, lines if lines.entries else _begun(file), clock)
        except OSError as error:
            raise not_written(path.name, path.parent, error) from error
        yield log


def read_log(path: Path | str) -> ReviewState:
    """What the decisions in a file come to, without locking or changing it; nothing where it is not there.

    Raises EngineError("review-log-damaged", "cannot-read").
    """
    path = Path(path)
    return _history(path, _whole(path, _bytes(path))).state()


def save_state(state: ReviewState, path: Path | str) -> None:
    """The decisions that stand as one JSON file, for programs that do not replay. Raises the errors of `replacing`."""
    standing = [{"number": number, **decision.as_dict()} for number, decision in state.standing.items()]
    text = json.dumps({"format": "dalesegment-review-state", "version": 1, "standing": standing}, indent=1)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def load_state(path: Path | str) -> ReviewState:
    """What `save_state` wrote. Raises EngineError("review-log-damaged")."""
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return ReviewState({int(entry["number"]): Decision.from_dict(entry) for entry in data["standing"]})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(
            "review-log-damaged", f"{path.name} cannot be read; it is rebuilt from the review log."
        ) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise EngineError(
            "cannot-read", f"{path.name} cannot be read ({error.strerror}); check the disk and your rights."
        ) from error


def _whole(path: Path, data: bytes) -> Lines:
    try:
        lines = read_lines(data)
    except DamagedLog as damage:
        raise _damaged(path, f"line {damage.number} is not as it was written") from damage
    if lines.entries and {key: lines.entries[0].get(key) for key in HEADER} != HEADER:
        raise _damaged(path, "it does not begin as a review log of this version does")
    return lines


def _begun(file: BinaryIO) -> Lines:
    line, checksum = make_line(HEADER, b"")
    _write(file, line)
    return Lines([dict(HEADER)], checksum, len(line), 0)


def _write(file: BinaryIO, line: bytes) -> None:
    """All of it, and on the disk: a key press counts only then."""
    rest = memoryview(line)
    while rest:
        rest = rest[file.write(rest) :]
    sync(file)


def _history(path: Path, lines: Lines) -> History:
    try:
        return replay(lines.entries[1:])  # the first line is the header
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, "it holds an entry this version does not know") from error


def _damaged(path: Path, what: str) -> EngineError:
    return EngineError(
        "review-log-damaged",
        f"The review log {path.name} is damaged ({what}) and was left untouched; take it from a backup.",
    )


def _in_use(path: Path) -> Callable[[str], EngineError]:
    return lambda owner: EngineError(
        "review-in-use",
        f"{path.name} is open for a review by {owner}; close that one first, or use another folder.",
    )
