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


def write_measurements(items: Iterable[Mapping[str, Any]], out: Path) -> str:
    """One row a case and class; what is not known is left empty. Returns the path; raises the errors of `replacing`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for item in items:
        for value, extent in item["extents"].items():
            row = {"case": item["name"], "label_value": value, "class_name": extent["name"], "unit": extent["unit"]}
            for figure in FIGURES:
                for end, number in extent.get(figure, {}).items():
                    row[figure + ENDS[end]] = number
            writer.writerow(row)
    with replacing(out / TABLE) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
    return str(out / TABLE)
