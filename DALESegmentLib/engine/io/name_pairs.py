"""What file names say: which are labels, which of several raters', and which label belongs to which image.

Names differ by a word for what the file is (`img0001` and `label0001`, `volume-0` and `segmentation-0`, `p0` and
`p0_mask`), at either end or between two other parts. Without that word both are called the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

LABEL_WORDS = "labels?|lbl|seg|segm|segmentations?|masks?|gt|ground(?:[-_ ]?truth)?|truth|annotations?|manual|dseg"
IMAGE_WORDS = "images?|imgs?|im|volumes?|vol|scans?|inputs?|imaging|raw|orig|original|data|ct|cta|mri?|pet|us"
RATER = re.compile(
    rf"(?:(?:{LABEL_WORDS})[-_ ]?)?(?:(?:rater|reader|annotator|expert|observer|obs|radiologist|doctor|r)[-_ ]?\d+|"
    rf"(?:{LABEL_WORDS})[-_ ]?\d+)",
    re.I,
)

_RATER_AND_MORE = re.compile(rf"(?:{RATER.pattern})[-_ ]\w+", re.I)


def without_word(name: str, words: str) -> str | None:
    """The name without the word for what it is; None where it has none, or is nothing else."""
    between = re.fullmatch(
        rf"(?:{words})[-_ .]*(?=\d)(?P<a>.+)|(?:{words})[-_ .]+(?P<b>.+)|(?P<c>.+?)[-_ .]+(?:{words})|"
        rf"(?P<d>.+?)[-_ .]+(?:{words})(?P<e>[-_ .]+.+)",
        name,
        re.I,
    )
    if between is None:
        return None
    return between["d"] + between["e"] if between["d"] else next(part for part in between.groups() if part)


def is_label_name(name: str) -> bool:
    """Whether the name says that the file is a label: `mask`, `p0_seg`, `label0001`."""
    return re.fullmatch(LABEL_WORDS, name, re.I) is not None or without_word(name, LABEL_WORDS) is not None


def is_rater_name(name: str) -> bool:
    """Whether the name is that of one of several raters' labels: `r1`, `rater_2`, `label_1`."""
    return RATER.fullmatch(name) is not None


def rater_names(names: Iterable[str]) -> list[str]:
    """Those of several raters' labels, numbers by their value; also with a word after that (`r1_Amira`)."""
    return numbered_last(name for name in names if is_rater_name(name) or _RATER_AND_MORE.fullmatch(name))


def rater_named(names: Iterable[str], rater: str) -> str | None:
    """Which of the names `--rater` means: the name itself, or the one that ends in that number."""
    names = list(names)
    if rater in names:
        return rater
    ending = re.compile(rf"(?:.*\D)?0*{re.escape(rater)}")
    found = [name for name in names if rater.isdigit() and ending.fullmatch(name)]
    return found[0] if len(found) == 1 else None


def owners(labels: Iterable[str], images: Collection[str]) -> dict[str, tuple[str, str]]:
    """{label: (its image, what its name says beside that)} for the labels that belong to an image.

    The name is that of the image; or that and something after an underscore, a dash or a dot; or it is the same once
    the words for image and label are left out, whatever their capitals.
    """
    plain: dict[str, list[str]] = {}
    for image in images:
        for key in {image.casefold(), (without_word(image, IMAGE_WORDS) or image).casefold()}:
            plain.setdefault(key, []).append(image)
    found = {}
    for label in labels:
        start = _start_of(label, images)
        if start is not None:
            found[label] = start, label[len(start) + 1 :]
            continue
        key = (without_word(label, LABEL_WORDS) or label).casefold()
        same = plain.get(key, [])
        if len(same) == 1:
            found[label] = same[0], ""
    return found


def _start_of(label: str, images: Collection[str]) -> str | None:
    """The longest image name that the label's name is, or starts with before `_`, `-` or a dot."""
    end = len(label)
    while end > 0:
        if label[:end] in images:
            return label[:end]
        end = max(label.rfind(mark, 0, end) for mark in "_-.")
    return None


def common_word(rests: Iterable[str]) -> str | None:
    """What all these names say beside the image's, where it is the same and no rater's."""
    kinds = set(rests)
    return kinds.pop() if len(kinds) == 1 and not any(is_rater_name(kind) for kind in kinds) else None


def numbered_last(names: Iterable[str]) -> list[str]:
    """In the order of their names, numbers by their value: `r2` before `r10`."""
    return sorted(names, key=lambda n: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", n)])
