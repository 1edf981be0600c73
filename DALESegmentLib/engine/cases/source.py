"""Where a case lies on disk, before anything is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import EngineError


@dataclass(frozen=True)
class CaseSource:
    """The files of one case.

    images: one path a channel group, in order; a path may be a DICOM folder. arrays: folder of an array case
    (see `exchange`), instead of the files. reference: a label to compare with, never to train on;
    `reference_threshold` turns a vote count into a mask (value >= threshold).
    split: "train", "test" or "" where the folder does not say. patient: "" where no list says it, see `patients`.
    class_names: {value: name} of a label map, where a
    list says it.
    """

    name: str
    images: tuple[Path, ...] = ()
    label: Path | None = None
    trusted: Path | None = None
    confidence: Path | None = None
    reference: Path | None = None
    reference_threshold: float | None = None
    arrays: Path | None = None
    split: str = ""
    class_names: dict[int, str] = field(default_factory=dict, hash=False)
    patient: str = ""


@dataclass(frozen=True)
class UnusableCase:
    """A case that was found, but whose files are missing or not understood."""

    name: str
    split: str
    problem: EngineError
