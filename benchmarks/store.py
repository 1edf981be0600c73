"""Finished cells, one JSON line each, so that a stopped run goes on where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .cell import Cell
from .keys import described, hashed, key_of


class Store:
    """Cells by their key. A line is written in one call and reaches the disk before the next cell starts; half a
    line, left by a machine that went down, is ignored."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: dict[str, dict[str, Any]] = {}
        if path.is_file():
            self.results = {row["key"]: row["result"] for row in rows_of(path)}

    def add(self, cell: Cell, result: dict[str, Any]) -> None:
        key = key_of(cell)
        row = {"key": key, "cell": described(cell), "hashed": hashed(cell), "result": result}
        # a line break first ends whatever half a line stands there
        line = "\n" + json.dumps(row, allow_nan=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        self.results[key] = result


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Whole lines, the oldest first: key, cell, what was hashed for the key, and result."""
    return [row for line in path.read_text(encoding="utf-8").splitlines() if (row := _row(line))]


def _row(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
