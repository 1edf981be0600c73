"""From finished cells to the records that the table, the plots and anybody's script read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from DALESegmentLib.engine.core.files import write_json

from .cell import Cell
from .keys import key_of
from .store import Store

Record = dict[str, Any]
IDENTITY = ("tier", "set", "noise", "noise_level", "network", "method", "trusted", "draw", "steps", "path")
BULKY = ("test_dice", "test_disagreement", "reliability", "reliability_band")
"""Kept in results.json alone."""
_CLEANLAB = ("cleanlab_auroc", "cleanlab_auroc_band")


def make_records(
    cells: Sequence[Cell], store: Store, costs: Mapping[str, Mapping[str, float]], tier: str
) -> list[Record]:
    """One a finished cell. costs: "set/network" -> step_time_ratio and memory_ratio, which belong to DALE."""
    records = []
    for cell in cells:
        key = key_of(cell)
        result = store.results.get(key)
        if result is None:
            continue
        measured = cell.method == "dale" and cell.path == "bench"
        cost = costs.get(f"{cell.data.name}/{cell.network}", {}) if measured else {}
        named = {
            "tier": tier,
            "set": cell.data.name,
            "noise": cell.noise,
            "noise_level": cell.level,
            "network": cell.network,
            "method": cell.method,
            "trusted": cell.trusted,
            "draw": cell.draw,
            "length": cell.length,
            "steps": cell.steps,
            "role": cell.data.role,
            "path": cell.path,
            "key": key,
        }
        figures = {name: value for name, value in result.items() if name not in _CLEANLAB}
        records.append(named | figures | _cleanlab(cell, store) | dict(cost))
    return records


def _cleanlab(cell: Cell, store: Store) -> Record:
    """cleanlab's score for the same noisy labels, which the plain model of the same cell gives."""
    if cell.method == "clean":
        return {}
    plain = store.results.get(key_of(cell.model_copy(update={"method": "plain"})), {})
    return {name: plain[name] for name in _CLEANLAB if name in plain}


def select(records: Iterable[Record], **wanted: Any) -> list[Record]:
    """Records whose fields have these values; a tuple means any of them."""

    def fits(value: Any, asked: Any) -> bool:
        return value in asked if isinstance(asked, tuple) else value == asked

    return [r for r in records if all(fits(r[name], asked) for name, asked in wanted.items())]


def merge_quality(path: Path, records: Sequence[Record]) -> int:
    """Add the records to a quality.json; one of the same identity is replaced. Returns how many it holds then."""
    kept: dict[tuple[Any, ...], Record] = {}
    earlier = json.loads(path.read_text(encoding="utf-8"))["records"] if path.is_file() else []
    for record in (*earlier, *records):
        slim = {name: value for name, value in record.items() if name not in BULKY}
        kept[tuple(slim.get(name) for name in IDENTITY)] = slim
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"records": list(kept.values())})
    return len(kept)
