"""The folder that a command writes its results to: which folders are refused, and what of a user is kept.

A folder that holds files is refused unless they may be overwritten. The hash of each file that a command writes is kept
in `.results.sha256` there, in the format of `sha256sum`. A file that is to be replaced and is no longer as it was
written, because somebody corrected it, is renamed first: `segmentation_changed-2026-05-01.nii.gz`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from ..bundle.run_folder import BUNDLE_FOLDER, CHECKPOINT_FOLDER, IGNORED, RUN_FILE
from ..core.errors import EngineError
from ..core.files import not_written, replace, watching_files
from ..io.case import CaseSource, extension_of, stem_of

RECORD = ".results.sha256"


class WatchedFolder:
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
        if name is None or not target.is_file() or self._hashes.get(name) == _hash(target):
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

    def _name(self, target: Path) -> str | None:
        """Below the folder; None of what lies elsewhere."""
        try:
            return target.absolute().relative_to(self.folder).as_posix()
        except ValueError:
            return None


@contextmanager
def results_folder(out: Path, *, overwrite: bool, data: Path | None = None) -> Iterator[WatchedFolder]:
    """For the block, files that were changed by hand are kept when they are replaced.

    Raises the errors of `check_results_folder`.
    """
    check_results_folder(out, overwrite=overwrite, data=data)
    files = WatchedFolder(out)
    with watching_files(files):
        yield files


def check_results_folder(out: Path, *, overwrite: bool, data: Path | None = None) -> None:
    """May a command write its results there? Touches nothing.

    Raises EngineError("not-a-folder"), ("out-in-run") for the folder of a training, ("out-in-data") for that of the
    cases or one inside it, ("results-exist") where files lie there that may not be overwritten, ("cannot-write").
    """
    check_outside_data(out, data)
    if any(_is_model(folder) for folder in (out.resolve(), *out.resolve().parents)):
        raise EngineError(
            "out-in-run",
            f"{out.resolve().name} lies in the folder of a training or a model, whose files results would mix with; "
            "choose another results folder with --out.",
        )
    try:
        if out.exists() and not out.is_dir():
            raise EngineError("not-a-folder", f"{out.name} is a file; choose a folder for the results with --out.")
        there = [] if not out.is_dir() else sorted(p.name for p in out.iterdir() if p.name not in IGNORED)
    except OSError as error:
        raise not_written(out.name, out, error) from error
    visible = [name for name in there if not name.startswith(".")]
    if visible and not overwrite:
        raise EngineError(
            "results-exist",
            f"{out.resolve().name} already holds files, such as {visible[0]}; choose another results folder with "
            "--out, or replace results there with --overwrite, which keeps what was changed since.",
        )


def check_outside_data(out: Path, data: Path | None) -> None:
    """Raises EngineError("out-in-data") where a later search for cases would come upon what is written there."""
    if data is None or not data.is_dir():
        return
    data, place = data.resolve(), out.resolve()
    if place == data or data in place.parents:
        where = "is the folder of the cases" if place == data else f"lies in {data.name}, the folder of the cases"
        raise EngineError(
            "out-in-data",
            f"{place.name} {where}, where results would be taken for data later; "
            "choose another results folder with --out.",
        )


def check_apart(out: Path, sources: Iterable[CaseSource]) -> None:
    """Raises EngineError("out-in-data") where the results of a case would lie among the files that it consists of."""
    for source in sources:
        inputs = [p for p in (*source.images, source.label, source.trusted, source.reference) if p is not None]
        place = (out / source.name).resolve()
        if source.arrays is None and any(place in (p.resolve(), p.resolve().parent) for p in inputs):
            raise EngineError(
                "out-in-data",
                f"The results of {source.name} would lie among its own files in {place.name}; "
                "choose another results folder with --out.",
            )


def _is_model(folder: Path) -> bool:
    """Whether it is a run folder, or a bundle."""
    run = (folder / RUN_FILE).is_file() and any((folder / n).exists() for n in (BUNDLE_FOLDER, CHECKPOINT_FOLDER))
    return run or (folder / "configs" / "metadata.json").is_file()


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
