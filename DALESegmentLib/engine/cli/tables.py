"""Tables for people, on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_IN_FILE = 1000  # columns: a line is a row, however long its paths
console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _IN_FILE)
MOST_ROWS = 20


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    rest: str | None = "--json",
    last: Sequence[Sequence[Any]] = (),
) -> None:
    """Numbers stand on the right; None is left empty. rest: where the rows are that a long table leaves out, None where
    it leaves out none; last: rows that stand below the others in any case."""
    every = [list(row) for row in rows]
    most = len(every) if rest is None else MOST_ROWS
    listed = [*every[:most], *(list(row) for row in last)]
    table = Table(box=box.SIMPLE_HEAD)
    for i, name in enumerate(columns):
        numbers = all(isinstance(row[i], (int, float)) or row[i] is None for row in listed)
        table.add_column(name, justify="right" if numbers and listed else "left", overflow="fold")
    for row in listed:
        table.add_row(*(cell(value) for value in row))
    console.print(table)
    if len(every) > most:
        console.print(f"... and {len(every) - most} more in {rest}")


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_ROWS} more" if len(names) > MOST_ROWS else ""
    return ", ".join(names[:MOST_ROWS]) + more
