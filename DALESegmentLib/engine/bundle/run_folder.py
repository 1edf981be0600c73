"""The run folder of a training: what lies where, and one training at a time in it.

run.json                 settings, plan, split, history, status
checkpoint.json          what the checkpoint consists of, see `checkpoint`
checkpoint/              its files: the labels, what was learned about them, and all that a resume takes
recalibration.json       what review has found out about the confidence, where there was one, see `training.validation`
held_out.json            hashes of the images that are validated on, see `training.validation`
metrics.csv              the history, a row an epoch; tensorboard/, mlruns/: the same for these programs, where asked
run.lock                 who is training there, while somebody is, see `only_training_in`
bundle/                  the model, a MONAI bundle; whole at every moment from the first epoch on
nnunet/, monai/          the same for the program that the first model came from, where it came from one
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

from ..core.errors import EngineError
from ..core.files import is_too_long, only_owner, read_json, remove

RUN_FILE = "run.json"
CHECKPOINT_FILE = "checkpoint.json"
CHECKPOINT_FOLDER = "checkpoint"
EARLIER_FILES = ("checkpoint.safetensors", "labels.safetensors")
"""What held the checkpoint before it had a folder."""
HELD_OUT_FILE = "held_out.json"
RECALIBRATION_FILE = "recalibration.json"
METRICS_FILE, TENSORBOARD_FOLDER, MLFLOW_FOLDER = "metrics.csv", "tensorboard", "mlruns"
LOCK_FILE = "run.lock"
BUNDLE_FOLDER = "bundle"
WRITTEN_BACK = ("nnunet", "monai")
"""The model in the form of the program that it came from, where it came from one."""
IGNORED = {LOCK_FILE, "desktop.ini", "Thumbs.db"}
"""What may lie in a folder that counts as empty: Windows puts the last two there."""
LONGEST_INSIDE = 60
"""Characters of the longest path that a training writes below its folder."""


def check_run_folder(folder: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """May a training write there? Makes the folder and touches nothing in it. Raises EngineError."""
    exists = os.path.exists(folder / RUN_FILE)
    if resume and not exists:
        raise EngineError(
            "nothing-to-resume", f"There is no training to resume in {folder.name}; leave --resume out to start one."
        )
    if exists and not (resume or overwrite):
        raise EngineError(
            "run-exists",
            f"{folder.name} already holds a training; choose another folder, go on with train --resume, "
            "or replace it with --overwrite.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = (path for path in folder.iterdir() if path.name not in IGNORED and not path.name.startswith("."))
        if not exists and any(others):
            raise EngineError("folder-not-empty", f"{folder.name} holds other files; choose an empty or a new folder.")
        # now, not after the first epoch, and under a path that is as long as any
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix="x" * (LONGEST_INSIDE - 9)):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error


def claim_run_folder(folder: Path, *, overwrite: bool) -> None:
    """Make the folder a new training's own: the last thing before its first file, so that an earlier run is lost
    only to one that can start. Raises EngineError where another training was there first."""
    check_run_folder(folder, overwrite=overwrite)
    try:
        for name in (RUN_FILE, METRICS_FILE, CHECKPOINT_FILE, *EARLIER_FILES, HELD_OUT_FILE, RECALIBRATION_FILE):
            remove(folder / name)
        for name in (
            CHECKPOINT_FOLDER,
            BUNDLE_FOLDER,
            TENSORBOARD_FOLDER,
            MLFLOW_FOLDER,
            *WRITTEN_BACK,
        ):  # all of it: what a new bundle keeps of an old one is not its
            remove(folder / name)
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(folder: Path, error: OSError) -> EngineError:
    """The error for a run folder the system does not let us write to."""
    if is_too_long(folder / ("x" * LONGEST_INSIDE), error.errno):
        return EngineError(
            "cannot-write",
            f"The path of {folder.name} is longer than this system takes for the files of a training; "
            "choose a folder nearer to the top of the disk.",
        )
    return EngineError("cannot-write", f"{folder.name} cannot be written to ({error.strerror}); choose another folder.")


def find_bundle(model: Path) -> Path:
    """The bundle of a run folder, or the bundle itself; or the folder of another program's model, see `kind_of`.

    Raises EngineError("no-model", "several-models").
    """
    for folder in (model, model / BUNDLE_FOLDER, *([model.parent] if fold_of(model) else [])):
        if kind_of(folder):
            return folder
    below = [folder for folder in sorted(model.glob("*__*__*")) if kind_of(folder)] if model.is_dir() else []
    if len(below) > 1:
        raise EngineError(
            "several-models",
            f"{model.name} holds {below[0].name} and {below[1].name}; name the one that is meant.",
        )
    if below:
        return below[0]
    if not model.exists():
        raise EngineError("no-model", f"{model.name} is not there; check the name and place of the model.")
    if model.is_file():
        raise EngineError("no-model", f"{model.name} is a file; name the folder of the model that it belongs to.")
    deeper = next((folder for folder in sorted(model.glob("*/*")) if kind_of(folder)), None)
    if deeper is not None:
        raise EngineError(
            "no-model",
            f"{model.name} is no model, but holds {deeper.relative_to(model).as_posix()}; name the one that is meant.",
        )
    raise EngineError(
        "no-model",
        f"{model.name} holds no finished model; name a run folder, a bundle with configs and models, or a "
        "result folder of nnU-Net.",
    )


def kind_of(folder: Path) -> Literal["", "dalesegment", "nnunet", "monai"]:
    """What a folder holds: a bundle of ours, a result folder of nnU-Net v2, a bundle of MONAI's model zoo, or "" for
    none of these."""
    if (folder / "plans.json").is_file() and (folder / "dataset.json").is_file():
        return "nnunet"
    metadata = folder / "configs" / "metadata.json"
    if not metadata.is_file():
        return ""
    try:
        ours = "dalesegment" in read_json(metadata)
    except EngineError:
        ours = True  # whoever loads it says what is wrong
    names = ("inference.json", "inference.yaml", "inference.yml")
    return "dalesegment" if ours or not any((folder / "configs" / n).is_file() for n in names) else "monai"


def fold_of(model: Path) -> str:
    """The fold of nnU-Net that a path names, or ""."""
    return model.name if model.name.startswith("fold_") and kind_of(model.parent) == "nnunet" else ""


def run_of(bundle: Path) -> Path:
    """The run folder of a bundle; of another program's model its own folder, which knows nothing of a run."""
    return bundle.parent if kind_of(bundle) in ("", "dalesegment") else bundle


@contextmanager
def run_folder(folder: Path, *, resume: bool = False, overwrite: bool = False) -> Iterator[None]:
    """A folder that a training may write to, and no other one meanwhile. Where it is refused, or ends before its first
    file, the folders that were made for it go again.

    Raises the errors of `check_run_folder` and `only_training_in`.
    """
    from ..core.distributed import current  # not at file scope: the panel reads run folders without torch

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
