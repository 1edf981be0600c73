"""Volumes and diameters of all cases as one table for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..cases.atomic import replacing

TABLE = "extents.csv"
FIGURES = ("volume_ml", "area_mm2", "diameter_mm")
ENDS = {"value": "", "low": "_low", "high": "_high"}
COLUMNS = ("case", "label_value", "class_name", *(figure + end for figure in FIGURES for end in ENDS.values()))


def write_extents(items: Iterable[Mapping[str, Any]], out: Path) -> str:
    """One row a case and class; what is not known is left empty. Returns the path; raises as `replacing` does."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for item in items:
        for value, extent in item["extents"].items():
            row = {"case": item["name"], "label_value": value, "class_name": extent["name"]}
            for figure in FIGURES:
                for end, number in extent.get(figure, {}).items():
                    row[figure + ENDS[end]] = number
            writer.writerow(row)
    with replacing(out / TABLE) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
    return str(out / TABLE)
