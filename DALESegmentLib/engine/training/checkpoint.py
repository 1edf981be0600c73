"""The checkpoint of a run: a manifest, checkpoint.json, and the files it names in checkpoint/.

    training-<n>.safetensors       network, optimizer and loss; of a training alone, a fine-tune is not resumed
    case<i>-given.safetensors      the label as it was given and reviewed, written once
    case<i>-<n>.safetensors        disagreement, what was seen, and what correctors proposed (`LabelState`)

Each save writes new files, with the next number n, of what changed since the last: then the manifest is replaced, in
one move, and what it no longer names goes. So a kill at any moment leaves the last checkpoint whole. No more than one
case is held in memory at a time. Where all ranks see one folder each writes its own cases, elsewhere the first writes
all. Nothing in the files is ever executed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..bundle.run_folder import CHECKPOINT_FILE, CHECKPOINT_FOLDER, EARLIER_FILES
from ..core.distributed import Ranks
from ..core.errors import EngineError
from ..core.files import not_written, read_json, replacing, sync, write_json
from ..dale.label_state import LabelState
from ..planning.preprocessing import PreparedCase

VERSION = 1
GIVEN = ("given", "reviewed", "corrected")
"""What of a label no training changes."""


class Checkpoint:
    """Of the run in `folder`; every rank has its own and saves at the same time."""

    def __init__(self, folder: Path, ranks: Ranks | None = None) -> None:
        self.folder = folder
        self.ranks = ranks or Ranks()
        self._number = 0
        self._given: list[str] = []
        self._learned: list[str] = []
        self._versions: list[int] = []
        self._shared: bool | None = None

    def exists(self) -> bool:
        """Raises EngineError("checkpoint-unusable") for what an earlier version wrote."""
        return _exists(self.folder)

    def begin(self, cases: Sequence[PreparedCase]) -> None:
        """Write the labels that a training begins with. cases: the rank's own, as in `save`."""
        own = [{n: v for n, v in case.labels.state_dict().items() if n in GIVEN} for case in cases]
        self._given = self._write_cases(own, "given")
        self._versions = [-1] * len(cases)

    def save(
        self, cases: Sequence[PreparedCase], training: Mapping[str, Tensor] | None, progress: Mapping[str, Any]
    ) -> None:
        """training: network, optimizer and loss, None where nobody resumes; progress: plain JSON values."""
        self._number += 1
        versions = [case.labels.version for case in cases]
        changed = [now != then for now, then in zip(versions, self._versions, strict=True)]
        own = [_learned(case.labels) if new else {} for case, new in zip(cases, changed, strict=True)]
        written = self._write_cases(own, str(self._number))
        earlier = self._learned or written
        self._learned = [new or old for new, old in zip(written, earlier, strict=True)]
        self._versions = versions
        names = self.ranks.all_gather([case.name for case in cases])
        if not self.ranks.is_main:
            return
        files = [{"given": g, "learned": n} for g, n in zip(self._given, self._learned, strict=True)]
        manifest: dict[str, Any] = {"version": VERSION, "progress": progress, "training": None}
        if training is not None:
            manifest["training"] = f"training-{self._number}.safetensors"
            _write(self._files / manifest["training"], training)
        write_json(self.folder / CHECKPOINT_FILE, manifest | {"cases": dict(zip(names, files, strict=True))})
        self._clean({manifest["training"], *self._given, *self._learned})

    def load(self, cases: Sequence[PreparedCase], load_training: Callable[[Mapping[str, Tensor]], None]) -> Any:
        """Put back what was saved; returns `progress`. Raises EngineError where it does not fit or is a fine-tune's."""
        with _damage(f"{CHECKPOINT_FILE} does not fit these cases or is damaged; train again without resume."):
            manifest = read_json(self.folder / CHECKPOINT_FILE)
            if manifest["training"] is None:
                raise EngineError(
                    "nothing-to-resume",
                    f"{self.folder.name} holds a fine-tune, which cannot be resumed; start it again.",
                )
            load_training(_read(self._files, manifest["training"]))
            for case in cases:
                case.labels.load_state_dict(_read(self._files, manifest["cases"][case.name]["learned"]))
            files = [manifest["cases"][name] for name in self.ranks.all_gather([case.name for case in cases])]
            self._given, self._learned = [f["given"] for f in files], [f["learned"] for f in files]
            self._number = _number(manifest["training"])
            self._versions = [case.labels.version for case in cases]
            return manifest["progress"]

    def _write_cases(self, own: Sequence[Mapping[str, Tensor]], what: str) -> list[str]:
        """The names of all cases' files, "" where there was nothing to write. own: of each of the rank's cases."""
        known = self.ranks.all_gather([bool(tensors) for tensors in own])
        names = [f"case{i}-{what}.safetensors" if there else "" for i, there in enumerate(known)]
        if self._is_shared():
            for name, tensors in zip(self.ranks.shard(names), own, strict=True):
                if name:
                    _write(self._files / name, tensors)
            self.ranks.all_gather([None] * len(own))  # all are written
        else:
            for i, tensors in self.ranks.gather(own):
                _write(self._files / names[i], tensors)
        return names

    def _is_shared(self) -> bool:
        """Whether all ranks see the same folder."""
        if self.ranks.size == 1:
            return True
        if self._shared is None:
            mark = self.folder / f".{self.ranks.broadcast(uuid4().hex)}"
            if self.ranks.is_main:
                mark.touch()
            self.ranks.broadcast(None)
            self._shared = all(self.ranks.all_gather([mark.exists()]))
            if self.ranks.is_main:
                mark.unlink()
        return self._shared

    def _clean(self, named: set[str | None]) -> None:
        for entry in os.scandir(self._files):
            if entry.name not in named:
                with suppress(OSError):  # still open elsewhere, on Windows; it goes the next time
                    os.unlink(entry)

    @property
    def _files(self) -> Path:
        return self.folder / CHECKPOINT_FOLDER


