"""The rows of docs/results/reliability.json: one a bar, with the truth or with nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from DALESegmentLib.engine.learn.folder import write_json

REFERENCE = "docs/reliability.md"


@dataclass(frozen=True)
class Row:
    """met: None where it was not measured, or not as long as the bar says."""

    row: str
    unit: str
    goal: str
    value: float | None = None
    met: bool | None = None
    reference: str = REFERENCE
    command: str = ""
    machine: str = ""


BARS = {
    "lost": Row("kill -9: confirmations lost", "of 200 kills", "0"),
    "unreadable": Row("kill -9: states that do not open", "of 200 kills", "0"),
    "corpus": Row("bad input: pieces tried", "files and requests", ">= 300"),
    "answered": Row("bad input: refused with a code and a sentence, or handled right", "%", "100"),
    "slowest": Row("bad input: longest answer", "s", "<= 5"),
    "peak": Row("bad input: most memory", "GB", "< 2"),
    "fuzz": Row("fuzzing (hypothesis): crashes in 30 minutes", "crashes", "0"),
    "hostile": Row("hostile models: executed", "models", "0"),
    "planted": Row("planted identifiers found", "places", "0"),
    "memory": Row("soak of 200 cycles: memory growth", "%", "< 5"),
    "slowdown": Row("soak of 200 cycles: slowest of the last 20 against the first 20", "times", "<= 1.2"),
    "coverage": Row("coverage of the 90 % volume interval on LIDC test cases", "%", "85 to 95"),
}


def measured(key: str, value: float, met: bool | None, command: str, machine: str) -> Row:
    return replace(BARS[key], value=round(value, 3), met=met, command=command, machine=machine)


def publish(path: Path, rows: dict[str, Row]) -> None:
    """Rows that were not measured now stay as they are in the file, or are null."""
    known = {}
    if path.is_file():
        fields = set(Row.__dataclass_fields__)
        known = {row["row"]: Row(**{k: v for k, v in row.items() if k in fields}) for row in _rows(path)}
    merged = [rows.get(key) or known.get(bar.row) or bar for key, bar in BARS.items()]
    write_json(path, {"rows": [asdict(row) for row in merged]})


def _rows(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["rows"]
