"""Transfers files between a client and an engine that share no disk: both sides.

The client's side writes what it receives only below the folder that was asked for, under checked names of known kinds,
and within the bounds below; it executes nothing. The engine's side (`Spool`) keeps files in one folder of the process,
which is made when it is first needed and removed with the process. Names are relative to it. Standard library only.
"""

from __future__ import annotations

import base64
import binascii
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..core.errors import Check, EngineError
from ..core.files import is_windows_name, replacing
from .client import EngineClient
from .protocol import bad_request

LARGEST_ANSWER = 64 << 30
"""Bytes of all files that one request brings back."""
KINDS = {".json", ".csv", ".npy", ".safetensors", ".pt", ".nii", ".gz", ".nrrd", ".mha", ".png", ".tif", ".tiff"}
KINDS |= {".jpg", ".jpeg", ".bmp", ".txt", ".md", ".html", ".ts", ".onnx", ".dcm", ".tsv"}
NAMES = {"LICENSE"}

Listing = frozenset[tuple[str, int, int]]  # name below the folder, bytes, time
Moved = Callable[[str, float], None]
"""Told of each piece: which file, and which share of all is done."""


@dataclass
class Carrier:
    """Carries for one engine; remembers what is there already."""

    engine: EngineClient
    check: Check
    moved: Moved
    _there: dict[Path, tuple[Listing, str]] = field(default_factory=dict)
    _used: set[Path] = field(default_factory=set)
    _count: int = 0

    def begin(self, check: Check, moved: Moved) -> None:
        """Another request: make room there for it, since what is no longer here will not be asked for again."""
        self.check, self.moved, self._used = check, moved, set()
        for path in [path for path in self._there if not path.exists()]:
            there = self._there.pop(path)[1].replace("\\", "/").split("/")
            with suppress(EngineError):
                self._asked("drop", {"folder": "/".join(there[-2:])})

    def new_name(self, name: str) -> str:
        """A name in the engine's folder that nothing has."""
        self._count += 1
        plain = re.sub(r"[^\w.-]+", "_", name).strip("._")
        return f"{self._count}/{plain if is_windows_name(plain) else 'files'}"

    def path_of(self, name: str) -> str:
        """The path there of a name in the engine's folder."""
        return self._asked("files", {"folder": name})["path"]

    def holds(self, name: str) -> bool:
        """Whether there are files of that name."""
        return bool(self._asked("files", {"folder": name})["files"])

    def send(self, path: Path) -> str:
        """A folder, or a file and what lies beside it under the same name up to the extension (as the voxels of a
        header do); returns its path there. What is there unchanged is not sent again."""
        path = path.absolute()
        if not path.exists():
            raise EngineError("missing-file", f"{path.name} is not there; choose it again.")
        base = path if path.is_dir() else path.parent
        files = _files_in(path) if path.is_dir() else _with_its_voxels(path)
        listing = _listing(base, files)
        self._used |= {file.absolute() for file in files}
        known = self._known(path, listing)
        if known is None:
            name = self.new_name(base.name)
            total, done = sum(size for _, size, _ in listing) or 1, 0
            for file in files:
                done = self._put(file, f"{name}/{file.relative_to(base).as_posix()}", done, total)
            known = self.path_of(name)
            self._there[path] = (listing, known)
        return known if path.is_dir() else f"{known}/{path.name}"

    def fetch(self, name: str, folder: Path, leave: Callable[[Path], bool] = lambda _: False) -> None:
        """What the engine has under the name, into the folder. Raises EngineError("remote-answer") for anything that
        is no result, ("file-too-large"), ("would-overwrite") where it would replace what the request was about: the
        engine there cannot see that. leave: whether a file that is here already is to be left as it is."""
        listed = self._asked("files", {"folder": name})
        wanted = [_checked(each) for each in listed["files"] if not _is_passing(each)]
        total = sum(size for _, size in wanted) or 1
        if total > LARGEST_ANSWER or len(wanted) > MOST_FILES:
            raise EngineError("file-too-large", "The results are over 64 GB; ask for fewer cases at a time.")
        targets = [folder.joinpath(*relative(file).parts) for file, _ in wanted]
        self._check_free(targets)
        done = 0
        for (file, size), target in zip(wanted, targets, strict=True):
            if not leave(target):
                done = self._get(f"{name}/{file}", target, size, done, total)

    def remember(self, folder: Path, there: str) -> None:
        """That the folder holds what is at this path there."""
        self._there[folder.absolute()] = (_listing(folder, _files_in(folder)), there)

    def _check_free(self, targets: Iterable[Path]) -> None:
        used = {_folded(path) for path in self._used}
        for target in targets:
            if _folded(target) in used and target.exists():
                raise EngineError(
                    "would-overwrite",
                    f"The result {target.name} would replace a file it is made from; choose another results folder.",
                )

    def _known(self, path: Path, listing: Listing) -> str | None:
        """Where it is there already, unchanged, on its own or within a folder."""
        for folder in (path, *path.parents):
            if folder in self._there:
                there, inside = self._there[folder][1], path.relative_to(folder).as_posix()
                if _below(self._there[folder][0], inside) == listing:
                    return there if inside == "." else f"{there}/{inside}"
        return None

    def _put(self, file: Path, name: str, done: int, total: int) -> int:
        at = 0
        with file.open("rb") as stream:
            while True:
                self.check()
                piece = stream.read(PIECE)
                if piece or at == 0:
                    data = base64.b64encode(piece).decode("ascii")
                    self._asked("put", {"file": name, "at": at, "data": data})
                if not piece:
                    return done + at
                at += len(piece)
                self.moved(f"Sending {file.name}", (done + at) / total)

    def _get(self, name: str, target: Path, size: int, done: int, total: int) -> int:
        at = 0
        with replacing(target) as temporary, temporary.open("wb") as stream:
            while at < size or at == 0:
                self.check()
                try:
                    piece = base64.b64decode(self._asked("get", {"file": name, "at": at})["data"], validate=True)
                except (KeyError, TypeError, ValueError, binascii.Error):
                    raise unusable() from None
                if at + len(piece) > size or (not piece and size):
                    raise unusable()  # more or less than it said
                stream.write(piece)
                at += len(piece)
                self.moved(f"Receiving {target.name}", (done + at) / total)
                if not size:
                    break
        return done + size

    def _asked(self, command: str, parameters: dict[str, Any]) -> Any:
        return self.engine.start(command, parameters).wait(check=self.check)


