"""The whole scene in one file (.mrb) that Slicer opens."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ..engine.core.errors import EngineError
from ..engine.core.files import replace
from .scene import currentScene


def saveScene(path: str | Path) -> Path:
    """Write everything in the scene to a .mrb file, all of it or nothing. Returns the file's path.

    Raises EngineError "not-written"; a file that was there before is then left as it was.
    """
    target = Path(path).with_suffix(".mrb").absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        held = {"ignore_cleanup_errors": True}  # a scanner may still read what was saved
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".saving-", **held) as folder, _sameFolder():
            written = Path(folder) / target.name
            if not currentScene().WriteToMRB(written.as_posix()):
                raise OSError("the scene was not written")
            replace(written, target)
    except OSError as error:
        raise EngineError(
            "not-written",
            f"The scene could not be saved as “{target}”; check that the disk has room and that you may write there.",
        ) from error
    return target


def loadScene(path: str | Path) -> None:
    """Replace the scene by what the .mrb file holds.

    Raises EngineError "not-found" or "not-a-scene", and then leaves the scene as it was.
    """
    source = Path(path).absolute()
    if not source.is_file():
        raise EngineError("not-found", f"There is no file “{source}”; choose a saved scene (.mrb).")
    with _sameFolder():
        # Slicer clears the scene before it reads the file, so the file has to be checked first.
        if not _isBundle(source) or not currentScene().ReadFromMRB(source.as_posix(), True):
            raise EngineError("not-a-scene", f"“{source}” is not a Slicer scene; choose a saved scene (.mrb).")


def _isBundle(file: Path) -> bool:
    """A sound zip file with one scene in its top folder."""
    try:
        with zipfile.ZipFile(file) as bundle:
            names = [PurePosixPath(name) for name in bundle.namelist()]
            scenes = [name for name in names if len(name.parts) == 2 and name.suffix == ".mrml"]
            return len(scenes) == 1 and bundle.testzip() is None
    except zipfile.BadZipFile:
        return False


@contextmanager
def _sameFolder() -> Iterator[None]:
    """Slicer packs and unpacks in a working folder of its own, and does not always come back."""
    folder = os.getcwd()
    try:
        yield
    finally:
        os.chdir(folder)
