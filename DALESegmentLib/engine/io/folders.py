"""The known layouts of data folders: a folder per case, nnU-Net, files side by side, and loose images.

No search goes deeper than two levels. Loose images are one case, or many cases in one folder, one image each.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..core.errors import EngineError
from .case import SEGMENTATION, extension_of, stem_of
from .case_folder import FoundCase, by_stem, case_in, images_in, subfolders
from .class_names import read_json
from .file_roles import LABEL, NEVER_IMAGES, SUFFIXES

KNOWN = (
    "one folder a case with image and label files; images and masks (or labels) side by side; "
    "imagesTr and labelsTr as nnU-Net has them; images alone; one case; or a folder with DICOM slices"
)
SPLIT_FILE = "split.json"
CHANNEL = re.compile(r"(.+)_(\d{4})$")


def cases_of(folder: Path, image: Sequence[str] = ()) -> list[FoundCase]:
    """The cases of a folder, whichever layout it has, or of one image file, each with its split where one is given.

    image: short names of image files the user gave; they help to tell one case from a folder of cases.
    Raises EngineError("missing-folder", "no-cases", "bad-json", "duplicate-file", "channel-count",
    "image-unclear" or "unknown-format").
    """
    folder = Path(os.path.abspath(folder))  # "." has no name of its own
    if folder.is_file():
        return [case_of_file(folder)]
    if not folder.is_dir():
        raise EngineError("missing-folder", f"{folder.name} is not there; check its name and place.")
    if (folder / "imagesTr").is_dir():
        return _nnunet(folder)
    if (folder / "images").is_dir():
        cases = _side_by_side(folder)
    else:
        cases = _case_folders(folder, {"image", *image})
    if not cases:
        raise EngineError("no-cases", f"No cases found in {folder.name}; known layouts are: {KNOWN}.")
    return _with_split(cases, folder / SPLIT_FILE)


def _case_folders(folder: Path, image: set[str]) -> list[FoundCase]:
    alone = case_in(folder)
    if alone and (alone.arrays or alone.images or image & set(alone.files)):
        return [alone]
    inside = [case for sub in subfolders(folder) if (case := case_in(sub))]
    if alone is not None and all(case.files and set(case.files) <= RESULTS for case in inside):
        return one_case_each(alone)
    return inside


def _side_by_side(folder: Path) -> list[FoundCase]:
    """images/<id>.*, masks/<id>.* and masks/<id>_<name>.*; trusted/ and confidence/ alike."""
    images = images_in(folder / "images")
    files: dict[str, dict[str, Path]] = {name: {"image": path} for name, path in images.items()}
    masks = next((folder / n for n in ("masks", "labels") if (folder / n).is_dir()), None)
    for stem, path in images_in(masks).items() if masks else ():
        owner = _owner(stem, images)
        if owner is not None:
            files[owner][stem[len(owner) + 1 :] or "label"] = path
    for extra in ("trusted", "confidence"):
        for stem, path in images_in(folder / extra).items() if (folder / extra).is_dir() else ():
            if stem in files:
                files[stem][extra] = path
    return [FoundCase(name, found, ("image",)) for name, found in files.items()]


def _owner(stem: str, ids: dict[str, Path]) -> str | None:
    """The longest id that the mask's name starts with, followed by nothing or by an underscore."""
    while stem and stem not in ids:
        stem = stem.rpartition("_")[0]
    return stem or None


def _nnunet(folder: Path) -> list[FoundCase]:
    """imagesTr/<id>_0000.* (one file a channel), labelsTr/<id>.*; imagesTs and labelsTs: the test split."""
    expected = _channel_count(folder / "dataset.json")
    cases = []
    for images, labels, split in (("imagesTr", "labelsTr", "train"), ("imagesTs", "labelsTs", "test")):
        if not (folder / images).is_dir():
            continue
        masks = images_in(folder / labels) if (folder / labels).is_dir() else {}
        for name, channels in _by_channel(images_in(folder / images)).items():
            if expected and expected != len(channels) and not (len(channels) == 1 and -1 in channels):
                raise EngineError(
                    "channel-count",
                    f"{name} has {len(channels)} of the {expected} channels in dataset.json; add the rest.",
                )
            files = {f"image_{n:04d}": channels[n] for n in sorted(channels)}
            label = {"label": masks[name]} if name in masks else {}
            cases.append(FoundCase(name, files | label, tuple(files), split))
    if not cases:
        raise EngineError("no-cases", f"{folder.name} has a folder imagesTr, but no images in it; add them.")
    return cases


def _by_channel(images: dict[str, Path]) -> dict[str, dict[int, Path]]:
    """id -> {channel: file}; a file without a channel number is the channel -1."""
    cases: dict[str, dict[int, Path]] = {}
    for stem, path in images.items():
        match = CHANNEL.match(stem)
        name, channel = (match[1], int(match[2])) if match else (stem, -1)
        cases.setdefault(name, {})[channel] = path
    return cases


