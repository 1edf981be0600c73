"""Keeps what somebody changed in a results folder when a command replaces it.

The hash of each file that a command writes is kept in `.results.sha256`, in the format of `sha256sum`. A file that is
to be replaced and is no longer as it was written is renamed first: `segmentation_changed-2026-05-01.nii.gz`.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from ..core.files import not_written, replace
from ..io.case import extension_of, stem_of
from ..io.loose_files import RECORD


class ResultsBackup:
    """Sees every file that is written while it is watched; see `watching_files`.

    folder: results below it are looked after. kept: the names, below the folder, that changed files have now.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.kept: list[str] = []
        self._hashes = _read_record(self.folder / RECORD)

    def before(self, target: Path) -> None:
        """Rename what is there, unless it is as a command wrote it. Raises EngineError("cannot-write")."""
        name = self._name(target)
        if name is None or not target.is_file() or self._is_as_written(name, target):
            return
        aside = _free_name(target)
        try:
            replace(target, aside)
        except OSError as error:
            raise not_written(aside.name, aside.parent, error) from error
        self.kept.append(aside.absolute().relative_to(self.folder).as_posix())

    def after(self, target: Path) -> None:
        """Note the hash of what was written. A record that cannot be written makes the file count as changed."""
        name = self._name(target)
        if name is None:
            return
        self._hashes[name] = _hash(target)
        try:
            with (self.folder / RECORD).open("a", encoding="utf-8", newline="\n") as record:
                record.write(f"{self._hashes[name]}  {name}\n")
        except OSError:
            return

    def about(self) -> dict[str, list[str]]:
        """For a command's answer."""
        return {"kept": self.kept} if self.kept else {}

    def _is_as_written(self, name: str, target: Path) -> bool:
        now = _hash(target)
        if self._hashes.get(name) != now:  # another process may have written it since
            self._hashes |= _read_record(self.folder / RECORD)
        return self._hashes.get(name) == now

    def _name(self, target: Path) -> str | None:
        """Below the folder; None of what lies elsewhere."""
        try:
            return target.absolute().relative_to(self.folder).as_posix()
        except ValueError:
            return None


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError:
        return ""
    return digest.hexdigest()


def _read_record(path: Path) -> dict[str, str]:
    """{name: hash}; of a name that was written several times, the last. Lines that are none are passed over."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {name: digest for digest, space, name in (line.partition("  ") for line in lines) if space}


def _free_name(path: Path) -> Path:
    """<stem>_changed-<day of the change>.<extension>, with a number where that is taken."""
    day = datetime.fromtimestamp(path.stat().st_mtime).date().isoformat()
    stem = stem_of(path) if extension_of(path) else path.stem
    ending = path.name[len(stem) :]
    names = (f"{stem}_changed-{day}{f'-{n}' if n > 1 else ''}{ending}" for n in range(1, 10_000))
    return next(other for name in names if not (other := path.with_name(name)).exists())
