"""The output folder: new, or an earlier demonstration's, of which exactly what that one wrote is removed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from DALESegmentLib.engine.core.errors import EngineError

RECORD = ".made-by-dalesegment-demo.json"
"""Names every file a demonstration wrote; the next one removes these and no others."""


@contextmanager
def output_folder(out: Path) -> Iterator[None]:
    """An empty folder to write to, and at the end, however it ends, a record of what was written.

    Raises EngineError("folder-not-empty") where other files lie there, and "cannot-write".
    """
    try:
        if out.is_dir() and any(out.iterdir()):
            _remove_earlier(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / RECORD).write_text("[]\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise EngineError("cannot-write", f"{out.name} cannot be written to ({error.strerror}).") from error
    try:
        yield
    finally:
        written = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if not p.is_dir())
        (out / RECORD).write_text(json.dumps(written, indent=0) + "\n", encoding="utf-8", newline="\n")


def _remove_earlier(out: Path) -> None:
    """Nothing is removed unless everything there was written by a demonstration."""
    try:
        ours = {out / name for name in json.loads((out / RECORD).read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError):
        ours = set()
    there = {path for path in out.rglob("*") if not path.is_dir() or path.is_symlink()}
    others = sorted(there - ours - {out / RECORD})
    if others or not (out / RECORD).is_file():
        example = f" (for instance {others[0].relative_to(out)})" if others else ""
        raise EngineError(
            "folder-not-empty",
            f"{out.name} holds files that no demonstration wrote{example}; "
            "move them, or name another folder with --out.",
        )
    for path in there:
        path.unlink()
    for folder in sorted((p for p in out.rglob("*") if p.is_dir()), reverse=True):
        folder.rmdir()
