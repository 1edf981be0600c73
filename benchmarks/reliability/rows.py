"""The rows of docs/results/reliability.json: one a bar, with the truth or with nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .. import published
from ..published import Row

REFERENCE = "docs/reliability.md"

_BARS = {
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
BARS = {key: replace(bar, reference=REFERENCE) for key, bar in _BARS.items()}


def measured(key: str, value: float, met: bool | None, command: str, machine: str) -> Row:
    return BARS[key].measured(value, met, command, machine)


def publish(path: Path, rows: dict[str, Row]) -> None:
    """Rows that were not measured now stay as they are in the file, or are null."""
    published.publish(path, BARS, rows)
