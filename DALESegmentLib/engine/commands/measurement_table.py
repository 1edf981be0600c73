"""The table of the measurements of all cases: volumes and diameters with their intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core.files import replacing

TABLE = "extents.csv"
FIGURES = ("volume_ml", "area_mm2", "diameter_mm", "area_px", "volume_px", "diameter_px")
ENDS = {"value": "", "low": "_low", "high": "_high"}
COLUMNS = ("case", "label_value", "class_name", *(figure + end for figure in FIGURES for end in ENDS.values()), "unit")


def write_measurements(items: Iterable[Mapping[str, Any]], out: Path, table: str = TABLE) -> str:
    """One row a case and class; what is not known is left empty. Returns the path; raises the errors of `replacing`."""
    rows: list[dict[str, Any]] = []
    for item in items:
        for value, extent in item["extents"].items():
            row = {"case": item["name"], "label_value": value, "class_name": extent["name"], "unit": extent["unit"]}
            for figure in FIGURES:
                for end, number in extent.get(figure, {}).items():
                    row[figure + ENDS[end]] = number
            rows.append(row)
    with replacing(out / table) as temporary:
        temporary.write_text(table_text(rows), encoding="utf-8", newline="")
    return str(out / table)


def table_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """As CSV. rows: by the names of the columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
