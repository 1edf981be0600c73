"""The trusted voxels of a case, stored from one step to the next."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path

import numpy as np

from ..engine.core.files import replacing
from ..engine.geometry.grid import Geometry
from ..engine.io.case import Case, image_fingerprint


def storeTrusted(file: Path, case: Case, image: str = "") -> None:
    """Write case.trusted with the label it is about, and the hash of its image: `image`, where it is known already.

    Raises EngineError "cannot-write" and "disk-full".
    """
    trusted = np.asarray(case.trusted, bool)
    with replacing(file) as temporary:
        np.savez_compressed(
            temporary,
            trusted=trusted,
            label=np.where(trusted, case.label, 0),
            names=json.dumps(case.class_names),
            geometry=json.dumps(case.geometry.as_dict()),
            image=image or image_fingerprint(case.image),
        )


def loadTrusted(file: Path, case: Case, image: str = "") -> np.ndarray | None:
    """(k, j, i) bool as kept for this very image on these very voxels, where the label is still the one that was
    trusted; else None. image: its hash, where it is known already."""
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as kept:
            there = Geometry.from_dict(json.loads(str(kept["geometry"])))
            hashed = image or image_fingerprint(case.image)
            if case.geometry.difference(there) or str(kept["image"]) != hashed:
                return None
            names = {int(value): name for value, name in json.loads(str(kept["names"])).items()}
            return kept["trusted"] & (_withValuesOf(case, kept["label"], names) == case.label)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        logging.warning("DALESegment: %s cannot be read; nothing counts as confirmed so far.", file)
        return None


def _withValuesOf(case: Case, label: np.ndarray, names: dict[int, str]) -> np.ndarray:
    """The label, whose values are called `names`, with the case's values of these names; -1 where it has none."""
    values = {name: value for value, name in case.class_names.items()}
    table = np.full(max([int(label.max()), *names]) + 1, -1, np.int32)
    table[0] = 0
    for value, name in names.items():
        table[value] = values.get(name, -1)
    return table[label]
