"""The known layouts of data folders: a folder per case, images beside masks, loose images, and the common public ones.

Folders within folders (batches, `train` and `val`) are looked into where a folder holds no case itself.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..core.errors import EngineError
from .case import extension_of, stem_of
from .case_folder import FoundCase, case_in, images_in, subfolders
from .class_names import read_json
from .dicom_tree import dicom_cases
from .file_roles import LABEL
from .loose_files import PACKED, RESULTS, apart, case_of_file, in_parts, one_case_each, packed_in, unpack
from .name_pairs import LABEL_WORDS, common_word, is_label_name, is_rater_name, owners
from .public_layouts import (
    bids_cases,
    in_channels,
    is_bids,
    is_nnunet,
    is_nnunet_part,
    nnunet_cases,
    nnunet_part,
    read_description,
)

KNOWN = (
    "one folder a case with image and label files; images and masks (or labels) side by side; "
    "imagesTr and labelsTr as nnU-Net has them; BIDS; BraTS; HECKTOR; the WMH challenge; TotalSegmentator; images "
    "alone; one case; a folder with "
    "DICOM slices; or one with patients, studies and series"
)
SPLIT_FILE = "split.json"
DEEPEST = 3
"""Folders within folders that are looked into."""
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "test", "testing"), "test"),
}
_IMAGES = re.compile(r"(?:.*[-_ ])?(?:images?|imgs?|inputs?|volumes?|scans?|data)", re.I)
_ABOUT_LABELS = re.compile(r"seg|mask|label|annot|truth|\bgt\b", re.I)
_LABELS = re.compile(rf"(?:.*[-_ ])?(?:{LABEL_WORDS})s?", re.I)


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
    if is_nnunet(folder):
        return nnunet_cases(folder)
    cases = _cases_in(folder, {"image", *image}, DEEPEST)
    if not cases and (packed := packed_in(folder)):
        first, files = packed[0], "file" if len(packed) == 1 else "files"
        raise EngineError(
            "no-cases",
            f"{folder.name} holds no image, but {len(packed)} packed {files}, of which {first.name} is "
            f"{PACKED[first.suffix.lower()]}: in that folder, {unpack(first.name)}.",
        )
    if not cases:
        raise EngineError("no-cases", f"No cases found in {folder.name}; known layouts are: {KNOWN}.")
    return _with_split(cases, folder / SPLIT_FILE)


def _cases_in(folder: Path, image: set[str], deep: int) -> list[FoundCase]:
    if is_nnunet(folder) or "dataset" in read_description(folder):
        return nnunet_cases(folder)
    if is_nnunet_part(folder):
        return nnunet_part(folder)
    if is_bids(folder):
        return bids_cases(folder)
    cases = _side_by_side(folder) or dicom_cases(folder) or _case_folders(folder, image)
    return cases or (_groups(folder, image, deep - 1) if deep else [])


def _groups(folder: Path, image: set[str], deep: int) -> list[FoundCase]:
    """The cases of all folders inside. One name in several of them: with the folder's name in front."""
    parts = [sub for sub in subfolders(folder) if not sub.is_symlink()]
    whole = in_parts(folder.name, parts)
    if whole is not None:
        return [whole]
    found = [(sub, _cases_in(sub, image, deep)) for sub in parts]
    times = Counter(case.name for _, cases in found for case in cases)
    return [
        replace(
            case,
            name=case.name if times[case.name] == 1 else f"{sub.name}_{case.name}",
            split=case.split or SPLITS.get(sub.name.lower(), ""),
        )
        for sub, cases in found
        for case in cases
    ]


def _case_folders(folder: Path, image: set[str]) -> list[FoundCase]:
    alone = case_in(folder)
    if alone and (alone.arrays or alone.images or image & set(alone.files)):
        return [alone]
    parts = subfolders(folder)
    if alone is None and in_parts(folder.name, parts) is not None:
        return []  # one case, of which each file has a folder
    inside = [case for sub in parts if (case := case_in(sub))]
    if alone is not None and all(case.files and set(case.files) <= RESULTS for case in inside):
        return one_case_each(alone)
    return [each for case in inside for each in apart(case)]


