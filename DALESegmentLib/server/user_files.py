"""The files of one user: uploads in parts that are checked and go on where they broke off, and what jobs wrote.

Nothing is unpacked, and no name leads out of the user's folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine.core.errors import EngineError
from ..engine.core.files import replace, sync
from ..engine.rpc.file_names import LARGEST_FILE, MOST_FILES, relative

LINKED = {".npy", ".nii", ".gz", ".nrrd", ".mha", ".dcm", ".tif", ".tiff", ".safetensors", ".pt", ".png", ".jpg"}
"""What no job changes in place: one content under two names is one file."""


@dataclass(frozen=True)
class Limits:
    """Bytes, but for `waiting`: jobs of one user that wait. free: what is left on the disk for others."""

    upload: int = LARGEST_FILE
    disk: int = 200 << 30
    free: int = 2 << 30
    waiting: int = 50


@dataclass(frozen=True)
class Wanted:
    """A file that a client has."""

    name: str
    size: int
    sha256: str


class UserFiles:
    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.root, self._parts = folder / "files", folder / "parts"
        for place in (self.root, self._parts, folder / "tmp"):
            place.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._hashes: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._by_hash: dict[str, str] = {}
        self._used = self._measured()

    def place(self, name: Any) -> Path:
        """Raises EngineError("bad-path") for a name that leads anywhere else, also by a link that lies on its way."""
        path = self.root.joinpath(*relative(name).parts)
        try:
            inside = path.resolve().is_relative_to(self.root)
        except (OSError, RuntimeError):
            inside = False
        if not inside:
            raise EngineError("bad-path", "This name leads out of your folder; give the file another name.")
        return path

    def file(self, name: Any) -> Path:
        """Raises EngineError("no-such-file")."""
        path = self.place(name)
        if not path.is_file():
            raise EngineError("no-such-file", "There is no such file; list the folder to see what is there.")
        return path

    def missing(self, wanted: Iterable[Wanted]) -> list[dict[str, Any]]:
        """Which of these have to be sent, and from which byte on; the others are there afterwards under these names."""
        self._used = self._measured()
        return [{"name": each.name, "offset": self._offset(each)} for each in wanted if not self._have(each)]

    def put(self, each: Wanted, offset: int, piece: bytes, piece_sha256: str) -> dict[str, Any]:
        """Append a piece; with the last one the file takes its place. Raises EngineError("wrong-offset", "checksum",
        "file-too-large", "disk-full", "quota")."""
        target = self.place(each.name)
        self._check_room(each.size, len(piece))
        if hashlib.sha256(piece).hexdigest() != piece_sha256:
            raise EngineError("checksum", "The piece arrived damaged; send it again.")
        with self._lock:
            part = self._part(each)
            there = part.stat().st_size if part.exists() else 0
            if offset != there or offset + len(piece) > each.size:
                raise EngineError("wrong-offset", f"The next piece begins at byte {there}; send it from there.")
            if target.is_dir() or not self._can_lie(target):
                raise EngineError("bad-path", "A folder and a file cannot have one name; give the file another.")
            with part.open("ab") as file:
                file.write(piece)
                if there + len(piece) == each.size:
                    sync(file)
            self._used += len(piece)
            complete = there + len(piece) == each.size
            if complete:
                whole = piece_sha256 if there == 0 else _sha256(part)
                if whole != each.sha256:
                    part.unlink()
                    raise EngineError("checksum", "The file arrived damaged or was changed meanwhile; send it again.")
                target.parent.mkdir(parents=True, exist_ok=True)
                replace(part, target)
                self._remember(target, each.sha256)
            return {"offset": there + len(piece), "complete": complete}

    def listing(self, folder: Any) -> list[dict[str, Any]]:
        """The files below a folder, none where it is missing, names relative to it."""
        base = self.root if folder in ("", ".") else self.place(folder)
        found = []
        for path in _files_in(base):
            with suppress(FileNotFoundError):
                name = path.relative_to(base).as_posix()
                found.append({"name": name, "size": path.stat().st_size, "sha256": self.sha256(path)})
            if len(found) > MOST_FILES:
                raise EngineError("too-many-files", "There are over 20,000 files; list the folders within it.")
        return found

    def sha256(self, path: Path) -> str:
        """Computed once for a file that does not change."""
        key, state = str(path), _state(path)
        known = self._hashes.get(key)
        if known and known[0] == state:
            return known[1]
        value = _sha256(path)
        self._remember(path, value)
        return value

    def drop(self, name: Any) -> None:
        """A file, or a folder with all that is in it."""
        path = self.place(name)
        if not path.exists():
            raise EngineError("no-such-file", "There is no such file; list the folder to see what is there.")
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def forget(self, seconds: float) -> int:
        """Remove files that were not written for so long; returns how many."""
        until, count = time.time() - seconds, 0
        for path in (*_files_in(self.root), *_files_in(self._parts)):
            with suppress(OSError):
                if path.stat().st_mtime < until:
                    path.unlink()
                    count += 1
        for folder in sorted((p for p in self.root.rglob("*") if p.is_dir()), reverse=True):
            with suppress(OSError):
                folder.rmdir()  # only an empty one goes
        return count

    def check_room(self) -> None:
        """Raises EngineError("quota", "disk-full") where a job could write nothing."""
        self._used = self._measured()
        self._check_room(0, 1)

    def _check_room(self, size: int, piece: int) -> None:
        if size > self.limits.upload:
            raise EngineError("file-too-large", f"A file may have {self.limits.upload >> 20} MB; crop or resample it.")
        if self._used + piece > self.limits.disk:
            raise EngineError("quota", f"Your {self.limits.disk >> 20} MB here are used up; remove files.")
        if shutil.disk_usage(self.folder).free - piece < self.limits.free:
            raise EngineError("disk-full", "The server's disk is full; ask who runs it to free some space.")

    def _have(self, each: Wanted) -> bool:
        target = self.place(each.name)
        if target.is_file() and target.stat().st_size == each.size and self.sha256(target) == each.sha256:
            os.utime(target)
            self._remember(target, each.sha256)
            return True
        known = self._by_hash.get(each.sha256)
        source = Path(known) if known else None
        if source is None or not source.is_file() or self.sha256(source) != each.sha256 or not self._can_lie(target):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._parts / f".{os.urandom(8).hex()}"
        with suppress(OSError):
            if source.suffix in LINKED:
                os.link(source, temporary)
            else:
                shutil.copyfile(source, temporary)
            replace(temporary, target)
            temporary.unlink(missing_ok=True)  # a link to itself is left where it was
            self._remember(target, each.sha256)
            return True
        return False

    def _can_lie(self, target: Path) -> bool:
        """Whether no file stands where the target's folders would be, and no folder in its place."""
        above = [path for path in target.parents if path != self.root and path.is_relative_to(self.root)]
        return not target.is_dir() and not any(path.is_file() for path in above)

    def _offset(self, each: Wanted) -> int:
        part = self._part(each)
        there = part.stat().st_size if part.exists() else 0
        if there > each.size or (there == each.size and there):
            part.unlink()
            return 0
        return there

    def _part(self, each: Wanted) -> Path:
        return self._parts / f"{each.sha256}-{each.size}"

    def _remember(self, path: Path, sha256: str) -> None:
        self._hashes[str(path)] = (_state(path), sha256)
        self._by_hash[sha256] = str(path)

    def _measured(self) -> int:
        seen = {}
        for path in (*_files_in(self.root), *_files_in(self._parts)):
            with suppress(OSError):
                about = path.stat()
                seen[about.st_ino] = about.st_size
        return sum(seen.values())


def _files_in(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def _state(path: Path) -> tuple[int, int, int]:
    about = path.stat()
    return about.st_size, about.st_mtime_ns, about.st_ino


def _sha256(path: Path) -> str:
    value = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            value.update(piece)
    return value.hexdigest()
