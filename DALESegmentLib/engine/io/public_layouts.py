"""Layouts that a folder says itself that it has: nnU-Net's and the decathlon's (imagesTr, labelsTr, imagesTs, or the
dictionary `dataset` of dataset.json), and BIDS (`sub-01/anat/sub-01_T1w.nii.gz`, masks in `derivatives`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.errors import EngineError
from .bids import is_own_derivative
from .case import stem_of
from .case_folder import FoundCase, images_in, subfolders
from .class_names import DESCRIPTION, names_with_ignored, read_json
from .csv_files import read_csv
from .name_pairs import owners

PARTS = (
    ("imagesTr", "labelsTr", "train"),
    ("imagesVa", "labelsVa", "test"),
    ("imagesVal", "labelsVal", "test"),
    ("imagesTs", "labelsTs", "test"),
)
CHANNEL = re.compile(r"(.+)_(\d{4})$")
MODALITY = re.compile(r"(.+)__([A-Za-z]\w*)$")


def is_nnunet(folder: Path) -> bool:
    return (folder / "imagesTr").is_dir() or (folder / "imagesTs").is_dir()


def is_nnunet_part(folder: Path) -> bool:
    """Whether it is one of the folders of images of an nnU-Net data set."""
    beside = folder.parent
    named = any(folder.name == images for images, _, _ in PARTS)
    return named and ((beside / DESCRIPTION).is_file() or any((beside / labels).is_dir() for _, labels, _ in PARTS))


def nnunet_part(folder: Path) -> list[FoundCase]:
    """The cases of such a folder, with their labels from beside it, whatever split they belong to. Raises as
    `nnunet_cases` does."""
    found = nnunet_cases(folder.parent, folder.name)
    own = [case for case in found if all(case.files[name].parent == folder for name in case.images)]
    return [replace(case, split="") for case in own]


def nnunet_cases(folder: Path, only: str = "") -> list[FoundCase]:
    """imagesTr/<id>_0000.* (one file a channel) or <id>.*, labelsTr/<id>.*; imagesVa and imagesTs: the test split.
    only: of one of these folders.

    Whether four digits at the end are a channel follows from the labels and from dataset.json, for all cases alike.
    Raises EngineError("no-cases", "channel-count", "duplicate-file", "bad-json").
    """
    description = read_description(folder)
    listed = _listed(folder, description)
    if listed:
        return listed
    expected = _channel_count(description)
    found = {
        part: (images_in(folder / part[0]), images_in(folder / part[1]) if (folder / part[1]).is_dir() else {})
        for part in PARTS
        if (folder / part[0]).is_dir()
    }
    if any(_modalities(images, masks) for images, masks in found.values()):
        return _by_modality(found)
    numbered = _are_channels(found.values(), expected)
    cases = []
    for (part, _, split), (images, masks) in found.items():
        if only not in ("", part):
            continue
        grouped = _by_channel(images, numbered)
        belongs = {owner: label for label, (owner, _) in owners(masks, grouped).items()}
        for name, channels in grouped.items():
            if expected and expected != len(channels) and not (len(channels) == 1 and -1 in channels):
                raise EngineError(
                    "channel-count",
                    f"{name} has {len(channels)} of the {expected} channels in dataset.json; add the rest.",
                )
            files = {f"image_{n:04d}": channels[n] for n in sorted(channels)}
            label = {"label": masks[belongs[name]]} if name in belongs else {}
            cases.append(FoundCase(name, files | label, tuple(files), split, layout="nnU-Net (imagesTr, labelsTr)"))
    if not cases:
        raise EngineError("no-cases", f"{folder.name}/{only or 'imagesTr'} holds no images; add them.")
    return cases


def _modalities(images: Mapping[str, Path], masks: Mapping[str, Path]) -> bool:
    """Whether all images are called `<id>__<modality>`, of a label `<id>` or beside another modality."""
    parts = [m for stem in images if stem not in masks and (m := MODALITY.match(stem))]
    starts = {m[1] for m in parts}
    return bool(parts) and len(parts) == len(images) and (len(starts) < len(parts) or bool(starts & set(masks)))


def _by_modality(found: Mapping[tuple[str, str, str], tuple[dict[str, Path], dict[str, Path]]]) -> list[FoundCase]:
    """As HECKTOR has it: imagesTr/<id>__CT.*, <id>__PT.* and labelsTr/<id>.*."""
    cases = []
    for (_, _, split), (images, masks) in found.items():
        grouped: dict[str, dict[str, Path]] = {}
        for stem, path in images.items():
            match = MODALITY.match(stem)
            name, modality = (match[1], match[2]) if match else (stem, "image")
            grouped.setdefault(name, {})[modality] = path
        for name, files in grouped.items():
            label = {"label": masks[name]} if name in masks else {}
            layout = "HECKTOR (imagesTr/<id>__CT, <id>__PT)"
            cases.append(FoundCase(name, files | label, tuple(sorted(files)), split, layout=layout))
    return cases


def read_description(folder: Path) -> Mapping[str, Any]:
    """The folder's dataset.json; empty without one. Raises EngineError("bad-json")."""
    path = folder / DESCRIPTION
    data = read_json(path) if path.is_file() else {}
    return data if isinstance(data, dict) else {}


