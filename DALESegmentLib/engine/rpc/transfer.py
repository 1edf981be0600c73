"""Files between this computer and a server: sent in pieces as far as they are not there, fetched with their checksums.

What is fetched is written only below the folder that was asked for, under checked names of known kinds; nothing is
executed or unpacked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import Check, EngineError
from ..core.files import is_windows_name, replacing
from .file_names import LARGEST_FILE, MOST_FILES, relative
from .http_client import ServerConnection, in_url, unusable

PIECE = 8 << 20
KINDS = {".json", ".csv", ".npy", ".safetensors", ".pt", ".nii", ".gz", ".nrrd", ".mha", ".png", ".tif", ".tiff"}
KINDS |= {".jpg", ".jpeg", ".bmp", ".txt", ".md", ".html", ".ts", ".onnx", ".dcm", ".tsv", ".jsonl"}
NAMES = {"LICENSE"}
_ATTEMPTS = 5
State = tuple[int, int]


@dataclass
class Carrier:
    """Remembers what was hashed, and which folder here is which there."""

    server: ServerConnection
    check: Check = lambda: None
    moved: Callable[[str, float], None] = lambda *_: None
    used: set[str] = field(default_factory=set)
    _hashes: dict[Path, tuple[State, str]] = field(default_factory=dict)
    _there: dict[Path, tuple[str, dict[Path, State]]] = field(default_factory=dict)

    def send(self, path: Path) -> str:
        """A folder, or a file and what lies beside it under the same name up to the extension (as the voxels of a
        header do); returns its name there, which follows from the contents: nothing is left of earlier ones."""
        path = path.absolute()
        if not path.exists():
            raise EngineError("missing-file", f"{path.name} is not there; choose it again.")
        base = path if path.is_dir() else path.parent
        files = _files_in(path) if path.is_dir() else _with_its_voxels(path)
        self.used |= {str(file).casefold() for file in files}
        if (known := self._known(path, files)) is not None:
            return known
        listed = [(f.relative_to(base).as_posix(), f.stat().st_size, self._sha256(f)) for f in files]
        name = f"{hashlib.sha256(repr(listed).encode()).hexdigest()[:20]}/{plain_name(base)}"
        wanted = [{"name": f"{name}/{inside}", "size": size, "sha256": sha256} for inside, size, sha256 in listed]
        by_name = {each["name"]: (file, each) for file, each in zip(files, wanted, strict=True)}
        missing = self._missing(wanted)
        for n, each in enumerate(missing):
            file, about = by_name[each["name"]]
            self.moved(f"Sending {file.name}", n / len(missing))
            self._put(file, about, each["offset"])
        return name if path.is_dir() else f"{name}/{path.name}"

    def fetch(
        self,
        name: str,
        folder: Path,
        only: set[str] | None = None,
        leave: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        """What the server has under the name, into the folder. Raises EngineError("would-overwrite") where it would
        replace what the request was about: the engine there cannot see that. leave: which files here stay."""
        listed = self.server.ask("GET", "/v1/files", self.check, params={"folder": name})["files"]
        wanted = [_checked(each) for each in listed if not _is_passing(each)]
        wanted = [each for each in wanted if only is None or each["name"] in only]
        targets = [folder.joinpath(*relative(each["name"]).parts) for each in wanted]
        for target in targets:
            if str(target.absolute()).casefold() in self.used and target.exists():
                raise EngineError(
                    "would-overwrite",
                    f"The result {target.name} would replace a file it is made from; choose another results folder.",
                )
        for n, (each, target) in enumerate(zip(wanted, targets, strict=True)):
            if not leave(target):
                self.moved(f"Receiving {target.name}", n / len(wanted))
                self._get(f"{name}/{each['name']}", target, each)

    def remember(self, folder: Path, name: str) -> None:
        """That the folder holds what is there under this name."""
        self._there[folder.absolute()] = (name, {f: _state(f) for f in _files_in(folder.absolute())})

    def _get(self, name: str, target: Path, each: dict[str, Any]) -> None:
        """Goes on where the connection broke, and compares the checksum."""
        with replacing(target) as temporary, temporary.open("wb") as stream:
            value = hashlib.sha256()
            for _ in range(_ATTEMPTS):
                for piece in self.server.read(f"/v1/files/{in_url(name)}", stream.tell(), self.check):
                    if stream.tell() + len(piece) > each["size"]:
                        raise unusable()
                    stream.write(piece)
                    value.update(piece)
                if stream.tell() == each["size"]:
                    break
            if value.hexdigest() != each["sha256"]:
                raise unusable()

    def _put(self, file: Path, about: dict[str, Any], offset: int) -> None:
        with file.open("rb") as stream:
            while True:
                stream.seek(offset)
                piece = stream.read(PIECE)
                given = {"offset": offset, "piece_sha256": hashlib.sha256(piece).hexdigest()}
                given |= {"size": about["size"], "sha256": about["sha256"]}
                try:
                    address = f"/v1/files/{in_url(about['name'])}"
                    answer = self.server.ask("PUT", address, self.check, params=given, data=piece)
                except EngineError as error:
                    if error.code != "wrong-offset":
                        raise
                    answer = next(iter(self._missing([about])), {"complete": True})
                if answer.get("complete"):
                    return
                offset = int(answer["offset"])

    def _missing(self, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self.server.ask("POST", "/v1/files/missing", self.check, json={"files": wanted})["missing"]

    def _known(self, path: Path, files: list[Path]) -> str | None:
        for folder in (path, *path.parents):
            name, states = self._there.get(folder, ("", {}))
            if name and all(states.get(file) == _state(file) for file in files):
                return name if path == folder else f"{name}/{path.relative_to(folder).as_posix()}"
        return None

    def _sha256(self, file: Path) -> str:
        known = self._hashes.get(file)
        if known is None or known[0] != _state(file):
            value = hashlib.sha256()
            with file.open("rb") as stream:
                while piece := stream.read(1 << 20):
                    self.check()
                    value.update(piece)
            known = self._hashes[file] = (_state(file), value.hexdigest())
        return known[1]


def plain_name(folder: Path) -> str:
    """The folder's own name, which may be a case's, as any system takes it."""
    plain = re.sub(r"[^\w.-]+", "_", folder.name)[:60].strip("._")
    return plain if is_windows_name(plain) else "files"


def _checked(each: Any) -> dict[str, Any]:
    """A file to take."""
    try:
        name, size, sha256 = relative(each["name"]), each["size"], each["sha256"]
    except (TypeError, KeyError, EngineError):
        raise unusable() from None
    known = name.suffix.lower() in KINDS or name.name in NAMES
    if not known or not isinstance(size, int) or not 0 <= size <= LARGEST_FILE or not isinstance(sha256, str):
        raise unusable()
    return {"name": str(name), "size": size, "sha256": sha256}


def _is_passing(each: Any) -> bool:
    """Locks, and files that were being written when it ended."""
    name = str(each.get("name", "")) if isinstance(each, dict) else ""
    return name.endswith(".lock") or any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def _files_in(folder: Path) -> list[Path]:
    found = [p for p in folder.rglob("*") if p.is_file()]
    if len(found) > MOST_FILES:
        raise EngineError("too-many-files", f"{folder.name} has over 20,000 files; give the folder of the cases alone.")
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def _with_its_voxels(path: Path) -> list[Path]:
    stem = path.name.split(".")[0]
    return sorted(p for p in path.parent.iterdir() if p.is_file() and p.name.split(".")[0] == stem)


def _state(file: Path) -> State:
    about = file.stat()
    return about.st_size, about.st_mtime_ns
