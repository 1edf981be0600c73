"""Decisions about regions: noted with who and when, taken back, kept when the list is made anew."""

from __future__ import annotations

import csv
import json

import pytest

from DALESegmentLib.engine.review.decisions import write_decisions_csv, write_decisions_json
from DALESegmentLib.mrml.decisions import canUndo, decide, decisionLog, decisionRows, undoDecision
from DALESegmentLib.mrml.regions import updateRegionTable


@pytest.fixture
def a_table(a_scene, some_regions):
    return updateRegionTable(some_regions)


def states(table) -> list[tuple[str, str]]:
    return [(row["state"], row["who"]) for row in decisionRows(table)]


def test_a_decision_is_noted_with_who_and_when(a_table, some_regions):
    decide(a_table, some_regions[1], "confirmed", "A. Reader")
    assert states(a_table) == [("open", ""), ("confirmed", "A. Reader")]
    assert decisionRows(a_table)[1]["when"].endswith("+00:00")


def test_undo_goes_back_one_decision_at_a_time(a_table, some_regions):
    first, second = some_regions
    decide(a_table, first, "confirmed", "A")
    decide(a_table, first, "unsure", "B")
    decide(a_table, second, "corrected", "B")
    assert undoDecision(a_table) == (second, "corrected", None)
    assert undoDecision(a_table) == (first, "unsure", None)
    assert states(a_table) == [("confirmed", "A"), ("open", "")]
    assert undoDecision(a_table) == (first, "confirmed", None)
    assert states(a_table) == [("open", ""), ("open", "")]
    assert not canUndo(a_table)
    assert undoDecision(a_table) is None


def test_the_log_forgets_nothing(a_table, some_regions):
    decide(a_table, some_regions[0], "confirmed", "A")
    undoDecision(a_table)
    decide(a_table, some_regions[0], "unsure", "A")
    assert [(e["state"], "undone" in e) for e in decisionLog(a_table)] == [("confirmed", True), ("unsure", False)]


def test_who_and_when_stay_in_a_new_list(a_table, some_regions):
    decide(a_table, some_regions[1], "confirmed", "A")
    when = decisionRows(a_table)[1]["when"]
    updateRegionTable(some_regions[1:], a_table)
    assert [(r["state"], r["who"], r["when"]) for r in decisionRows(a_table)] == [("confirmed", "A", when)]


def test_a_decision_about_a_region_that_is_no_longer_listed_cannot_be_taken_back(a_table, some_regions):
    decide(a_table, some_regions[0], "confirmed", "A")
    updateRegionTable(some_regions[1:], a_table)
    assert not canUndo(a_table)


def test_the_files_hold_who_decided_what(a_table, some_regions, tmp_path):
    decide(a_table, some_regions[0], "confirmed", "Ä. Leser")
    rows = decisionRows(a_table)
    write_decisions_csv(rows, tmp_path / "review.csv")
    write_decisions_json({"regions": rows, "log": decisionLog(a_table)}, tmp_path / "review.json")
    with open(tmp_path / "review.csv", encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [(r["rank"], r["suspicion"], r["state"], r["who"]) for r in read] == [
        ("1", "too large", "confirmed", "Ä. Leser"),
        ("2", "missing", "open", ""),
    ]
    assert (float(read[0]["centre_r_mm"]), float(read[0]["centre_s_mm"])) == (14.0, 37.0)
    whole = json.loads((tmp_path / "review.json").read_text(encoding="utf-8"))
    assert whole["log"][0]["who"] == "Ä. Leser"
    assert whole["regions"][0]["voxels"] == 125
