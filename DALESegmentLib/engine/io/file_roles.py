"""Which of a case's files is the image, the label, the reference."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from ..core.errors import EngineError
from .case import BY_RATER, SEGMENTATION, CaseSource, extension_of, patient_of
from .case_folder import FoundCase
from .name_pairs import (
    LABEL_WORDS,
    is_label_name,
    is_rater_name,
    numbered_last,
    rater_named,
    rater_names,
    without_word,
)

LABEL, SUFFIXES = "label", ("_label", "_seg", "_mask")
NEVER_IMAGES = (LABEL, "trusted", "confidence", "reference")


def give_roles(
    case: FoundCase,
    image: Sequence[str] = (),
    label: str = "",
    reference: str = "",
    seed: int = 0,
    rater: str = "",
) -> CaseSource:
    """The case's files with their roles.

    image: short names, one a channel. label: a short name; of several (commas, *) one is drawn, the same one
    for the same case and seed whatever other cases there are. reference: a short name, or "votes:2" for a
    value of at least 2. rater: of several labels, the one with that name, or the number it ends in.
    Raises EngineError("image-unclear", "no-image", "no-label" or "no-reference").
    """
    if case.arrays is not None:
        return CaseSource(case.name, arrays=case.arrays, split=case.split, patient=case.patient, layout=case.layout)
    images = _image_names(case, image)
    reference_name, threshold = _threshold(reference)
    if reference and reference_name not in case.files:
        raise _absent(case, "reference", reference_name)
    roles = (*images, reference_name, "trusted", "confidence")
    others = [name for name in case.files if name not in roles and name not in ("reference", *case.images)]
    if label:
        label_name = _drawn(case, label, roles, seed)
    elif rater:
        label_name = _of_rater(case, others, rater)
    else:
        label_name = _usual_label(case, images, others)
    candidates = [] if label_name or case.class_files else [n for n in others if _may_be_label(case, n)]
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
        class_files={} if label_name else case.class_files,
        candidates=tuple(numbered_last(candidates)),
        layout=case.layout,
        image_names=images,
        rater=label_name if rater or rater_names([label_name]) else "",
    )


ALL_RATERS = "all"


def give_raters(
    case: FoundCase, image: Sequence[str], label: str, reference: str, seed: int, rater: str
) -> list[CaseSource]:
    """As `give_roles`; where `rater` means several, a source for each of them that labelled the case.

    rater: "all", or names with commas or `*`. The sources share the case's images and patient, and are called
    `case@rater`. Raises EngineError("raters-unclear") with a `label`, and what `give_roles` raises.
    """
    if not means_several(rater) or case.arrays is not None:
        return [give_roles(case, image, label, reference, seed, rater)]
    if label:
        raise EngineError(
            "raters-unclear", "--rater names several labels a case and --label one; leave one of them out."
        )
    taken = (*_image_names(case, image), _threshold(reference)[0], *case.images, "trusted", "confidence", "reference")
    others = [name for name in case.files if name not in taken and _may_be_rater(case, name)]
    named = rater_names(others) if rater == ALL_RATERS else _raters_named(others, rater)
    if not named:
        raise _absent(case, "label", f"of {'several raters' if rater == ALL_RATERS else f'raters {rater}'}")
    sources = [give_roles(case, image, name, reference, seed) for name in named]
    patient = patient_of(sources[0])
    return [
        replace(s, name=f"{case.name}{BY_RATER}{name}", of_case=case.name, rater=name, patient=patient)
        for s, name in zip(sources, named, strict=True)
    ]


def means_several(rater: str) -> bool:
    return rater == ALL_RATERS or "," in rater or "*" in rater


def rater_parts(rater: str) -> list[str]:
    """The names, numbers and patterns that `rater` lists."""
    return [part.strip() for part in rater.split(",") if part.strip()]


def is_meant(rater: str, part: str) -> bool:
    """Whether a part of `rater_parts` means this rater."""
    return rater_named([rater], part) is not None or ("*" in part and fnmatchcase(rater, part))


def _raters_named(names: Sequence[str], rater: str) -> list[str]:
    """Without parts that mean none of them: a rater may have labelled some cases alone."""
    found: list[str] = []
    for part in rater_parts(rater):
        exact = rater_named(names, part)
        some = [exact] if exact is not None else [name for name in names if "*" in part and fnmatchcase(name, part)]
        found += [name for name in numbered_last(some) if name not in found]
    return found


def _may_be_rater(case: FoundCase, name: str) -> bool:
    return name != case.label and (_may_be_label(case, name) or bool(rater_names([name])))


def check_reference(reference: str) -> None:
    """Raises EngineError("bad-reference") for a threshold that is no number."""
    _threshold(reference)


def share(seed: int, name: str) -> int:
    """A number that depends on the seed and the name alone, for draws that other cases do not change."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")


