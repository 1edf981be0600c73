"""One training at a time in a run folder. Of the processes that share a training, the first holds it for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..bundle.run_folder import LOCK_FILE, cannot_write, check_run_folder
from ..core.distributed import current
from ..core.errors import EngineError
from ..core.lock import only_owner


@contextmanager
def run_folder(folder: Path, *, resume: bool = False, overwrite: bool = False) -> Iterator[None]:
    """A folder that a training may write to, and no other one meanwhile. Where it is refused, or ends before its first
    file, the folders that were made for it go again.

    Raises the errors of `check_run_folder` and `only_training_in`.
    """
    if not current().is_main:
        yield
        return
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        check_run_folder(folder, resume=resume, overwrite=overwrite)
        with only_training_in(folder):
            yield
    finally:
        with suppress(OSError):  # not empty, or gone
            for path in made:
                path.rmdir()


@contextmanager
def only_training_in(folder: Path) -> Iterator[None]:
    """Keep every other training out of the folder, for as long as this process lives.

    Raises EngineError("run-in-use") where another one is there, ("cannot-write").
    """

    def in_use(owner: str) -> EngineError:
        return EngineError(
            "run-in-use",
            f"{folder.name} is being trained by {owner}; wait for its end, stop it, or choose another folder.",
        )

    with ExitStack() as stack:
        try:
            stack.enter_context(only_owner(folder / LOCK_FILE, in_use))
        except OSError as error:
            raise cannot_write(folder, error) from error
        yield
