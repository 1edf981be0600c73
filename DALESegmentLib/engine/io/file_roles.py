"""Which of a case's files is the image, the label, the reference."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from ..core.errors import EngineError
from .case import CaseSource
from .case_folder import FoundCase

LABEL, SUFFIXES = "label", ("_label", "_seg", "_mask")
NEVER_IMAGES = (LABEL, "trusted", "confidence", "reference")


def give_roles(
    case: FoundCase, image: Sequence[str] = (), label: str = "", reference: str = "", seed: int = 0
) -> CaseSource:
    """The case's files with their roles.

    image: short names, one a channel. label: a short name; of several (commas, *) one is drawn, the same one
    for the same case and seed whatever other cases there are. reference: a short name, or "votes:2" for a
    value of at least 2.
    Raises EngineError("image-unclear", "no-image", "no-label" or "no-reference").
    """
    if case.arrays is not None:
        return CaseSource(case.name, arrays=case.arrays, split=case.split, patient=case.patient)
    images = _image_names(case, image)
    reference_name, threshold = _threshold(reference)
    if reference and reference_name not in case.files:
        raise _absent(case, "reference", reference_name)
    roles = (*images, reference_name, "trusted", "confidence")
    label_name = _drawn(case, label, roles, seed) if label else _usual_label(case, images)
    return CaseSource(
        case.name,
        tuple(case.files[name] for name in images),
        case.files.get(label_name),
        case.files.get("trusted"),
        case.files.get("confidence"),
        case.files.get(reference_name or "reference"),
        threshold,
        split=case.split,
        patient=case.patient,
        class_names=case.class_names,
    )


def check_reference(reference: str) -> None:
    """Raises EngineError("bad-reference") for a threshold that is no number."""
    _threshold(reference)


def share(seed: int, name: str) -> int:
    """A number that depends on the seed and the name alone, for draws that other cases do not change."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")


def _image_names(case: FoundCase, wanted: Sequence[str]) -> tuple[str, ...]:
    if wanted and not (case.images and tuple(wanted) == case.images):
        for name in wanted:
            if name not in case.files:
                raise _absent(case, "image", name)
        return tuple(wanted)
    if case.images:
        return case.images
    if "image" in case.files:
        return ("image",)
    pairs = [n for n in case.files if any(n + suffix in case.files for suffix in SUFFIXES)]
    plain = [n for n in case.files if n not in NEVER_IMAGES and not n.endswith(SUFFIXES)]
    for candidates in (pairs, plain):
        if len(candidates) == 1:
            return (candidates[0],)
    if not plain:
        raise EngineError(
            "no-image",
            f"{case.name} holds {', '.join(case.files)} but no image of a known kind; add it, or say with the option "
            "image which file it is.",
        )
    raise EngineError(
        "image-unclear",
        f"{case.name} holds {', '.join(case.files)}; say with the option image which of them are images.",
    )


def _usual_label(case: FoundCase, images: Sequence[str]) -> str:
    usual = (LABEL, *(image + suffix for image in images for suffix in SUFFIXES))
    return next((name for name in usual if name in case.files), "")


def _drawn(case: FoundCase, label: str, taken: Iterable[str], seed: int) -> str:
    patterns = [part.strip() for part in label.split(",") if part.strip()]
    names = sorted(
        name
        for name in case.files
        if any(name == p or ("*" in p and fnmatchcase(name, p) and name not in taken) for p in patterns)
    )
    if not names:
        raise _absent(case, "label", label)
    return names[share(seed, case.name) % len(names)]


def _threshold(reference: str) -> tuple[str, float | None]:
    name, colon, number = reference.rpartition(":")
    if not colon:
        return reference, None
    try:
        return name, float(number)
    except ValueError as error:
        raise EngineError(
            "bad-reference", f"The reference {reference} is not understood; write for instance votes:2."
        ) from error


def _absent(case: FoundCase, role: str, name: str) -> EngineError:
    there = f"it holds {', '.join(case.files)}" if case.files else "it holds no image files"
    return EngineError(f"no-{role}", f"{case.name} has no {role} {name} ({there}); choose another name or add it.")