def _listed(folder: Path, description: Mapping[str, Any]) -> list[FoundCase]:
    """The cases of the dictionary `dataset`: {name: {"images": [...], "label": ...}}, paths from the folder on."""
    entries = description.get("dataset")
    if not isinstance(entries, dict):
        return []
    names = names_with_ignored(description.get("labels"))
    cases = []
    for name, entry in entries.items():
        images = entry.get("images") if isinstance(entry, dict) else None
        if not isinstance(images, list) or not images or not all(isinstance(i, str) for i in images):
            raise EngineError(
                "bad-json", f"{name} in the dictionary dataset of {DESCRIPTION} has no list of images; mend it."
            )
        files = {f"image_{n:04d}": folder / image for n, image in enumerate(images)}
        label = entry.get("label")
        labels = {"label": folder / label} if isinstance(label, str) else {}
        layout = "nnU-Net (dataset in dataset.json)"
        cases.append(FoundCase(str(name), files | labels, tuple(files), class_names=names, layout=layout))
    return cases


def in_channels(images: Mapping[str, Path], masks: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    """{case: {short name: file}} of a folder of images: `image`, or `image_0000`, ... where the names of the masks say
    that four digits at the end of an image's name are its channel."""
    numbered = any(m[1] in masks for stem in images if (m := CHANNEL.match(stem)))
    grouped = _by_channel(images, numbered and _are_channels([(dict(images), dict(masks))], 0))
    return {
        name: {"image" if n < 0 or len(files) == 1 else f"image_{n:04d}": files[n] for n in sorted(files)}
        for name, files in grouped.items()
    }


def _are_channels(found: Collection[tuple[dict[str, Path], dict[str, Path]]], expected: int) -> bool:
    """Whether four digits at the end of an image's name are its channel, and not the end of the case's name."""
    numbered = [(stem, m[1], m[2]) for images, _ in found for stem in images if (m := CHANNEL.match(stem))]
    labels = {stem for _, masks in found for stem in masks}
    whole = sum(stem in labels for stem, _, _ in numbered)
    begun = sum(start in labels for _, start, _ in numbered)
    if whole != begun:
        return begun > whole
    numbers: dict[str, set[int]] = {}
    for _, start, number in numbered:
        numbers.setdefault(start, set()).add(int(number))
    if expected and numbers:
        return all(max(found) < expected for found in numbers.values())
    return all(0 in found for found in numbers.values())


def _by_channel(images: Mapping[str, Path], numbered: bool) -> dict[str, dict[int, Path]]:
    """id -> {channel: file}; a file without a channel number is the channel -1."""
    cases: dict[str, dict[int, Path]] = {}
    for stem, path in images.items():
        match = CHANNEL.match(stem) if numbered else None
        name, channel = (match[1], int(match[2])) if match else (stem, -1)
        cases.setdefault(name, {})[channel] = path
    return cases


def _channel_count(description: Mapping[str, Any]) -> int:
    """How many channels dataset.json lists; 0 if it does not say."""
    channels = description.get("channel_names") or description.get("modality")
    return len(channels) if isinstance(channels, dict) else 0


MASKS = ("dseg", "mask", "seg", "roi", "msk")
OTHER_KINDS = ("func", "dwi", "fmap", "perf", "eeg", "meg", "beh")
"""Folders that hold no anatomy."""
_PLACES = ("sub", "ses")


def is_bids(folder: Path) -> bool:
    raw = folder / "rawdata"
    parts = [*subfolders(folder), *(subfolders(raw) if raw.is_dir() else [])]
    return any(re.fullmatch(r"sub-[A-Za-z0-9]+", sub.name) for sub in parts) or (
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
    entity `label-` names the class; several of these are a mask a class. Results of this engine are no data.
    """
    sessions: dict[str, _Session] = {}
    raw, derived = [folder, folder / "rawdata"], folder / "derivatives"
    others = [sub for sub in subfolders(derived) if not is_own_derivative(sub)] if derived.is_dir() else []
    for root in [*raw, *([derived, *others] if derived.is_dir() else [])]:
        for path in _files(root) if root.is_dir() else ():
            _take(path, sessions, derived=root not in raw)
    return [
        _of_session(name, session) for name, session in sorted(sessions.items()) if session.images or session.derived
    ]


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


def _of_session(name: str, session: _Session) -> FoundCase:
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
            rows = read_csv(table)
            pairs = [(row.get("index") or "", row.get("name") or "") for row in rows]
            return {int(index): name for index, name in pairs if index.strip().isdigit() and name and int(index)}
    return {}
