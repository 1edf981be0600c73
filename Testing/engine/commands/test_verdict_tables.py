"""Tables that readers fill in with a spreadsheet, and those that they open in one."""

from __future__ import annotations

import csv
import shlex

import pytest

from DALESegmentLib.engine.commands import agreement
from DALESegmentLib.engine.commands.decisions import read_verdicts
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.review.readers import SignOff, check_open


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_tables_are_read_as_spreadsheets_write_them(tmp_path, encoding, mark):
    path = tmp_path / "mine.csv"
    text = "rank,verdict,reason\r\n3,Confirmed,präzise\r\n4,,\r\n5,unsure,\r\n".replace(",", mark)
    path.write_bytes(text.encode(encoding))
    assert read_verdicts(path) == [(3, "confirmed", "präzise"), (5, "unsure", "")]


@pytest.mark.parametrize("rank", ["1.0", "first", "", "-1"])
def test_a_rank_that_is_none_is_named(tmp_path, rank):
    path = tmp_path / "mine.csv"
    path.write_text(f"rank,verdict\n{rank},confirmed\n", encoding="utf-8")
    with pytest.raises(EngineError, match=f"has the rank '{rank}'; write the whole number"):
        read_verdicts(path)


def test_what_a_reader_typed_is_no_formula_for_a_spreadsheet(tmp_path):
    path = tmp_path / "list.csv"
    typed = {"case": "case1", "r_mm": -4.5, "reader_1": "@Ben", "reason_1": "=1+1", "reason_2": "a=b"}
    agreement._write_list([typed], path)
    with path.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["reader_1"], row["reason_1"], row["reason_2"]) == ("'@Ben", "'=1+1", "a=b")
    assert float(row["r_mm"]) == -4.5


def test_what_opens_a_case_again_can_be_typed():
    signed = SignOff("fall 4", 3, "Reader A", "2026-05-01T09:30:00+00:00", for_all=True)
    with pytest.raises(EngineError) as caught:
        check_open(signed)
    typed = shlex.split(str(caught.value).partition("dalesegment ")[2])
    assert typed[:2] == ["sign-off", "fall 4"]
    assert typed[typed.index("--reader") + 1] == "Reader A"
