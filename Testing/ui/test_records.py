"""Two readers compared, their differences decided by a third, and the record of it: with the engine's own commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from panel_steps import press_with, read_blind, reading, sign_in, sign_off
from slicer_window import click, click_row, press, states, wait_until


@pytest.fixture
def opened(monkeypatch) -> list[Path]:
    """Files that would be shown in a browser."""
    from DALESegmentLib.ui import records

    files: list[Path] = []
    monkeypatch.setattr(records, "openFile", files.append)
    return files


def wait(widget) -> None:
    assert wait_until(lambda: not widget.logic.workflow.busy, 60)


def read(widget, keys: str) -> None:
    click_row(widget.ui.regionsTable, 0)
    for key in keys:
        press(widget, key)


@pytest.fixture
def both(reviewed):
    """A confirms four rows, B confirms two of them and is unsure about the others."""
    reviewed.logic.workflow.state.refreshAtOnce = False
    sign_in(reviewed, "Dr A")
    read(reviewed, "CCCC")
    sign_off(reviewed, 5)
    sign_in(reviewed, "Dr B", "resident")
    read_blind(reviewed)
    read(reviewed, "CUCU")
    return reviewed


def test_nobody_sees_the_comparison_before_their_own_sign_off(both, opened):
    ui = both.ui
    for button in (ui.agreementButton, ui.reportButton):
        click(button)
        wait(both)
        assert "sign off your own reading before you see theirs" in ui.statusLabel.text
        both.logic.workflow.onMessage("")
    assert not both.logic.workflow.busy
    assert not ui.adjudicateButton.enabled
    assert not opened


def test_nothing_of_the_first_is_reported_or_exported_before_the_second_begins(
    reviewed, opened, caplog, monkeypatch, tmp_path
):
    from DALESegmentLib.ui import folders

    monkeypatch.setattr(folders, "askForFolder", lambda title: tmp_path)
    ui = reviewed.ui
    sign_in(reviewed, "Dr A")
    read(reviewed, "C")
    sign_in(reviewed, "Dr B", "resident")
    click(ui.exportDecisionsButton)
    assert "press Read blind" in caplog.text
    assert not list(tmp_path.glob("review-*"))
    for scope in (0, 1):
        ui.recordScopeComboBox.currentIndex = scope
        click(ui.reportButton)
        wait(reviewed)
        assert "sign off your own reading before you see theirs" in ui.statusLabel.text
        reviewed.logic.workflow.onMessage("")
    assert not opened


def test_differences_of_two_readers_are_rows_that_a_third_decides(both, caplog):
    ui, workflow = both.ui, both.logic.workflow
    sign_off(both, 3)
    click(ui.agreementButton)
    wait(both)
    assert "Regions that Dr B and Dr A both decided: 4" in ui.recordLabel.text
    assert "Share of equal verdicts: 0.5" in ui.recordLabel.text
    assert "Mean Dice around the regions: 1" in ui.recordLabel.text
    told = json.loads((reading(both).logWriter().results / "agreement.json").read_text(encoding="utf-8"))
    different = [item["rank"] for item in told["regions"] if item["why"]]
    assert len(different) == 2
    click(ui.adjudicateButton)
    assert "A third reader decides where Dr B and Dr A differ" in caplog.text
    sign_in(both, "Dr C", "chief")
    click(ui.adjudicateButton)
    wait(both)
    table = ui.regionsTable
    assert [int(table.item(row, 0).text()) for row in range(table.rowCount)] == different
    assert {table.item(row, 2).text() for row in range(table.rowCount)} == {"Readers disagree"}
    click_row(table, 0)
    assert "Dr B decided unsure; Dr A decided confirmed; Dice 1.00 there." in ui.whyLearnedLabel.text
    press(both, "C")
    press(both, "U")
    assert states(both) == ["confirmed", "unsure"]
    decided = [d.annotator for d in reading(both).logWriter()._log.state.standing.values()]
    assert decided == ["Dr C", "Dr C"]
    assert workflow.review.reading.others().names == ("Dr A", "Dr B")


def test_the_report_is_written_and_opened_and_the_logs_are_checked(both, opened):
    ui = both.ui
    sign_off(both, 4)
    click(ui.reportButton)
    wait(both)
    assert [file.name for file in opened] == ["report.html"]
    page = opened[0].read_text(encoding="utf-8")
    assert all(text in page for text in ("Dr A", "Dr B", "resident", "signed off: 4 (acceptable)"))
    assert "1 cases, 8 decisions by Dr A, Dr B" in ui.recordLabel.text
    click(ui.verifyButton)
    wait(both)
    assert ui.recordLabel.text.startswith("All 2 logs hold: 10 entries from 20")
    assert ui.recordLabel.text.endswith("UTC by Dr A, Dr B.")
    log = next(file for file in reading(both).logWriter().file.parent.glob("dr-a-*.log"))
    log.write_bytes(log.read_bytes().replace(b"confirmed", b"unsure", 1))
    ui.recordScopeComboBox.currentIndex = 1
    click(ui.verifyButton)
    wait(both)
    assert "does not hold: line 2 is not as it was written" in ui.recordLabel.text


def test_without_a_decision_there_is_nothing_to_report(reviewed, caplog):
    for button in (reviewed.ui.reportButton, reviewed.ui.verifyButton):
        caplog.clear()
        reviewed.ui.readersCollapsibleButton.collapsed = False
        click(button)
        assert "Nothing was decided yet" in caplog.text


def test_a_sign_off_from_the_keyboard_shows_where_the_reason_goes(both, caplog):
    sign_off(both, 3)
    press_with(both, "Shift", "R")
    assert not both.ui.readersCollapsibleButton.collapsed
    assert "Say under Reason" in caplog.text
