"""Rows of a file in docs/results: one a bar, with the truth or with nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from DALESegmentLib.engine.core.files import write_json


@dataclass(frozen=True)
class Row:
    """met: None where it was not measured, or not as long as the goal asks. reference: what it is measured against,
    or where it is explained."""

    row: str
    unit: str
    goal: str
    value: float | None = None
    met: bool | None = None
    reference: str = ""
    command: str = ""
    machine: str = ""

    def measured(self, value: float, met: bool | None, command: str, machine: str, reference: str = "") -> Row:
        return replace(
            self,
            value=round(value, 4),
            met=met,
            command=command,
            machine=machine,
            reference=reference or self.reference,
        )


def publish(path: Path, goals: Mapping[str, Row], rows: Mapping[str, Row]) -> None:
    """Rows that were not measured now stay as they are in the file, or are null."""
    known = {}
    if path.is_file():
        fields = set(Row.__dataclass_fields__)
        known = {row["row"]: Row(**{k: v for k, v in row.items() if k in fields}) for row in _rows(path)}
    merged = [rows.get(key) or known.get(bar.row) or bar for key, bar in goals.items()]
    write_json(path, {"rows": [asdict(row) for row in merged]})


def _rows(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["rows"]
