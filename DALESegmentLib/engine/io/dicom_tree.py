"""Folders of patients, studies and series, as archives export them: an image series is a case, and the segmentation or
RTSTRUCT that refers to it is its label, wherever in the tree it lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import EngineError
from .case import extension_of
from .case_folder import FoundCase, images_in
from .dicom import holds_dicom
from .dicom_kind import is_dicom, is_dicom_label, read_header

DEEPEST = 6
SCOUT = 3
"""Slices that a series has at most which is left out where another of the patient has four times as many."""


@dataclass
class _Series:
    folder: Path
    uids: set[str]
    frames: set[str]
    slices: int
    labels: list[Path] = field(default_factory=list)


def dicom_cases(root: Path) -> list[FoundCase]:
    """The image series below the folder; none where none lies deeper than in a folder of the folder itself, or in
    `<case>/image`.

    A patient is the first folder below the root. Of a patient with labels, the series with one are the cases.
    Raises EngineError("duplicate-file").
    """
    series, labels = [], []
    for folder in _folders(root):
        own = label_files(folder)
        labels += own
        if holds_dicom(folder):
            series.append(_series(folder, {path.name for path in own}))
    places = [one.folder.relative_to(root).parts for one in series]
    if not any(len(parts) > 2 or (len(parts) == 2 and parts[1] != "image") for parts in places):
        return []
    for path in labels:
        owner = _owner(path, series)
        if owner is not None:
            owner.labels.append(path)
    patients: dict[str, list[_Series]] = {}
    for one, parts in zip(series, places, strict=True):
        patients.setdefault(parts[0] if parts else root.name, []).append(one)
    found = []
    for patient, theirs in patients.items():
        kept = _cases(theirs)
        found += [_case(root, patient, one, alone=len(kept) == 1) for one in kept]
    return found


def label_files(folder: Path) -> list[Path]:
    """The DICOM segmentations and RTSTRUCTs among the folder's files."""
    return [path for path in sorted(folder.iterdir()) if path.is_file() and is_dicom_label(path)]


def _folders(root: Path) -> Iterator[Path]:
    for place, inside, _ in os.walk(root):
        folder = Path(place)
        deep = len(folder.relative_to(root).parts)
        inside[:] = sorted(n for n in inside if not n.startswith(".")) if deep < DEEPEST else []
        yield folder


def _series(folder: Path, labels: set[str]) -> _Series:
    files = [p for p in sorted(folder.iterdir()) if p.is_file() and p.name not in labels and is_dicom(p)]
    some = {files[0], files[len(files) // 2], files[-1]} if files else set()  # a scout or a report may come first
    headers = [_header(path, "SeriesInstanceUID", "FrameOfReferenceUID") for path in some]
    series, frames = (
        {str(header.get(keyword, "")) for header in headers} - {""}
        for keyword in ("SeriesInstanceUID", "FrameOfReferenceUID")
    )
    return _Series(folder, series, frames, len(files))


def _header(path: Path, *tags: str) -> Any:
    """Empty where it cannot be read: who reads the file will say what is wrong with it."""
    try:
        return read_header(path, *tags)
    except EngineError:
        return {}


def _owner(path: Path, series: list[_Series]) -> _Series | None:
    """The series that the label refers to; else the only one in its frame of reference, or in its folder."""
    own = ("FrameOfReferenceUID", "SeriesInstanceUID")
    header = _header(path, "ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence", *own)
    referred = set(_uids(header, "SeriesInstanceUID")) - {str(header.get("SeriesInstanceUID", ""))}
    frames = set(_uids(header, "FrameOfReferenceUID"))
    for found in (
        [one for one in series if one.uids & referred],
        [one for one in series if one.frames & frames],
        [one for one in series if one.folder == path.parent],
    ):
        if len(found) == 1:
            return found[0]
    return None


def _uids(item: Any, keyword: str) -> list[str]:
    """Of the item and all items in it."""
    found = [str(item[keyword].value)] if keyword in item else []
    for element in item if not isinstance(item, dict) else ():
        if element.VR == "SQ":
            for inner in element.value:
                found += _uids(inner, keyword)
    return [uid for uid in found if uid]


def _cases(own: list[_Series]) -> list[_Series]:
    """Those with a label, or else all but scouts."""
    labelled = [one for one in own if one.labels]
    most = max(one.slices for one in own)
    return labelled or [one for one in own if one.slices > SCOUT or 4 * one.slices > most]


def _case(root: Path, patient: str, one: _Series, *, alone: bool) -> FoundCase:
    """alone: whether the patient has no other; then other files in the patient's folders belong to it."""
    parts = one.folder.relative_to(root).parts
    files = {"image": one.folder}
    for folder in (root.joinpath(*parts[: n + 1]) for n in range(len(parts) if alone else 0)):
        files |= {n: path for n, path in images_in(folder).items() if extension_of(path) != ".dcm" and n not in files}
    for path in one.labels:
        short = "label" if len(one.labels) == 1 else (path.parent.name if path.parent != one.folder else path.stem)
        files[short if short not in files else f"{short}_{path.stem}"] = path
    return FoundCase(
        patient if alone or not parts else "_".join(parts),
        files,
        ("image",),
        patient=patient,
        label="label" if len(one.labels) == 1 else "",
        masks=tuple(name for name, path in files.items() if path in one.labels),
        layout="patients, studies and series (DICOM)",
    )
