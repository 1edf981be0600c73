"""Array cases: a case as a folder of memory-mapped arrays, for handing it from one program to another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.files import replacing
from ..geometry.grid import Geometry
from .case import Case
from .checks import check_confidence, check_exists, check_geometry, check_image, check_label, label_values, unreadable
from .class_names import IGNORE, matching_values, means_not_annotated, nameless, read_json
from .images import as_label
from .label_encoding import Decoded

DESCRIPTION = "case.json"
_KINDS = {"image": "f", "label": "iu", "trusted": "b", "confidence": "f"}


def save_array_case(case: Case, folder: Path | str) -> None:
    """Write case.json, image.npy and, as far as they exist, label.npy, trusted.npy and confidence.npy.

    Each file appears whole or not at all; arrays of an earlier case that this one lacks are removed.
    Raises EngineError("cannot-write").
    """
    folder = Path(folder)
    label, class_names = with_ignored(case)
    case = replace(case, label=label, class_names=class_names, annotated=None)
    for part, array in _typed(case).items():
        target = folder / f"{part}.npy"
        if array is None:
            target.unlink(missing_ok=True)
            continue
        with replacing(target) as temporary:
            np.save(temporary, array, allow_pickle=False)
    description = {
        "name": case.name,
        "geometry": case.geometry.as_dict(),
        "class_names": {str(value): name for value, name in case.class_names.items()},
    }
    with replacing(folder / DESCRIPTION) as temporary:
        temporary.write_text(json.dumps(description, indent=1), encoding="utf-8", newline="\n")


def load_array_case(folder: Path | str, name: str | None = None, known_names: Mapping[int, str] | None = None) -> Case:
    """The case in a folder, its arrays memory-mapped and read-only, checked like any other case.

    known_names: a model's or the whole data set's {value: name}; each value of the label is exchanged for the
    one that has its name there (the label is then a copy where the two differ). Without it values stay.

    Raises EngineError("missing-file", "unreadable-file", "bad-json", "array-shape", "bad-geometry",
    "unknown-segment") and the codes of `checks`.
    """
    folder = Path(folder)
    check_exists(folder / DESCRIPTION)
    own_name, geometry, class_names = _described(read_json(folder / DESCRIPTION))
    name = name or own_name
    check_geometry(geometry, name)
    check_exists(folder / "image.npy")
    arrays = {part: _mapped(folder / f"{part}.npy", kinds, geometry) for part, kinds in _KINDS.items()}
    image, label, trusted, confidence = (arrays[part] for part in _KINDS)
    assert image is not None
    check_image(image, f"The image of {name}")
    annotated = None
    if label is not None:
        check_label(label, f"The label of {name}")
        decoded, class_names = without_ignored(label, class_names)
        annotated = decoded.annotated
        label, class_names = _by_name(decoded.label, class_names, known_names, name)
    if trusted is not None and annotated is not None:
        trusted = trusted & annotated
    if confidence is not None:
        check_confidence(confidence, f"The confidence of {name}")
    return Case(name, image, geometry, label, trusted, confidence, class_names, annotated)


def without_ignored(label: np.ndarray, names: dict[int, str]) -> tuple[Decoded, dict[int, str]]:
    """The label with the voxels of what is called "ignore" as not annotated, and {value: name} of the others."""
    ignored = [value for value, name in names.items() if means_not_annotated(name)]
    if not ignored:
        return Decoded(label), names
    aside = np.isin(label, ignored)
    kept = {value: name for value, name in names.items() if value not in ignored}
    return Decoded(np.where(aside, 0, label).astype(label.dtype), ~aside if aside.any() else None), kept


def with_ignored(case: Case) -> tuple[np.ndarray | None, dict[int, str]]:
    """The opposite: the label with another value, called "ignore", where it is not annotated, and {value: name}."""
    if case.label is None or case.annotated is None:
        return case.label, case.class_names
    value = max([int(np.max(case.label)), *case.class_names]) + 1
    return as_label(np.where(case.annotated, case.label, value)), {**case.class_names, value: IGNORE}


def names_in_case(folder: Path | str) -> dict[int, str]:
    """{value: name} as the case says it. Raises EngineError("missing-file", "bad-json")."""
    check_exists(Path(folder) / DESCRIPTION)
    names = _described(read_json(Path(folder) / DESCRIPTION))[2]
    return {value: name for value, name in names.items() if not means_not_annotated(name)}


def _by_name(
    label: np.ndarray, names: dict[int, str], known: Mapping[int, str] | None, case_name: str
) -> tuple[np.ndarray, dict[int, str]]:
    """The label with the values that `known` gives to the names in it, and {value: name} of it."""
    present = [v for v in label_values(label) if v]
    names = {v: nameless(v) for v in present} | names
    if not known:
        return label, names
    values = matching_values(names, known, present, case_name)
    if any(value != there for value, there in values.items()):
        table = np.zeros(max(present) + 1, np.int16 if max(values.values()) < 2**15 else np.int32)
        table[list(values)] = list(values.values())
        label = table[label]
    unnamed = {v for v in values if names[v] == nameless(v)}
    return label, {to: known.get(to, names[v]) if v in unnamed else names[v] for v, to in values.items()}


def _typed(case: Case) -> dict[str, np.ndarray | None]:
    """The arrays in the types the files have."""
    label = case.label
    if label is not None and label.dtype.kind not in "iu":
        check_label(label, f"The label of {case.name}")
        label = as_label(label)
    return {
        "image": np.asarray(case.image, np.float32),
        "label": label,
        "trusted": None if case.trusted is None else np.asarray(case.trusted, bool),
        "confidence": None if case.confidence is None else np.asarray(case.confidence, np.float32),
    }


def _described(data: Any) -> tuple[str, Geometry, dict[int, str]]:
    try:
        names = {int(value): str(name) for value, name in data.get("class_names", {}).items()}
        return str(data["name"]), Geometry.from_dict(data["geometry"]), names
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EngineError(
            "bad-json", f"{DESCRIPTION} lacks the name or the geometry of the case; hand the case over again."
        ) from error


def _mapped(path: Path, kinds: str, geometry: Geometry) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise unreadable(path) from error
    shape = array.shape[1:] if path.name == "image.npy" else array.shape
    if array.dtype.kind not in kinds or shape != geometry.array_shape:
        raise EngineError(
            "array-shape",
            f"{path.name} does not fit the grid in {DESCRIPTION} ({array.dtype} of shape {array.shape}); "
            "hand the case over again.",
        )
    return array
