"""Files that come and go through the lines, where the engine and who asks it share no disk.

They lie in one folder of the process, made at first need and gone with it. Names are relative to it and say nothing
about any other place. Standard library only.
"""

from __future__ import annotations

import base64
import binascii
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from DALESegmentLib.engine.errors import EngineError

from .protocol import bad_request

PIECE = 8 << 20
"""Bytes of a file in one line, of which Base64 makes a third more."""
LARGEST_FILE = 32 << 30
MOST_FILES = 20_000
_LONGEST_NAME = 1000
_FORBIDDEN = set('\\:*?"<>|')


def relative(name: Any) -> PurePosixPath:
    """The name as a path below a folder, on any system. Raises EngineError("bad-path") for one that leads elsewhere."""
    text = name if isinstance(name, str) else ""
    parts = text.split("/")
    if len(text) > _LONGEST_NAME or not all(_fits(part) for part in parts):
        raise EngineError("bad-path", "A file's name leads elsewhere or fits no system; give the file another name.")
    return PurePosixPath(*parts)


def _fits(part: str) -> bool:
    plain = part.isprintable() and not _FORBIDDEN & set(part)
    return plain and bool(part) and part[0] not in ". " and part[-1] not in ". "


class Spool:
    """put, get, files and drop, the commands of docs/protocol.md under "Files through the lines"."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="dalesegment-")).resolve()
        return self._folder

    def put(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Write a piece of a file; pieces come in order, and the first one makes the file anew."""
        path, at = self._place(asked, "file"), self._at(asked)
        try:
            data = base64.b64decode(asked.get("data", ""), validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise bad_request("The data of put are a text in Base64.") from None
        if at + len(data) > LARGEST_FILE:
            raise EngineError("file-too-large", f"{path.name} is over 32 GB; crop or resample it first.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb" if at == 0 else "r+b") as file:
            if file.seek(0, 2) != at:
                raise bad_request(f"The pieces of {path.name} come in order, from its beginning.")
            file.write(data)
        return {"size": at + len(data)}

    def get(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A piece of a file, and the size of all of it."""
        path, at = self._place(asked, "file"), self._at(asked)
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(at)
            return {"size": size, "data": base64.b64encode(file.read(PIECE)).decode("ascii")}

    def files(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The files below a folder, none where it is missing, and its path for the parameters of other commands."""
        folder = self._place(asked, "folder")
        found = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())[:MOST_FILES]
        listed = [{"file": p.relative_to(folder).as_posix(), "size": p.stat().st_size} for p in found]
        return {"path": str(folder), "files": listed}

    def drop(self, asked: dict[str, Any]) -> dict[str, Any]:
        shutil.rmtree(self._place(asked, "folder"), ignore_errors=True)
        return {}

    def remove(self) -> None:
        """With everything in it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _place(self, asked: dict[str, Any], kind: str) -> Path:
        unknown = sorted(set(asked) - {kind, "at", "data"})
        if unknown:
            raise bad_request(f"There is no parameter {unknown[0][:40]!r}; leave it out.")
        return self.folder.joinpath(*relative(asked.get(kind)).parts)

    @staticmethod
    def _at(asked: dict[str, Any]) -> int:
        at = asked.get("at", 0)
        if not isinstance(at, int) or isinstance(at, bool) or at < 0:
            raise bad_request("Where a piece begins is a whole number, from 0.")
        return at
