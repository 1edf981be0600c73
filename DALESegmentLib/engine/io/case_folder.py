"""What lies there for a case, by short names, before it is decided which file is image and which label; and which names
cases can have."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import EngineError
from ..core.files import is_windows_name
from .array_cases import DESCRIPTION
from .case import SEGMENTATION, extension_of, stem_of
from .dicom import holds_dicom
from .dicom_kind import is_dicom_label


@dataclass(frozen=True)
class FoundCase:
    """One case of any layout. files: short name ("image", "rater1", "votes") -> file or DICOM folder.

    images, label: short names that the layout itself calls so; empty where it does not say. masks: those that can be
    nothing but labels. class_files: a mask a class, by name. class_names: {value: name} as a list says it. layout: in
    words.
    """

    name: str
    files: dict[str, Path] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    split: str = ""
    arrays: Path | None = None
    class_names: dict[int, str] = field(default_factory=dict)
    patient: str = ""
    label: str = ""
    masks: tuple[str, ...] = ()
    class_files: dict[str, Path] = field(default_factory=dict)
    layout: str = ""


def images_in(folder: Path) -> dict[str, Path]:
    """Image files of a folder by short name, sorted. Raises EngineError("duplicate-file")."""
    files = (p for p in sorted(folder.iterdir()) if p.is_file() and _visible(p))
    return by_stem(p for p in files if extension_of(p))


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Short name -> path; a segmentation beside an image of its name (`ct.nrrd`, `ct.seg.nrrd`) gets `_seg`.

    Raises EngineError("duplicate-file") for two files with one short name.
    """
    files: dict[str, Path] = {}
    for path in sorted(paths, key=lambda p: extension_of(p) == SEGMENTATION):
        name = stem_of(path)
        if extension_of(path) == SEGMENTATION and name in files:
            name += "_seg"
        other = files.setdefault(name, path)
        if other != path:
            raise EngineError(
                "duplicate-file",
                f"{other.name} and {path.name} lie side by side in {path.parent.name}; keep only one.",
            )
    return dict(sorted(files.items(), key=lambda item: item[1]))


def subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and _visible(p))


def case_in(folder: Path) -> FoundCase | None:
    """The case in one folder: arrays, image files, a DICOM subfolder `image`, DICOM slices; or None."""
    if (folder / DESCRIPTION).is_file():
        return FoundCase(folder.name, arrays=folder, layout="array cases")
    files = images_in(folder)
    hyperintensities = _of_wmh(folder, files)
    if hyperintensities is not None:
        return hyperintensities
    if "image" not in files and holds_dicom(folder):
        labels = _dicom_labels(folder)
        others = {name: path for name, path in files.items() if extension_of(path) != ".dcm"} | labels
        layout = "a folder of DICOM slices a case"
        return FoundCase(folder.name, {"image": folder} | others, ("image",), masks=tuple(labels), layout=layout)
    series = folder / "image"  # only under that name, else each series is a case of its own
    masks: dict[str, Path] = {}
    if "image" not in files and series.is_dir() and holds_dicom(series):
        masks = _dicom_labels(folder, *(sub for sub in subfolders(folder) if sub != series))
        files |= {"image": series} | masks
    if not files:
        return None
    known = _of_sequences(folder, files) or _of_modalities(folder, files) or _of_class_masks(folder, files)
    return known or FoundCase(_scene_or_folder(folder), files, masks=tuple(masks), layout="one folder a case")


def _scene_or_folder(folder: Path) -> str:
    """The folder's name; of the data that Slicer packed with a scene (`<scene>/Data`), the scene's."""
    scene = folder.name == "Data" and any(folder.parent.glob("*.mrml"))
    return folder.parent.name if scene else folder.name


def _dicom_labels(*folders: Path) -> dict[str, Path]:
    return by_stem(path for folder in folders for path in folder.iterdir() if path.is_file() and is_dicom_label(path))


_SEQUENCES = ("t1", "t1n", "t1w", "t1c", "t1ce", "t1gd", "t2", "t2w", "t2f", "flair")