class RunLabels(Mapping[str, LabelState]):
    """The labels a run learned from and what it learned about them, by case name; each is read when it is asked for.

    Asking raises EngineError("checkpoint-unusable") where its files are damaged.
    """

    def __init__(self, folder: Path, files: Mapping[str, Mapping[str, str]]) -> None:
        self._folder = folder
        self._files = files

    def __getitem__(self, name: str) -> LabelState:
        files = self._files[name]
        with _damage(f"What is kept of {name} is damaged or does not fit together; train the model again."):
            return LabelState.from_state_dict(
                _read(self._folder, files["given"]) | _read(self._folder, files["learned"])
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def load_labels(run_folder: Path) -> RunLabels:
    """Empty where the folder holds a model on its own. Raises EngineError("checkpoint-unusable")."""
    if not _exists(run_folder):
        return RunLabels(run_folder, {})
    with _damage(f"{CHECKPOINT_FILE} is damaged; train the model again."):
        cases = read_json(run_folder / CHECKPOINT_FILE)["cases"]
        files = {str(name): {"given": str(c["given"]), "learned": str(c["learned"])} for name, c in cases.items()}
        return RunLabels(run_folder / CHECKPOINT_FOLDER, files)


def _exists(run_folder: Path) -> bool:
    if (run_folder / CHECKPOINT_FILE).exists():
        return True
    if (run_folder / EARLIER_FILES[0]).exists():
        raise EngineError(
            "checkpoint-unusable",
            f"The checkpoint in {run_folder.name} is one of an earlier version, which cannot be read any more; train "
            "again, or move its folder bundle elsewhere and use the model alone.",
        )
    return False


def _learned(labels: LabelState) -> dict[str, Tensor]:
    return {name: values for name, values in labels.state_dict().items() if name not in GIVEN}


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with replacing(path) as temporary:
        try:
            save_file({name: values.detach().cpu().contiguous() for name, values in tensors.items()}, temporary)
        except SafetensorError as error:  # in place of an OSError, as where the disk is full
            raise not_written(path.name, path.parent, error) from error
        with open(temporary, "rb+") as file:
            sync(file)


def _read(folder: Path, name: str) -> dict[str, Tensor]:
    if Path(name).name != name:
        raise ValueError("not a name in this folder")
    with safe_open(folder / name, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def _number(name: str) -> int:
    return int(name.removeprefix("training-").removesuffix(".safetensors"))


@contextmanager
def _damage(sentence: str) -> Iterator[None]:
    """Raises EngineError("checkpoint-unusable") with this sentence for whatever a damaged file leads to."""
    try:
        yield
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise EngineError("checkpoint-unusable", sentence) from error
    except EngineError as error:
        if error.code != "unreadable-file":
            raise
        raise EngineError("checkpoint-unusable", sentence) from error
