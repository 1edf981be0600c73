"""The folder that a command writes its results to: which folders are refused, and what of a user is kept.

A folder that holds files is refused unless they may be overwritten; see `results_backup` for what is kept then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..bundle.run_folder import BUNDLE_FOLDER, CHECKPOINT_FOLDER, IGNORED, RUN_FILE
from ..core.errors import EngineError
from ..core.files import not_written, watching_files
from ..io.bids import is_bids
from ..io.case import CaseSource
from .results_backup import ResultsBackup


@contextmanager
def results_folder(out: Path, *, overwrite: bool, data: Path | None = None) -> Iterator[ResultsBackup]:
    """For the block, files that were changed by hand are kept when they are replaced.

    Raises the errors of `check_results_folder`.
    """
    check_results_folder(out, overwrite=overwrite, data=data)
    files = ResultsBackup(out)
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
    """Raises EngineError("out-in-data") where a later search for cases would come upon what is written there: anywhere
    but among the derivatives of a BIDS data set."""
    if data is None or not data.is_dir():
        return
    data, place = data.resolve(), out.resolve()
    if is_bids(data) and data / "derivatives" in place.parents:
        return
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