def _side_by_side(folder: Path) -> list[FoundCase]:
    """images/<id>.*, masks/<id>.* and masks/<id>_<name>.*; trusted/ and confidence/ alike; or two folders whose names
    say the same (`img` and `label`, `..._Input` and `..._GroundTruth`)."""
    parts = subfolders(folder)
    masks = [sub for sub in parts if _LABELS.fullmatch(sub.name)] or _paired(parts)
    exact = folder / "images"
    pictures = exact if exact.is_dir() else _image_folder(parts, masks)
    if pictures is None:
        return []
    masks.sort(key=lambda sub: (sub.name not in ("masks", "labels"), sub.name != "masks"))
    images = images_in(pictures)
    images = {name: path for name, path in images.items() if not _is_superpixels(name, images)}
    beside = {name: path for sub in masks[:1] for name, path in images_in(sub).items()}
    files = in_channels(images, beside)
    shown = {name: tuple(found) for name, found in files.items()}
    rests = _mask_files(masks, files)
    for extra in ("trusted", "confidence"):
        for stem, path in images_in(folder / extra).items() if (folder / extra).is_dir() else ():
            if stem in files:
                files[stem][extra] = path
    layout = f"{pictures.name} and {masks[0].name} side by side" if masks else f"{pictures.name} alone"
    one = _one_mask(rests, len(files))
    return [
        FoundCase(
            name,
            found,
            shown[name],
            label=one if one in found else "",
            masks=tuple(rests.get(name, ())),
            class_files=_class_folders(masks, name),
            layout=layout,
        )
        for name, found in files.items()
    ]


def _paired(parts: Sequence[Path]) -> list[Path]:
    """A folder whose name has to do with labels (`SegmentationClass`), where its files are called as those of the only
    other folder."""
    if len(parts) != 2:
        return []
    one, other = sorted(parts, key=lambda sub: _ABOUT_LABELS.search(sub.name) is not None)
    if _ABOUT_LABELS.search(one.name) or not _ABOUT_LABELS.search(other.name):
        return []
    names, labels = images_in(one), images_in(other)
    return [other] if len(owners(labels, names)) > len(labels) / 2 and "image" not in names else []


def _image_folder(parts: Sequence[Path], masks: Sequence[Path]) -> Path | None:
    found = [sub for sub in parts if _IMAGES.fullmatch(sub.name) and sub not in masks and images_in(sub)]
    if not found and len(masks) == 1 and len(parts) == 2:
        (other,) = (sub for sub in parts if sub not in masks)
        labels, names = images_in(masks[0]), images_in(other)
        found = [other] if labels and len(owners(labels, names)) > len(labels) / 2 and "image" not in names else []
    return found[0] if len(found) == 1 and any(images_in(sub) or subfolders(sub) for sub in masks) else None


def _is_superpixels(name: str, images: Mapping[str, Path]) -> bool:
    """ISIC has such a file beside each image."""
    return name.endswith("_superpixels") and name.removesuffix("_superpixels") in images


def _mask_files(folders: Sequence[Path], files: dict[str, dict[str, Path]]) -> dict[str, list[str]]:
    """Adds the masks to the files of their images; {image: their short names}. Those of a second folder are called
    after it."""
    rests: dict[str, list[str]] = {}
    for number, sub in enumerate(folders):
        masks = images_in(sub)
        raters = {
            f"{inner.name}/{n}": (n, p, inner.name) for inner in _raters_in(sub) for n, p in images_in(inner).items()
        }
        named = {stem: (stem, path, "") for stem, path in masks.items()} | raters
        stems = owners({stem for stem, _, _ in named.values()}, files)
        for stem, path, rater in named.values():
            if stem not in stems:
                continue
            image, rest = stems[stem]
            rest = "" if is_label_name(rest) and not is_rater_name(rest) else rest
            name = rater or rest or (LABEL if not number else sub.name)
            if files[image].setdefault(name, path) == path:
                rests.setdefault(image, []).append(name)
    return rests


def _raters_in(folder: Path) -> list[Path]:
    return [sub for sub in subfolders(folder) if is_rater_name(sub.name)]


def _class_folders(masks: Sequence[Path], name: str) -> dict[str, Path]:
    """masks/<class>/<id>.*: a mask a class."""
    found = {}
    for sub in masks[:1]:
        for inner in subfolders(sub):
            if not is_rater_name(inner.name):
                path = next((p for p in sorted(inner.glob("*")) if extension_of(p) and stem_of(p) == name), None)
                if path is not None:
                    found[inner.name] = path
    return found


def _one_mask(rests: Mapping[str, Sequence[str]], images: int) -> str:
    """The name that is the label's where each image has one mask, and all are called alike."""
    if len(rests) < images or any(len(names) != 1 for names in rests.values()):
        return ""
    return common_word(name for names in rests.values() for name in names) or ""


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
