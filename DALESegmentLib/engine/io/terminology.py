"""What classes are shown and coded as, the same in every file: colours and DICOM codes.

Colours are after Okabe and Ito (2008), "Color Universal Design", from the eighth class on with other brightness. Codes
are those of the entry of DICOM's context groups for segments (PS3.16, CID 7191, 7192 and 7194) that is called as the
class is; else the general "Tissue".
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.files import replacing
from ..geometry.grid import Geometry
from .segmentations import Segment, Segmentation

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

OKABE_ITO = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
GOLDEN = 0.618


# (confidence, red, green, blue): from magenta (doubtful) over orange to pale yellow (nearly sure). Lightness rises all
# the way, so the order holds with any colour vision and on a grey print.
CONFIDENCE_RAMP = np.array(
    [(0.0, 0.75, 0.00, 0.55), (0.4, 0.93, 0.26, 0.30), (0.7, 0.98, 0.58, 0.15), (1.0, 1.00, 0.95, 0.55)]
)


def class_colour(value: int) -> tuple[int, int, int]:
    """Red, green, blue (0 to 255) of a label value; black of the background, 0."""
    if value == 0:
        return (0, 0, 0)
    if 0 < value <= len(OKABE_ITO):
        return OKABE_ITO[value - 1]
    red, green, blue = colorsys.hsv_to_rgb(GOLDEN * value % 1, 0.75, 0.95 if value % 2 else 0.7)
    return round(255 * red), round(255 * green), round(255 * blue)


def named_segments(label: np.ndarray, geometry: Geometry, names: Mapping[int, str]) -> Segmentation:
    """A label map (k, j, i) as a segmentation for Slicer: a segment for each name, in the order of their values, with
    its colour and terminology. names: {value: name}."""
    segments = []
    for value, name in sorted(names.items()):
        red, green, blue = (round(part / 255, 4) for part in class_colour(value))
        tags = {"TerminologyEntry": terminology_tag(name)}
        segments.append(Segment(f"Segment_{value}", name, (red, green, blue), tags, label_value=value))
    return Segmentation(segments, np.asarray(label)[None], geometry)


def write_visible(path: Path, label: np.ndarray) -> None:
    """A label map (*grid, 2D) as a picture in the colours of its classes, for people: values of 1 look black.

    Raises EngineError("cannot-write" or "disk-full").
    """
    from PIL import Image

    values = np.unique(label)
    table = np.array([class_colour(int(value)) for value in values], np.uint8)
    with replacing(path) as temporary:
        Image.fromarray(table[np.searchsorted(values, label)]).save(temporary, "PNG")


GROUPS = {
    7194: ("49755003", "SCT", "Morphologically Abnormal Structure"),
    7192: ("123037004", "SCT", "Anatomical Structure"),
    7191: ("85756007", "SCT", "Tissue"),
}
"""With the category of each (CID 7150), in the order they are looked through."""
ANATOMY = ("Anatomic codes - DICOM master list", "^^", "^^")
SPELLINGS = {
    "tumor": "neoplasm",
    "tumour": "neoplasm",
    "cancer": "neoplasm",
    "oesophagus": "esophagus",
    "fat": "adiposetissue",
    "muscle": "muscletissue",
    "bone": "bonetissue",
    "oedema": "edema",
    "ventricle": "brainventricle",
}


def codes_of(name: str) -> tuple[Code, Code]:
    """Category and type of a class, by its English name in any spelling (`Left_Kidney`, `lung nodules`)."""
    from pydicom.sr.coding import Code

    known = _known()
    words = [w for w in re.split(r"[^a-z0-9]+", name.casefold()) if w and w not in ("left", "right", "of", "the")]
    key = "".join(words)
    found = _entry(key, known)
    if found is None and words:  # "lung nodule" is a nodule, but "lung fissure" no fissure of another organ
        last = _entry(words[-1], known)
        found = last if last is not None and last[0].value == GROUPS[7194][0] else None
    return found or (Code(*GROUPS[7191]), Code(*GROUPS[7191]))


def terminology_tag(name: str) -> str:
    """Category and type of a class as Slicer writes them into a `.seg.nrrd` (vtkSlicerTerminologiesModuleLogic)."""
    parts = ["^".join((code.scheme_designator, code.value, code.meaning)) for code in codes_of(name)]
    return "~".join(("Segmentation category and type - DICOM master list", *parts, "^^", *ANATOMY))


def _entry(word: str, known: Mapping[str, tuple[Code, Code]]) -> tuple[Code, Code] | None:
    one = word.removesuffix("s")
    tried = (word, SPELLINGS.get(word, ""), one, SPELLINGS.get(one, ""))
    return next((known[each] for each in tried if each in known), None)


@lru_cache(maxsize=1)
def _known() -> dict[str, tuple[Code, Code]]:
    from pydicom.sr.codedict import Collection
    from pydicom.sr.coding import Code

    found: dict[str, tuple[Code, Code]] = {}
    for group, category in GROUPS.items():
        concepts = Collection(f"CID{group}").concepts
        for keyword, concept in concepts.items():
            found.setdefault(keyword.casefold().strip("_"), (Code(*category), concept))
    return found
