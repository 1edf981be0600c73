"""BIDS: `sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz`, with masks in `derivatives/*/sub-01/...`."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from .case import stem_of
from .case_folder import FoundCase, images_in, subfolders

MASKS = ("dseg", "mask", "seg", "roi")
OTHER_KINDS = ("func", "dwi", "fmap", "perf", "eeg", "meg", "beh")
"""Folders that hold no anatomy."""
_PLACES = ("sub", "ses")


def is_bids(folder: Path) -> bool:
    return any(re.fullmatch(r"sub-[A-Za-z0-9]+", sub.name) for sub in subfolders(folder)) or (
        (folder / "derivatives").is_dir() and (folder / "dataset_description.json").is_file()
    )


@dataclass
class _Session:
    images: dict[str, Path] = field(default_factory=dict)
    derived: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)


def bids_cases(folder: Path) -> list[FoundCase]:
    """A case is a session, or a subject without sessions. Raises EngineError("duplicate-file").

    A session with one image is clear; of several, the option image says which. Masks are `_dseg`, or `_mask` whose
    entity `label-` names the class; several of these are a mask a class.
    """
    sessions: dict[str, _Session] = {}
    roots = [folder, *(subfolders(folder / "derivatives") if (folder / "derivatives").is_dir() else [])]
    for root in roots:
        for path in _files(root):
            _take(path, sessions, derived=root != folder)
    return [_case(name, session) for name, session in sorted(sessions.items()) if session.images or session.derived]


def _files(root: Path) -> list[Path]:
    """Images of all subjects and sessions, of anatomy where there is a folder of it."""
    found: list[Path] = []
    for subject in subfolders(root):
        if not subject.name.startswith("sub-"):
            continue
        for place in [subject, *(s for s in subfolders(subject) if s.name.startswith("ses-"))]:
            kinds = [s for s in subfolders(place) if not s.name.startswith("ses-") and s.name not in OTHER_KINDS]
            for kind in [place, *kinds]:
                found += images_in(kind).values()
    return found


def _take(path: Path, sessions: dict[str, _Session], *, derived: bool) -> None:
    *parts, suffix = stem_of(path).split("_")
    entities = dict(part.split("-", 1) for part in parts if "-" in part)
    if "sub" not in entities or suffix == "probseg":
        return
    name = "_".join(f"{key}-{entities[key]}" for key in _PLACES if key in entities)
    short = "_".join([*(part for part in parts if part.split("-", 1)[0] not in _PLACES), suffix])
    session = sessions.setdefault(name, _Session())
    if suffix in MASKS or "label" in entities:
        session.masks.setdefault(short, path)
    else:
        (session.derived if derived else session.images).setdefault(short, path)


def _case(name: str, session: _Session) -> FoundCase:
    images = session.images or session.derived
    files = {**images, **session.masks}
    chosen = tuple(images) if len(images) == 1 else ()
    case = FoundCase(name, files, chosen, masks=tuple(session.masks), layout="BIDS")
    labels = {short: m[1] for short in session.masks if (m := re.search(r"(?:^|_)label-([A-Za-z0-9]+)", short))}
    if len(session.masks) == 1:
        (short,) = session.masks
        names = {1: labels[short]} if short in labels else _table_beside(session.masks[short])
        return replace(case, label=short, class_names=names)
    if labels and len(labels) == len(session.masks) == len(set(labels.values())):
        return replace(case, class_files={labels[short]: path for short, path in session.masks.items()})
    return case


def _table_beside(path: Path) -> dict[int, str]:
    """{value: name} of the `_dseg.tsv` beside the label, or of the one for all."""
    root = next((p for p in path.parents if p.parent.name == "derivatives"), path.parent)
    for table in (path.parent / f"{stem_of(path)}.tsv", *sorted(root.glob("*dseg.tsv"))):
        if table.is_file():
            with table.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
            pairs = [(row.get("index") or "", row.get("name") or "") for row in rows]
            return {int(index): name for index, name in pairs if index.strip().isdigit() and name and int(index)}
    return {}
