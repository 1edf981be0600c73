"""Image files without a folder of their own: one of them, or several in one folder, a case each."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import EngineError
from .case import SEGMENTATION, extension_of, stem_of
from .case_folder import FoundCase, by_stem, images_in
from .file_roles import LABEL, NEVER_IMAGES, SUFFIXES
from .name_pairs import common_word, is_label_name, is_rater_name, owners

RESULTS = {"segmentation", "probabilities", "confidence", "label_source", "regions"}  # what predict and review write
RECORD = ".results.sha256"
"""In a folder of results, with the hashes of what was written there."""
RESULTS |= {f"{stem}_visible" for stem in RESULTS} | {"confidence_fractional", "report", "reviewed"}
_ROLES = {**dict.fromkeys(SUFFIXES, LABEL), **{f"_{name}": name for name in NEVER_IMAGES}}
_SEQUENCE = r"0\d{3}|t1\w{0,2}|t2\w?|flair|pd|adc|dwi|swi|mra?|mri|cta?|pet"  # of one patient, or nnU-Net channels
_PART = re.compile(rf"(?:(.*)[_-])?({_SEQUENCE})$", re.I)


def case_of_file(path: Path) -> FoundCase:
    """An image file as a case, with `<its name>_label`, `_seg` or `_mask` beside it as its label.

    Raises EngineError("unknown-format" or "duplicate-file").
    """
    if extension_of(path) in ("", SEGMENTATION):
        raise EngineError("unknown-format", f"{path.name} is not an image of a known kind; {_instead(path)}.")
    stem = stem_of(path)
    beside = by_stem(p for p in sorted(path.parent.iterdir()) if extension_of(p) and _is_label_of(p, stem))
    label = {LABEL: next(iter(beside.values()))} if beside else {}
    return FoundCase(path.parent.name if stem == "image" else stem, {"image": path} | label, ("image",))


PACKED = {".mrb": "a scene that Slicer packed into one file", ".zip": "an archive"}
"""By extension; what lies in them is not looked at."""


def packed_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in PACKED and path.is_file()]


def unpack(name: str) -> str:
    """What to do with a packed file, to be typed as it stands; name: its name or path, as it is to be typed."""
    folder = name[: name.rindex(".")]
    return f"type python -m zipfile -e {shlex.quote(name)} {shlex.quote(folder)} to unpack it"


def _instead(path: Path) -> str:
    """What may be done with a file that is no image."""
    kind = path.suffix.lower()
    if path.name.upper() == "DICOMDIR":
        return "it lists what its folder holds; choose that folder"
    if kind in (".csv", ".json"):
        return "type --list for a list of cases"
    if kind in PACKED:
        return f"it is {PACKED[kind]}: {unpack(path.name)} in its folder, and choose the folder {path.stem}"
    return "choose an image or a folder of cases"


def _is_label_of(path: Path, stem: str) -> bool:
    return any(stem_of(path) == stem + suffix for suffix in SUFFIXES)


def one_case_each(folder: FoundCase) -> list[FoundCase]:
    """The cases in a folder that holds image files and does not say which of them is the image.

    Every image is a case, and `<id>_label`, `_seg` or `_mask` its label, `<id>_trusted` and the like what they say, or
    `segmentation-<id>` beside `volume-<id>`. With one image, or a file called "label", the folder itself is the case.
    Raises EngineError("image-unclear") where files may be channels, or masks, of another one's case.
    """
    roles = {name: end for name in folder.files for end in _ROLES if name.endswith(end)}
    images = [n for n in folder.files if n not in roles and not is_label_name(n) and not _is_segmentation(folder, n)]
    if len(images) < 2 or set(folder.files) & set(NEVER_IMAGES):
        return [folder]
    _check_apart(images, folder)
    cases = {name: {"image": folder.files[name]} for name in images}
    others = [name for name in folder.files if name not in cases]
    belongs = owners(others, images)
    for name in others:
        owner = name.removesuffix(roles.get(name, "")) if name in roles else belongs.get(name, ("", ""))[0]
        case = cases.get(owner) or cases.get(belongs.get(name, ("", ""))[0], {})
        role = _ROLES.get(roles.get(name, ""), LABEL)
        if not case or case.setdefault(role, folder.files[name]) != folder.files[name]:
            raise _unclear(folder, name)
    layout = "images in one folder" + (" with their labels" if any(LABEL in files for files in cases.values()) else "")
    return [FoundCase(name, files, ("image",), layout=layout) for name, files in cases.items()]


def _is_segmentation(folder: FoundCase, name: str) -> bool:
    return extension_of(folder.files[name]) == SEGMENTATION


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
        "give each case a folder of its own, or say with --image which of them are the images of one case.",
    )


def apart(case: FoundCase) -> list[FoundCase]:
    """Several images of one folder, each with a label of its own, are a case each; else the case as it is."""
    if case.arrays or case.images or case.class_files or "image" in case.files:
        return [case]
    labels = [name for name in case.files if is_label_name(name)]
    pairs = owners(labels, [name for name in case.files if name not in labels])
    if len({image for image, _ in pairs.values()}) < 2 or len(pairs) != len(labels):
        return [case]
    return [
        FoundCase(
            image,
            {"image": case.files[image], LABEL: case.files[label]},
            ("image",),
            label=LABEL,
            patient=case.name,
            layout="images with their labels beside them",
        )
        for label, (image, _) in pairs.items()
    ]


def in_parts(name: str, folders: Sequence[Path]) -> FoundCase | None:
    """The case whose image `<id>.*` and masks `<id>_<more>.*` have a folder each; None where it is not so."""
    found = [images_in(sub) for sub in folders]
    if len(found) < 2 or any(len(files) != 1 for files in found):
        return None
    files = {stem: path for each in found for stem, path in each.items()}
    image = min(files, key=len)
    if len(files) < len(found) or any(other != image and not other.startswith(f"{image}_") for other in files):
        return None
    masks = tuple(stem for stem in files if stem != image)
    rest = common_word(stem[len(image) + 1 :] for stem in masks)
    label = masks[0] if rest and not is_rater_name(rest) else ""
    return FoundCase(name, files, (image,), label=label, masks=masks, layout="one folder a case, and one a file")