def _of_sequences(folder: Path, files: dict[str, Path]) -> FoundCase | None:
    """As BraTS has it: `<case>/<case>_t1`, `_t1ce`, `_t2`, `_flair` and `_seg`, or `-t1n`, `-t1c`, `-t2w`, `-t2f`."""
    prefix = re.compile(rf"{re.escape(folder.name)}[-_](\w+)", re.I)
    ends = {m[1].lower(): name for name in files if (m := prefix.fullmatch(name))}
    images = {end: name for end, name in ends.items() if end in _SEQUENCES}
    if len(images) < 2:
        return None
    named = {end: files[name] for end, name in ends.items()}
    others = {name: path for name, path in files.items() if path not in named.values()}
    order = tuple(sorted(images, key=_SEQUENCES.index))
    return FoundCase(folder.name, named | others, order, label="seg" if "seg" in named else "", layout="BraTS")


def _of_modalities(folder: Path, files: dict[str, Path]) -> FoundCase | None:
    """As HECKTOR has had it since 2025: `<case>/<case>__CT`, `<case>__PT`, and `<case>` as label."""
    start = f"{folder.name}__"
    images = {name.removeprefix(start): path for name, path in files.items() if name.startswith(start)}
    if len(images) < 2:
        return None
    others = {name: path for name, path in files.items() if path not in images.values()}
    label = {"label": others.pop(folder.name)} if folder.name in others else {}
    layout = "HECKTOR (<case>/<case>__CT, <case>__PT)"
    return FoundCase(folder.name, images | label | others, tuple(sorted(images)), layout=layout)


WMH = {1: "white matter hyperintensity", 2: "ignore"}
"""Of the WMH challenge; 2 is other pathology, which its rules leave out of the scores."""


def _of_wmh(folder: Path, files: dict[str, Path]) -> FoundCase | None:
    """As the WMH challenge has it: `<site>/<case>/pre/FLAIR.*`, `T1.*`, and `wmh.*` there or in the case's folder."""
    pre = images_in(folder / "pre") if (folder / "pre").is_dir() else {}
    images = {name: pre[name] for name in ("FLAIR", "T1") if name in pre}
    label = files.get("wmh") or pre.get("wmh")
    if "FLAIR" not in images or not (label or (folder / "orig").is_dir() or "T1" in images):
        return None
    found = images | ({"label": label} if label else {})
    return FoundCase(folder.name, found, tuple(images), class_names=WMH, layout="WMH challenge (pre/FLAIR, T1; wmh)")


def _of_class_masks(folder: Path, files: dict[str, Path]) -> FoundCase | None:
    """As TotalSegmentator has it: `<case>/ct.*` and a mask a class in `<case>/segmentations`."""
    masks = images_in(folder / "segmentations") if (folder / "segmentations").is_dir() else {}
    if not masks or len(files) != 1:
        return None
    (image,) = files
    return FoundCase(folder.name, files, (image,), class_files=masks, layout="TotalSegmentator (a mask a class)")


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def check_names(cases: Iterable[FoundCase]) -> None:
    """Each is there once; it becomes a folder of results, so it must not lead out of them, and be possible here.

    Raises EngineError("bad-name", "duplicate-case").
    """
    for case in cases:
        parts = case.name.replace("\\", "/").split("/")
        if not any(parts) or ".." in parts or not parts[0]:
            raise EngineError(
                "bad-name", f"The case name {case.name} leads out of the results' folder; give it another name."
            )
        if sys.platform == "win32" and not all(is_windows_name(part) for part in parts if part):
            raise EngineError(
                "bad-name",
                f"The case name {case.name} is none that a folder can have on Windows; give it another name.",
            )
    name, times = Counter(case.name for case in cases).most_common(1)[0]
    if times > 1:
        raise EngineError("duplicate-case", f"{times} cases are called {name}; give each a name of its own.")
    if sys.platform in ("win32", "darwin"):
        _check_capitals(case.name for case in cases)


def _check_capitals(names: Iterable[str]) -> None:
    """Results of two such cases would be written into one folder, the second over the first."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise EngineError(
                "duplicate-case",
                f"{other} and {name} are one name to this system, which tells no capitals apart; rename one of them.",
            )
