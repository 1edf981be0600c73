"""Whether review logs are as they were written: their checksums, the count beside them, and a count kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import EngineError, checkpoint
from .decisions import History
from .log import HEADER
from .log_lines import COUNTED, Count, DamagedLog, Lines, count_file, read_count, read_lines

LIMITS = (
    "Checksums and counts have no key: whoever may write this folder can also write a log and its count anew, or "
    "remove both. Keep the answer of verify --json, or a report, elsewhere, and compare with it by --against. Names "
    "are as they were typed, and times are those of the readers' clocks."
)
"""What cannot be seen."""
_BEGINNING = 512
"""Bytes in which a log of ours shows itself."""


@dataclass(frozen=True)
class Verified:
    """A log that was looked at. file: its path from the folder on; lines: that hold, the header too; checksum: of the
    last of them; bad_line: the first that is not as it was written, None where all are; first, last: UTC, "" in an
    empty log; why: in a sentence's words, "" where it holds; caveat: of one that holds."""

    file: str
    lines: int = 0
    checksum: str = ""
    first: str = ""
    last: str = ""
    readers: tuple[str, ...] = ()
    bad_line: int | None = None
    why: str = ""
    caveat: str = ""

    @property
    def holds(self) -> bool:
        return not self.why

    @property
    def sentence(self) -> str:
        entries = max(self.lines - 1, 0)
        number = "no entry" if not entries else f"{entries} {'entry' if entries == 1 else 'entries'}"
        when = f" from {_said(self.first)} to {_said(self.last)} UTC" if self.first else ""
        who = f" by {', '.join(self.readers)}" if self.readers else ""
        if self.holds:
            return f"{self.file} holds: {number}{when}{who}{self.caveat}."
        kept = f"; what stands before it holds: {number}{when}{who}" if self.bad_line and entries else ""
        return f"{self.file} does not hold: {self.why}{kept}."

    def as_dict(self) -> dict[str, Any]:
        names = ("file", "holds", "lines", "checksum", "first", "last", "bad_line", "sentence")
        return {name: getattr(self, name) for name in names} | {"readers": list(self.readers)}


def verify_folder(folder: Path, earlier: Mapping[str, Count] | None = None) -> list[Verified]:
    """Each log in a folder and below it, or the one that is named.

    earlier: what was known of them before, by file as `Verified` names it. Raises EngineError("missing-folder",
    "no-review-log").
    """
    if not folder.exists():
        raise EngineError("missing-folder", f"{folder.name} is not there; check its name and place.")
    earlier = earlier or {}
    root = folder if folder.is_dir() else folder.parent
    logs = sorted({*find_logs(folder), *(root / name for name in earlier)} if folder.is_dir() else {folder})
    if not logs:
        raise EngineError(
            "no-review-log",
            f"No review log lies in {folder.resolve().name} or below it; name the folder that holds the reviews.",
        )
    names = {path: path.relative_to(root).as_posix() for path in logs}
    return [verify_log(path, name, earlier.get(name)) for path, name in names.items()]


def find_logs(folder: Path) -> Iterator[Path]:
    """Files that are, or were, review logs; also those of which the count alone is left."""
    for path in sorted(folder.rglob("*")):
        checkpoint()
        if path.name.endswith(".log.count"):
            yield path.with_name(path.name.removesuffix(".count"))
        elif path.suffix == ".log" and path.is_file() and str(HEADER["format"]).encode() in _beginning(path):
            yield path


def verify_log(path: Path, name: str = "", earlier: Count | None = None) -> Verified:
    """One log. earlier: a count of it that was kept elsewhere."""
    name = name or path.name
    try:
        count = read_count(path)  # before the log, to which a writer may add a line meanwhile
        bad_count = ""
    except DamagedLog:
        count, bad_count = None, f"{count_file(path).name} beside it, which counts its lines, is not as it was written"
    except OSError as error:
        return Verified(name, why=f"{count_file(path).name} beside it cannot be read ({error.strerror})")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Verified(name, why="it is gone")
    except OSError as error:
        return Verified(name, why=f"it cannot be read ({error.strerror})")
    try:
        lines, bad = read_lines(data), None
    except DamagedLog as damage:
        lines, bad = damage.before, damage.number
    return _judged(name, lines, bad, count, bad_count, earlier, path)


def _judged(
    name: str, lines: Lines, bad: int | None, count: Count | None, bad_count: str, earlier: Count | None, path: Path
) -> Verified:
    history, unknown = _replayed(lines)
    times = [*(d.at for d in history.decided.values()), *(s.at for s in history.sign_offs.values())]
    times = [str(at) for entry in lines.entries[1:] if (at := _time(entry))] or times
    who = [d.annotator for d in history.decided.values()] + [s.annotator for s in history.sign_offs.values()]
    readers = tuple(dict.fromkeys(name for name in who if name))
    why, caveat = "", ""
    if bad is not None:
        why = f"line {bad} is not as it was written, or the line before it is missing"
    elif not lines.entries:
        why = "" if count is not None and count.agrees(lines) else "it is empty"  # begun this moment
    elif {key: lines.entries[0].get(key) for key in HEADER} != HEADER:
        bad, why = 1, "line 1 is no beginning of a review log that this version knows"
    elif unknown is not None:
        bad, why = unknown, f"line {unknown} holds an entry that this version does not know"
    else:
        why = bad_count or _cut(lines, count, earlier, path)
        if count is None and not why:
            caveat = (
                "; it is of a version that did not count its lines, so that lines which were cut off at its end "
                "cannot be seen"
            )
        elif lines.torn and not why:
            caveat = "; after it stands a line that was begun and not finished, which counted for nobody"
    checksum = lines.checksums[-1] if lines.checksums else ""
    first, last = (times[0], times[-1]) if times else ("", "")
    return Verified(name, len(lines.entries), checksum, first, last, readers, bad, why, caveat)


def _replayed(lines: Lines) -> tuple[History, int | None]:
    """What the lines come to, and the first that is no entry."""
    history = History()
    for number, entry in enumerate(lines.entries[1:], 2):
        try:
            history.add(entry)
        except (KeyError, TypeError, ValueError):  # noqa: PERF203
            return history, number
    return history, None


def _cut(lines: Lines, count: Count | None, earlier: Count | None, path: Path) -> str:
    """Why lines are missing at the end, "" where none is known to be."""
    if count is None and lines.entries[0].get(COUNTED):
        return f"{count_file(path).name} beside it, which counts its lines, is gone, and lines may be with it"
    for known, whose in ((count, f"{count_file(path).name} beside it"), (earlier, "what was kept of it elsewhere")):
        if known is None or known.agrees(lines):
            continue
        if known.lines > len(lines.entries):
            return f"{known.lines - len(lines.entries)} of the {known.lines} lines that {whose} counts are missing"
        return f"line {known.lines} is another one than {whose} says"
    if count is not None and count.missing:
        first = count.missing[0]
        had = "a damaged count" if first.get("lines") is None else f"{first['lines']} lines"
        return f"when it was opened at {_said(str(first.get('at')))} UTC it had {first.get('found')} lines, after {had}"
    return ""


def _time(entry: Mapping[str, Any]) -> Any:
    inside = next((entry[key] for key in ("decide", "sign_off", "reopen") if key in entry), entry)
    return inside.get("at") if isinstance(inside, Mapping) else None


def _said(at: str) -> str:
    return at[:16].replace("T", " ")


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_BEGINNING)
    except OSError:
        return b""
