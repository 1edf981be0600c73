"""What lies there for a case, by short names, before it is decided which file is image and which label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import EngineError
from .array_cases import DESCRIPTION
from .case import extension_of, stem_of
from .dicom import holds_dicom


@dataclass(frozen=True)
class FoundCase:
    """One case of any layout. files: short name ("image", "rater1", "votes") -> file or DICOM folder.

    images: short names that the layout itself calls images; empty where it does not say. class_names: {value: name}
    as a list says it.
    """

    name: str
    files: dict[str, Path] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    split: str = ""
    arrays: Path | None = None
    class_names: dict[int, str] = field(default_factory=dict)
    patient: str = ""


def images_in(folder: Path) -> dict[str, Path]:
    """Image files of a folder by short name, sorted. Raises EngineError("duplicate-file")."""
    files = (p for p in sorted(folder.iterdir()) if p.is_file() and _visible(p))
    return by_stem(p for p in files if extension_of(p))


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Short name -> path. Raises EngineError("duplicate-file") for two files with one short name."""
    files: dict[str, Path] = {}
    for path in paths:
        other = files.setdefault(stem_of(path), path)
        if other != path:
            raise EngineError(
                "duplicate-file",
                f"{other.name} and {path.name} lie side by side in {path.parent.name}; keep only one.",
            )
    return files


def subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and _visible(p))


def case_in(folder: Path) -> FoundCase | None:
    """The case in one folder: arrays, image files, a DICOM subfolder `image`, DICOM slices; or None."""
    if (folder / DESCRIPTION).is_file():
        return FoundCase(folder.name, arrays=folder)
    files = images_in(folder)
    if "image" not in files and holds_dicom(folder):
        others = {name: path for name, path in files.items() if extension_of(path) != ".dcm"}
        return FoundCase(folder.name, {"image": folder} | others, ("image",))
    series = folder / "image"  # only under that name, else each series is a case of its own
    if "image" not in files and series.is_dir() and holds_dicom(series):
        files["image"] = series
    return FoundCase(folder.name, files) if files else None


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")
