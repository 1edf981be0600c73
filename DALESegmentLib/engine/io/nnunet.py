"""nnU-Net's and the decathlon's folders: imagesTr, labelsTr, imagesTs; or the dictionary `dataset` of dataset.json."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import EngineError
from .case_folder import FoundCase, images_in
from .class_names import DESCRIPTION, names_in, read_json
from .name_pairs import owners

PARTS = (
    ("imagesTr", "labelsTr", "train"),
    ("imagesVa", "labelsVa", "test"),
    ("imagesVal", "labelsVal", "test"),
    ("imagesTs", "labelsTs", "test"),
)
CHANNEL = re.compile(r"(.+)_(\d{4})$")


def is_nnunet(folder: Path) -> bool:
    return (folder / "imagesTr").is_dir() or (folder / "imagesTs").is_dir()


def nnunet_cases(folder: Path) -> list[FoundCase]:
    """imagesTr/<id>_0000.* (one file a channel) or <id>.*, labelsTr/<id>.*; imagesVa and imagesTs: the test split.

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
    numbered = _are_channels(found.values(), expected)
    cases = []
    for (_, _, split), (images, masks) in found.items():
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
        raise EngineError("no-cases", f"{folder.name} has a folder imagesTr, but no images in it; add them.")
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
    names = names_in(description.get("labels"))
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
