"""What was trusted of a case, kept from one step to the next."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from pathlib import Path

import numpy as np

from DALESegmentLib.engine.cases.atomic import replacing
from DALESegmentLib.engine.cases.case import Case
from DALESegmentLib.engine.cases.geometry import Geometry


def keepTrust(file: Path, case: Case) -> None:
    """Write case.trusted with what tells its image from any other. Raises EngineError "cannot-write"."""
    with replacing(file) as temporary:
        np.savez_compressed(
            temporary,
            trusted=np.asarray(case.trusted, bool),
            geometry=json.dumps(case.geometry.as_dict()),
            image=_fingerprint(case),
        )


def trustKept(file: Path, case: Case) -> np.ndarray | None:
    """(k, j, i) bool as kept for this very image on these very voxels, else None."""
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as kept:
            there = Geometry.from_dict(json.loads(str(kept["geometry"])))
            same = not case.geometry.difference(there) and str(kept["image"]) == _fingerprint(case)
            return kept["trusted"] if same else None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        logging.warning("DALESegment: %s cannot be read; nothing counts as confirmed so far.", file)
        return None


def _fingerprint(case: Case) -> str:
    """Of the first channel: a second image may be chosen or left out while the trust stays."""
    return hashlib.blake2b(np.ascontiguousarray(case.image[0]), digest_size=16).hexdigest()
