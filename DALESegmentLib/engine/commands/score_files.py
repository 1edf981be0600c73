"""What `evaluate` writes: all scores as JSON, and a table with a row for each case and class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import EngineError
from ..core.files import replacing, watching_files, write_json
from ..metrics.segmentation import SCORES, SHORT
from .results_backup import ResultsBackup

NAME = "evaluate"
COLUMNS = ("case", "label_value", "class_name", "dice", "iou", "hd95", "nsd")
OF_THE_LABEL = ("label_dice", "label_iou", "label_hd95", "label_nsd")
UNITS = ("nsd_tolerance", "unit")


def score_files(out: Path) -> tuple[Path, Path]:
    """JSON and table: beside each other where `out` names one of them, else evaluate.* in the folder `out`."""
    if out.suffix.lower() in (".json", ".csv"):
        return out.with_suffix(".json"), out.with_suffix(".csv")
    return out / f"{NAME}.json", out / f"{NAME}.csv"


def check_scores_free(out: Path, *, overwrite: bool) -> None:
    """Raises EngineError("results-exist") where one of them is there and may not be replaced."""
    there = [path for path in score_files(out) if path.exists()]
    if there and not overwrite:
        raise EngineError(
            "results-exist",
            f"{there[0].name} is there already; choose another name with --out, or replace it with --overwrite.",
        )


def write_scores(out: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the paths, and what was kept because it had been changed. Raises the errors of `replacing`."""
    json, table = score_files(out)
    files = ResultsBackup(table.parent)
    with watching_files(files):
        write_json(json, dict(result))
        with replacing(table) as temporary:
            temporary.write_text(_as_table(result), encoding="utf-8", newline="")
    return {"json": str(json), "csv": str(table), **files.about()}


def _as_table(result: Mapping[str, Any]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, (*COLUMNS, *OF_THE_LABEL, *UNITS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(result))
    return text.getvalue()


def _rows(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for item in result["items"]:
        compared = {prefix: item[what] for what, prefix in (("prediction", ""), ("label", "label_")) if what in item}
        if not compared:
            continue
        any_of_them = next(iter(compared.values()))
        unit = any_of_them["unit"]
        for value in any_of_them["classes"]:
            row = {"case": item["name"], "label_value": value, "class_name": item["classes"].get(str(value), "")}
            row |= {"unit": unit, "nsd_tolerance": any_of_them[f"nsd_tolerance_{SHORT[unit]}"]}
            for prefix, found in compared.items():
                scores = found["classes"][value]
                row |= {
                    prefix + name.removesuffix("_mm"): scores[name.replace("_mm", f"_{SHORT[unit]}")] for name in SCORES
                }
            yield row
