"""The log of a worklist: a line each time a case is left. Of several about a case and a reader the last counts."""

from __future__ import annotations

import csv
import errno
import io
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..engine.core.errors import EngineError
from ..engine.core.files import not_written, replacing, sync
from ..engine.io.csv_files import read_csv

COLUMNS = ("case", "verdict", "reader", "shown", "seconds", "keys", "decisions", "model", "score")


def appendRow(path: Path, row: dict[str, Any]) -> None:
    """A whole line or nothing of it, to which the next one would be appended. Raises EngineError "cannot-write",
    "disk-full"."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _widen(path)
        with path.open("ab", buffering=0) as file:
            size = file.tell()
            if not size:
                writer.writeheader()
            writer.writerow(row)
            line = text.getvalue().encode()
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, "only a part was written")
                sync(file)
            except OSError:
                with suppress(OSError):
                    file.truncate(size)
                raise
    except OSError as error:
        raise not_written(path.name, path.parent, error) from error


def _widen(path: Path) -> None:
    """Give a log of an earlier version, which had fewer columns, those of this one."""
    if not path.is_file() or path.read_bytes().split(b"\n", 1)[0].rstrip(b"\r") in (b"", ",".join(COLUMNS).encode()):
        return
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(readRows(path))
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def readRows(path: Path) -> list[dict[str, str]]:
    """Its rows, also where a spreadsheet program saved it with semicolons. Raises EngineError "unreadable-file"."""
    if not path.is_file():
        return []
    try:
        return [
            row
            for row in read_csv(path)
            if row["reader"] is not None and float(row["seconds"]) >= 0 <= int(row["keys"])
        ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise EngineError(
            "unreadable-file",
            f"“{path.name}” in “{path.parent.name}” is damaged; move it away and open the list again.",
        ) from error
