"""Decisions of readers: a case that is locked for all stays as it is, and a label is vouched for where it was seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reliability.small_cases import region
from DALESegmentLib.engine.commands import decisions, sign_off
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.images import write_image
from DALESegmentLib.engine.review.decisions import write_regions_json
from DALESegmentLib.engine.review.log import read_log
from DALESegmentLib.engine.review.readers import reader_log

GRID = Geometry((12, 10, 8), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
SIGNED = {"role": "radiologist", "instruction": "1.0"}


@pytest.fixture
def results(tmp_path) -> Path:
    """One case with one row, which Anna confirmed; Ben has locked it for all."""
    label, regions = (np.zeros(GRID.array_shape, np.uint8) for _ in range(2))
    label[2:6, 2:6, 2:6] = 1
    regions[2:4, 2:4, 2:4] = 1
    case = tmp_path / "cases" / "case0"
    write_image(case / "image.nii.gz", label[None] * np.float32(9), GRID)
    write_image(case / "label.nii.gz", label, GRID)
    write_image(tmp_path / "review" / "case0" / "regions.nii.gz", regions, GRID)
    write_image(tmp_path / "anna" / "case0.nii.gz", np.where(regions > 0, 0, label).astype(np.uint8), GRID)
    write_regions_json([replace(region(1), rank=1, case="case0", region_id=1)], tmp_path / "review" / "regions.json")
    asked = {"results": str(tmp_path / "review"), **SIGNED}
    decisions.run({**asked, "reader": "Anna", "rank": 1, "verdict": "confirmed"}, Progress())
    sign_off.run({**asked, "reader": "Ben", "case": "case0", "score": 4, "for_all": True}, Progress())
    return tmp_path / "review"


@pytest.mark.parametrize("asked", [{"undo": 1}, {"corrected": "anna"}, {"rank": 1, "verdict": "unsure"}])
def test_it_is_locked_for_every_reader(results, asked):
    root = results.parent
    if "corrected" in asked:
        asked = {"corrected": str(root / "anna"), "cases": {"folder": str(root / "cases")}}
    before = reader_log(results, "Anna").read_bytes()
    with pytest.raises(EngineError, match=r"case0 was signed off by Ben .* locked for all readers"):
        decisions.run({"results": str(results), "reader": "Anna", "reason": "seen again", **asked}, Progress())
    assert reader_log(results, "Anna").read_bytes() == before


@pytest.mark.parametrize(
    ("verdict", "drawn"),
    [("confirmed", False), ("accepted", False), ("corrected", False), ("accepted", True), ("corrected", True)],
)
def test_a_label_is_vouched_for_as_it_was_given_only_where_it_is_confirmed(results, verdict, drawn):
    root = results.parent
    asked = {"results": str(results), "cases": {"folder": str(root / "cases")}, "rank": 1, "verdict": verdict}
    sign_off.run({"results": str(results), "reader": "Ben", "case": "case0", "reopen": True, "reason": "x"}, Progress())
    more = {"corrected": str(root / "anna")} if drawn else {}
    decisions.run({**asked, **more, **SIGNED, "reader": "Carla"}, Progress())
    (decision,) = read_log(reader_log(results, "Carla")).standing.values()
    assert (decision.voxels is not None) == (drawn or verdict == "confirmed")


def test_two_verdicts_of_one_row_in_a_table_are_refused(results):
    table = results.parent / "mine.csv"
    table.write_text("rank,verdict,reason\n1,confirmed,\n1,unsure,\n")
    with pytest.raises(EngineError, match=r"Row 1 has several verdicts in mine\.csv"):
        decisions.run({"results": str(results), "reader": "Carla", **SIGNED, "verdicts": str(table)}, Progress())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_verdicts_are_read_as_spreadsheets_save_them(tmp_path, encoding, separator):
    table = tmp_path / "mine.csv"
    rows = ("rank", "verdict", "reason"), ("3", "Unsure", "Größe „unklar“")
    table.write_bytes("\r\n".join(separator.join(row) for row in rows).encode(encoding))
    assert decisions.read_verdicts(table) == [(3, "unsure", rows[1][2])]
