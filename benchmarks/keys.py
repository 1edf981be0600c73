"""The key of a cell: a hash of everything that its figures depend on, so that a finished one need not be trained again.

What the code does is tried (`trial`), not read: cells keep their keys when files, functions, parameters or settings are
renamed or moved. Names for one and the same training share a key, and are trained once: clean under any noise and plain
without noise; DALE without a partition and without partition and turns.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .cell import Cell
from .data_set import DataSet
from .trial import behaviour


def key_of(cell: Cell) -> str:
    """Of the values alone, whatever they are called."""
    return hashlib.sha256(json.dumps(_values(hashed(cell))).encode()).hexdigest()[:16]


def hashed(cell: Cell) -> dict[str, Any]:
    """What the key is made of, in this order."""
    noise, level = cell.spoiled_by
    return {
        "data": _data(cell.data),
        "noise": [noise, level],
        "network": cell.network,
        "trusted": cell.trusted,
        "draw": cell.draw,
        "length": cell.length,
        "behaviour": behaviour(cell),
        **_path(cell),
    }


def described(cell: Cell) -> dict[str, Any]:
    """What the cell is, in the store's own words, by which two runs are compared: they stay when names change."""
    return {
        "data": _data(cell.data),
        "noise": cell.noise,
        "level": cell.level,
        "network": cell.network,
        "method": cell.method,
        "trusted": cell.trusted,
        "draw": cell.draw,
        "length": cell.length,
        **_path(cell),
    }


def _path(cell: Cell) -> dict[str, str]:
    """Nothing where the path is the benchmark's own, so that cells from before there was another keep their keys."""
    return {} if cell.path == "bench" else {"path": cell.path}


def _data(data: DataSet) -> dict[str, Any]:
    return {
        "name": data.name,
        "patient": data.patient,
        "truth": data.truth,
        "raters": list(data.raters),
        "dims": data.dims,
        "volumes": data.volumes,
        "normalise": data.normalise,
        "crop": data.crop,
        "largest": data.largest,
        "shrink": data.shrink,
        "train": data.train,
        "test": data.test,
        "slim": data.slim,
        "levels": data.levels,
        "batch": data.batch,
        "epochs": data.epochs,
        "steps_per_epoch": data.steps_per_epoch,
    }


def _values(value: Any) -> Any:
    """Dictionaries become lists of their values."""
    if isinstance(value, dict):
        value = list(value.values())
    return [_values(each) for each in value] if isinstance(value, list) else value
