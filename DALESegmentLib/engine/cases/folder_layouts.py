"""The layouts of data folders that are known. No search goes deeper than two levels."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import EngineError
from .case_folder import FoundCase, case_in, images_in, subfolders
from .class_names import read_json
from .loose_images import RESULTS, case_of_file, one_case_each

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
    split = {str(name): kind for kind, names in lists.items() for name in names}
    return [replace(case, split=split.get(case.name, case.split)) for case in cases]
