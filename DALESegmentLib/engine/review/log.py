"""The review log: an append-only file that holds every decision before it counts. See docs/formats.md, and `log_lines`
for what its lines look like.

An incomplete last line, which a crash left, was never confirmed to anybody and is ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from ..core.errors import EngineError
from ..core.files import not_written, only_owner, replacing, sync
from ..dale.issues import Region
from .decisions import Decision, History, ReviewState, Verdict, replay
from .log_lines import COUNTED, START, Count, DamagedLog, Lines, make_line, read_count, read_lines, write_count
from .readers import Reader, SignOff, check_open
from .reviewed_voxels import TrustedVoxels

HEADER = {"format": "dalesegment-review-log", "version": 1}

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(timezone.utc)


class ReviewLog:
    """A log open for writing, made by `open_log`. `state` is what all its decisions come to."""

    def __init__(
        self, path: Path, file: BinaryIO, lines: Lines, clock: Clock, missing: Sequence[dict[str, Any]]
    ) -> None:
        self._path = path
        self._file = file
        self._history = _history(path, lines)
        self._checksum, self._end = lines.checksum, lines.end
        self._clock = clock
        self._missing = tuple(missing)
        self._counted = bool(lines.entries[0].get(COUNTED))
        self._count()

    @property
    def state(self) -> ReviewState:
        return self._history.state()

    def decide(
        self,
        region: Region,
        verdict: Verdict,
        annotator: str | Reader,
        voxels: TrustedVoxels | None = None,
        reason: str = "",
    ) -> int:
        """Note a decision about a region; returns its number once it is on the disk.

        voxels: what it vouches for; reason: why, in the reader's words. Raises EngineError("case-signed-off") where the
        case is locked, ("disk-full", "cannot-write"); the log is then as before.
        """
        check_open(self._history.signed().get(region.case))
        decision = Decision.about(region, verdict, annotator, self._at(), voxels, reason)
        return self._append({"decide": decision.as_dict()})

    def note_edit(self, case: str, annotator: str | Reader, voxels: TrustedVoxels, reason: str = "") -> int:
        """Note voxels that were edited outside the listed regions. As `decide`."""
        check_open(self._history.signed().get(case))
        of = Reader.of(annotator)
        signed = of.role, of.instruction, reason
        decision = Decision(case, "corrected", of.name, self._at(), None, None, None, voxels, *signed)
        return self._append({"decide": decision.as_dict()})

    def sign_off(
        self, case: str, score: int, annotator: str | Reader, reason: str = "", *, for_all: bool = False
    ) -> int:
        """Give a case its verdict and lock it. score: of `readers.SCORES`. Raises as `decide`."""
        check_open(self._history.signed().get(case))
        return self._sign("sign_off", case, score, Reader.of(annotator), reason, for_all)

    def reopen(self, case: str, annotator: str | Reader, reason: str) -> int:
        """Unlock a case. Raises EngineError("not-signed-off") where it is not locked, and as `decide`."""
        if case not in self._history.signed():
            raise EngineError("not-signed-off", f"{case} is not signed off here; there is nothing to reopen.")
        return self._sign("reopen", case, None, Reader.of(annotator), reason, False)

    def _sign(self, kind: str, case: str, score: int | None, of: Reader, reason: str, for_all: bool) -> int:
        signed = SignOff(case, score, of.name, self._at(), of.role, of.instruction, reason, for_all)
        return self._append({kind: signed.as_dict()})

    def undo(self, number: int) -> int:
        """Take a decision back; it stays in the log. Raises EngineError("nothing-to-undo") and as `decide`."""
        if not self._history.can_undo(number):
            raise EngineError(
                "nothing-to-undo", f"Decision {number} is not there or was taken back before; choose another one."
            )
        check_open(self._history.signed().get(self._history.decided[number].case))
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
        self._count()
        return self._history.length

    def _count(self) -> None:
        """A log without a header of that kind has none. Where it cannot be written it stays behind; the line counts."""
        if self._counted:
            with suppress(OSError, EngineError):
                write_count(self._path, Count(self._history.length + 1, self._checksum.decode(), self._missing))


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
            missing = _missing(path, lines, clock)
            file = stack.enter_context(path.open("ab", buffering=0))
            if lines.torn:
                file.truncate(lines.end)
            log = ReviewLog(path, file, lines if lines.entries else _begun(path, file, missing), clock, missing)
        except OSError as error:
            raise not_written(path.name, path.parent, error) from error
        yield log


def read_log(path: Path | str) -> ReviewState:
    """What the decisions in a file come to, without locking or changing it; nothing where it is not there.

    Raises EngineError("review-log-damaged", "cannot-read").
    """
    return read_history(path).state()


def read_history(path: Path | str) -> History:
    """As `read_log`, with what was taken back or decided anew."""
    path = Path(path)
    return _history(path, _whole(path, _bytes(path)))


def save_state(state: ReviewState, path: Path | str) -> None:
    """The decisions that stand as one JSON file, for programs that do not replay. Raises the errors of `replacing`."""
    standing = [{"number": number, **decision.as_dict()} for number, decision in state.standing.items()]
    about = {"format": "dalesegment-review-state", "version": 1}
    text = json.dumps({**about, "standing": standing, "signed": [s.as_dict() for s in state.signed.values()]}, indent=1)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def load_state(path: Path | str) -> ReviewState:
    """What `save_state` wrote. Raises EngineError("review-log-damaged")."""
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        signed = [SignOff.from_dict(entry) for entry in data.get("signed", ())]
        standing = {int(entry["number"]): Decision.from_dict(entry) for entry in data["standing"]}
        return ReviewState(standing, {each.case: each for each in signed})
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


def _missing(path: Path, lines: Lines, clock: Clock) -> list[dict[str, Any]]:
    """What the count beside a log knows to be missing, now too."""
    try:
        count = read_count(path)
    except DamagedLog:
        return [{"lines": None, "found": len(lines.entries), "at": clock().isoformat(timespec="seconds")}]
    if count is None:
        lost = bool(lines.entries and lines.entries[0].get(COUNTED))
        count = Count()
    else:
        lost = not count.agrees(lines)
    known = list(count.missing)
    if lost:
        known.append(
            {
                "lines": count.lines or None,
                "found": len(lines.entries),
                "at": clock().isoformat(timespec="seconds"),
            }
        )
    return known


def _begun(path: Path, file: BinaryIO, missing: Sequence[dict[str, Any]]) -> Lines:
    write_count(path, Count(missing=tuple(missing)))  # before the header, which says that there is one
    header = {**HEADER, COUNTED: True}
    line, checksum = make_line(header, START)
    _write(file, line)
    return Lines([header], checksum, len(line), 0, [checksum.decode()])


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
