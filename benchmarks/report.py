"""Write what a run found: results.json, results.md and the plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from DALESegmentLib.engine.core.files import write_json

from .cell import Cell
from .goals import make_goals
from .groups import make_groups
from .plots import draw
from .records import Record, make_records
from .store import Store
from .table import make_table


def write_report(
    cells: Sequence[Cell],
    store: Store,
    costs: Mapping[str, Mapping[str, float]],
    out: Path,
    tier: str,
    failed: Sequence[tuple[Cell, str]] = (),
    left: Sequence[Cell] = (),
) -> list[Record]:
    """Returns the records, one a finished cell."""
    out.mkdir(parents=True, exist_ok=True)
    records = make_records(cells, store, costs, tier)
    groups = make_groups(records)
    goals = make_goals(groups)
    about = {
        "tier": tier,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": "; ".join(dict.fromkeys(r["machine"] for r in records)) or "–",
        "version": ", ".join(dict.fromkeys(r["version"] for r in records)) or "–",
        "cells": f"{len(records)} of {len(cells)}, {len(failed)} failed, {len(left)} left out for time",
    }
    for cell, why in failed:
        about[f"failed: {cell.title}"] = why
    if left:
        about["left out"] = "; ".join(cell.title for cell in left)
    (out / "results.md").write_text(make_table(groups, goals, about), encoding="utf-8")
    write_json(
        out / "results.json",
        {"about": about, "costs": costs, "bars": [asdict(b) | {"met": b.met} for b in goals], "records": records},
    )
    draw(groups, out)
    return records
