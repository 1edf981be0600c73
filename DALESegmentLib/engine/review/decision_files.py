"""A review's decisions as files for others: CSV for a table, JSON with the whole record."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..cases.atomic import replacing
from .region import Region
from .region_files import COLUMNS, region_row

NOTES = ("state", "who", "when")


def write_decisions_csv(rows: Iterable[dict[str, Any]], path: str | Path) -> None:
    """The columns of a region list, and "state", "who", "when". rows: regions as dicts, each with these three.

    Raises EngineError "cannot-write", "disk-full".
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, (*COLUMNS, *NOTES), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        region = Region.from_dict({key: value for key, value in row.items() if key not in NOTES})
        writer.writerow({**region_row(region), **{key: row[key] for key in NOTES}})
    with replacing(Path(path)) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def write_decisions_json(record: dict[str, Any], path: str | Path) -> None:
    """The record as it is, indented. Raises EngineError "cannot-write", "disk-full"."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