def _image_names(case: FoundCase, wanted: Sequence[str]) -> tuple[str, ...]:
    if wanted and tuple(wanted) != case.images:
        for name in wanted:
            if name not in case.files:
                raise _absent(case, "image", name)
        return tuple(wanted)
    if case.images:
        return case.images
    if "image" in case.files:
        return ("image",)
    pairs = [n for n in case.files if any(n + suffix in case.files for suffix in SUFFIXES)]
    plain = [
        n for n in case.files if n not in NEVER_IMAGES and not n.endswith(SUFFIXES) and not is_segmentation(case, n)
    ]
    pairs = [n for n in pairs if n in plain]
    unlabelled = [n for n in plain if not _may_be_label(case, n)]
    for candidates in (pairs, plain, unlabelled):
        if len(candidates) == 1:
            return (candidates[0],)
    if not plain:
        raise EngineError(
            "no-image",
            f"{case.name} holds {', '.join(case.files)} but no image of a known kind; add it, or say with --image "
            "which file it is.",
        )
    # HECKTOR's <id> is the label of <id>__CT
    images = [n for n in unlabelled or plain if not any(other.startswith(f"{n}__") for other in plain)]
    raise EngineError(
        "image-unclear",
        f"{case.name} holds {', '.join(case.files)}; say with --image which of them are images, for instance "
        f"--image {shlex.quote(','.join(images))}.",
    )


def is_segmentation(case: FoundCase, name: str) -> bool:
    """Whether the file says by its kind that it is no image."""
    return extension_of(case.files[name]) == SEGMENTATION or name in case.masks


def _may_be_label(case: FoundCase, name: str) -> bool:
    return is_segmentation(case, name) or is_label_name(name) or is_rater_name(name)


def _usual_label(case: FoundCase, images: Sequence[str], others: Sequence[str]) -> str:
    """What the layout calls the label, or has the usual name of one, or is the only one that can be one."""
    if case.label:
        return case.label
    usual = (LABEL, *(image + suffix for image in images for suffix in SUFFIXES))
    if case.class_files or any(name in case.files and name not in images for name in usual):
        return next((name for name in usual if name in case.files and name not in images), "")
    number = re.search(r"\d{3,}$", case.name)
    own = f"label{number[0]}" if number else ""  # as of no rater, but of the case
    named = [n for n in others if is_label_name(n) and (not is_rater_name(n) or n == own)]
    kinds = {n: extension_of(case.files[n]) for n in others}
    slicer = [n for n in others if kinds[n] == SEGMENTATION or (kinds[n] in ("", ".dcm") and n in case.masks)]
    words = [n for n in named if without_word(n, LABEL_WORDS) is None]
    for found in (slicer, words, named):
        if len(found) == 1:
            return found[0]
    return ""


def _of_rater(case: FoundCase, others: Sequence[str], rater: str) -> str:
    labels = [n for n in others if _may_be_label(case, n)]
    if (found := rater_named(labels, rater)) is not None:
        return found
    raise _absent(case, "label", f"of rater {rater}")


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