def _channel_count(description: Path) -> int:
    """How many channels dataset.json lists; 0 if it does not say."""
    data = read_json(description) if description.is_file() else {}
    channels = (data.get("channel_names") or data.get("modality")) if isinstance(data, dict) else None
    return len(channels) if isinstance(channels, dict) else 0


def _with_split(cases: list[FoundCase], path: Path) -> list[FoundCase]:
    if not path.is_file():
        return cases
    data = read_json(path)
    lists = {split: data.get(split, []) for split in ("train", "test")} if isinstance(data, dict) else {}
    if not lists or not all(isinstance(names, list) for names in lists.values()):
        raise EngineError("bad-json", f'{path.name} must look like {{"train": [names], "test": [names]}}; mend it.')
    both = set(map(str, lists["train"])) & set(map(str, lists["test"]))
    if both:
        raise EngineError(
            "split-overlap", f"{min(both)} is in both train and test of {path.name}; keep it in one of them."
        )
    split = {_composed(str(name)): kind for kind, names in lists.items() for name in names}
    return [replace(case, split=split.get(_composed(case.name), case.split)) for case in cases]


def _composed(name: str) -> str:
    """macOS and its archives may write an umlaut as letter and accent where a list has one character."""
    return unicodedata.normalize("NFC", name)


RESULTS = {"segmentation", "probabilities", "confidence", "label_source", "regions"}  # what predict and review write
RESULTS |= {f"{stem}_visible" for stem in RESULTS} | {"confidence_fractional", "report", "reviewed"}
_ROLES = {**dict.fromkeys(SUFFIXES, LABEL), **{f"_{name}": name for name in NEVER_IMAGES}}
_SEQUENCE = r"0\d{3}|t1\w{0,2}|t2\w?|flair|pd|adc|dwi|swi|mra?|mri|cta?|pet"  # of one patient, or nnU-Net channels
_PART = re.compile(rf"(?:(.*)[_-])?({_SEQUENCE})$", re.I)


def case_of_file(path: Path) -> FoundCase:
    """An image file as a case, with `<its name>_label`, `_seg` or `_mask` beside it as its label.

    Raises EngineError("unknown-format" or "duplicate-file").
    """
    if extension_of(path) in ("", SEGMENTATION):
        raise EngineError(
            "unknown-format",
            f"{path.name} is not an image of a known kind; choose an image or a folder of cases "
            "(a CSV or JSON goes to the option list).",
        )
    stem = stem_of(path)
    beside = by_stem(p for p in sorted(path.parent.iterdir()) if extension_of(p) and _is_label_of(p, stem))
    label = {LABEL: next(iter(beside.values()))} if beside else {}
    return FoundCase(path.parent.name if stem == "image" else stem, {"image": path} | label, ("image",))


def _is_label_of(path: Path, stem: str) -> bool:
    return any(stem_of(path) == stem + suffix for suffix in SUFFIXES)


def one_case_each(folder: FoundCase) -> list[FoundCase]:
    """The cases in a folder that holds image files and does not say which of them is the image.

    Every image is a case, and `<id>_label`, `_seg` or `_mask` its label, `<id>_trusted` and the like what they say.
    With one image, or a file called "label", the folder itself is the case.
    Raises EngineError("image-unclear") where files may be channels, or masks, of another one's case.
    """
    images = [name for name in folder.files if not name.endswith(tuple(_ROLES))]
    if len(images) < 2 or set(folder.files) & set(NEVER_IMAGES):
        return [folder]
    _check_apart(images, folder)
    cases = {name: {"image": folder.files[name]} for name in images}
    for name, path in folder.files.items():
        if name in cases:
            continue
        suffix = next(end for end in _ROLES if name.endswith(end))
        case = cases.get(name.removesuffix(suffix), {})
        if not case or case.setdefault(_ROLES[suffix], path) != path:
            raise _unclear(folder, name)
    return [FoundCase(name, files, ("image",)) for name, files in cases.items()]


def _check_apart(images: list[str], folder: FoundCase) -> None:
    """No image may be named as a part of another: `a_0000` and `a_0001`, `t1` and `flair`, `a` and `a_contour`.

    Numbers alone, or without nnU-Net's first channel 0000, are numbers of cases.
    """
    parts: dict[str, list[str]] = {}
    for name in images:
        if any(name.startswith(other + "_") for other in images):
            raise _unclear(folder, name)
        match = _PART.match(name)
        if match and (match[1] or not match[2].isdigit()):
            parts.setdefault(match[1] or "", []).append(match[2])
    for whole, found in parts.items():
        if len(found) > 1 and ("0000" in found or not all(part.isdigit() for part in found)):
            raise _unclear(folder, next(name for name in images if whole in name and name.endswith(found[-1])))


def _unclear(folder: FoundCase, name: str) -> EngineError:
    return EngineError(
        "image-unclear",
        f"{folder.name} holds {', '.join(folder.files)}, and {name} may belong to the case of another one; "
        "give each case a folder of its own, or say with the option image which of them are the images of one case.",
    )