def _folded(path: Path) -> str:
    """The same for two names of one file where the system tells no capitals apart."""
    return str(path.absolute()).casefold()


def unusable() -> EngineError:
    return EngineError(
        "remote-answer",
        "The engine on the other machine sent what is no result; use the same version of DALESegment on both.",
    )


def _checked(each: Any) -> tuple[str, int]:
    """Name and size of a file to take."""
    try:
        name, size = relative(each["file"]), each["size"]
    except (TypeError, KeyError, EngineError):
        raise unusable() from None
    known = name.suffix.lower() in KINDS or name.name in NAMES
    if not known or not isinstance(size, int) or not 0 <= size <= LARGEST_FILE:
        raise unusable()
    return str(name), size


def _below(listing: Listing, inside: str) -> Listing:
    if inside == ".":
        return listing
    start = inside + "/"
    return frozenset((name[len(start) :], size, at) for name, size, at in listing if name.startswith(start))


def _is_passing(each: Any) -> bool:
    """Locks, and files that were being written when it ended."""
    name = str(each.get("file", "")) if isinstance(each, dict) else ""
    return name.endswith("run.lock") or any(
        part.startswith(".") and part not in (".", "..") for part in name.split("/")
    )


def _files_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _with_its_voxels(path: Path) -> list[Path]:
    stem = path.name.split(".")[0]
    return sorted(p for p in path.parent.iterdir() if p.is_file() and p.name.split(".")[0] == stem)


def _listing(base: Path, files: list[Path]) -> Listing:
    stats = [(file.relative_to(base).as_posix(), file.stat()) for file in files]
    return frozenset((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


PIECE = 8 << 20
"""Bytes of a file in one line, of which Base64 makes a third more."""
LARGEST_FILE = 32 << 30
MOST_FILES = 20_000
_LONGEST_NAME = 1000


def relative(name: Any) -> PurePosixPath:
    """The name as a path below a folder, on any system. Raises EngineError("bad-path") for one that leads elsewhere."""
    text = name if isinstance(name, str) else ""
    parts = text.split("/")
    if len(text) > _LONGEST_NAME or not all(_fits(part) for part in parts):
        raise EngineError("bad-path", "A file's name leads elsewhere or fits no system; give the file another name.")
    return PurePosixPath(*parts)


def _fits(part: str) -> bool:
    return is_windows_name(part) and part.isprintable() and part[0] not in ". "


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
        """Write a piece of a file; pieces come in order, and the first one replaces the file."""
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
