"""The review from the keyboard: one key decides and is at the next region; keys can be switched off."""

from __future__ import annotations

import csv
import json

from slicer_window import click, click_heading, click_row, enter, leave, press, states


def test_one_key_confirms_and_is_at_the_next(reviewed):
    press(reviewed, "C")
    assert states(reviewed)[:2] == ["confirmed", "open"]
    assert reviewed.ui.regionsTable.currentRow() == 1


def test_a_whole_list_is_reviewed_without_the_mouse(reviewed):
    table = reviewed.ui.regionsTable
    assert table.rowCount >= 8
    for number in range(table.rowCount):
        press(reviewed, "U" if number % 3 == 2 else "C")
    assert states(reviewed)[:4] == ["confirmed", "confirmed", "unsure", "confirmed"]
    assert "open" not in states(reviewed)
    assert f"{table.rowCount} of {table.rowCount} regions decided" in reviewed.ui.progressLabel.text


def test_next_previous_and_undo(reviewed):
    table = reviewed.ui.regionsTable
    press(reviewed, "N")
    press(reviewed, "N")
    press(reviewed, "P")
    assert table.currentRow() == 1
    press(reviewed, "U")
    press(reviewed, "C")
    assert states(reviewed)[:4] == ["open", "unsure", "confirmed", "open"]
    press(reviewed, "Z")
    assert states(reviewed)[:4] == ["open", "unsure", "open", "open"]
    assert table.currentRow() == 2
    press(reviewed, "Z")
    press(reviewed, "Z")  # nothing left to take back
    assert set(states(reviewed)) == {"open"}


def test_undo_by_button_is_there_only_when_it_can_be(reviewed):
    assert not reviewed.ui.undoButton.enabled
    press(reviewed, "C")
    click(reviewed.ui.undoButton)
    assert set(states(reviewed)) == {"open"}
    assert not reviewed.ui.undoButton.enabled


def test_keys_can_be_switched_off(reviewed):
    click(reviewed.ui.keysCheckBox)
    press(reviewed, "C")
    assert set(states(reviewed)) == {"open"}
    assert not reviewed.ui.keysLabel.isVisible()
    assert not reviewed.logic.workflow.state.keys


def test_no_key_decides_while_another_module_is_open(reviewed):
    leave(reviewed)
    press(reviewed, "C")
    enter(reviewed)
    assert set(states(reviewed)) == {"open"}
    press(reviewed, "C")
    assert "confirmed" in states(reviewed)


def test_keys_go_with_the_module(reviewed):
    from PySide6.QtGui import QShortcut

    reviewed.cleanup()
    assert not [s for s in reviewed.dock.findChildren(QShortcut) if s.isEnabled()]


def test_a_text_that_is_typed_decides_nothing(reviewed):
    import standin
    from PySide6.QtTest import QTest

    field = standin.unwrap(reviewed.ui.reviewerEdit)
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, "Cuz")
    assert reviewed.logic.workflow.state.reviewer == "Cuz"
    assert set(states(reviewed)) == {"open"}


def test_who_is_noted(reviewed, tmp_path, monkeypatch):
    from DALESegmentLib.ui import folders

    reviewed.ui.reviewerEdit.text = "A. Reader"
    press(reviewed, "C")
    monkeypatch.setattr(folders, "askForFolder", lambda title: tmp_path)
    click(reviewed.ui.exportDecisionsButton)
    with open(tmp_path / "review-Ball.csv", encoding="utf-8", newline="") as file:
        first, second, *_rest = csv.DictReader(file)
    assert (first["state"], first["who"], second["state"]) == ("confirmed", "A. Reader", "open")
    record = json.loads((tmp_path / "review-Ball.json").read_text(encoding="utf-8"))
    assert (record["image"], record["segmentation"]) == ("Ball", "LabelmapSnapshot")
    assert record["log"][0]["who"] == "A. Reader"


def test_a_dialog_that_is_left_writes_nothing(reviewed, tmp_path, monkeypatch):
    from DALESegmentLib.ui import folders

    monkeypatch.setattr(folders, "askForFolder", lambda title: None)
    click(reviewed.ui.exportDecisionsButton)
    assert not list(tmp_path.glob("review-*"))


def test_the_list_sorts_numbers_as_numbers(reviewed):
    import standin

    table = standin.unwrap(reviewed.ui.regionsTable)
    click_heading(reviewed.ui.regionsTable, 3)
    sizes = [int(table.item(row, 3).text()) for row in range(table.rowCount())]
    assert sizes == sorted(sizes)
    assert len({len(str(size)) for size in sizes}) > 1, "no test where texts and numbers sort alike"
    click_row(reviewed.ui.regionsTable, 0)
    smallest = min(reviewed.logic.workflow.review.regions(), key=lambda r: r.size_mm3)
    press(reviewed, "C")
    decided = reviewed.logic.workflow.review.decisions()
    from DALESegmentLib.mrml.regions import regionIdentity

    assert decided[regionIdentity(smallest)] == "confirmed"


def test_the_filter_leaves_one_state_and_the_keys_keep_to_it(reviewed):
    table, ui = reviewed.ui.regionsTable, reviewed.ui
    all_rows = table.rowCount
    press(reviewed, "U")
    press(reviewed, "C")
    ui.stateFilterComboBox.currentIndex = 1  # open
    shown = [table.item(row, 0).text() for row in range(table.rowCount)]
    assert shown == [str(rank) for rank in range(3, all_rows + 1)]
    press(reviewed, "C")  # the row leaves the filter, and the next one is chosen
    assert (table.item(table.currentRow(), 0).text(), table.rowCount) == ("4", all_rows - 3)
    ui.stateFilterComboBox.currentIndex = 0
    ui.filterEdit.text = "no such suspicion"
    assert table.rowCount == 0
    assert not ui.confirmButton.enabled, "no region is chosen that is not in sight"
    ui.filterEdit.text = "TOO lar"
    assert table.rowCount == all_rows


def test_a_second_click_on_a_heading_turns_the_order_round(reviewed):
    table = reviewed.ui.regionsTable
    ranks = [table.item(row, 0).text() for row in range(table.rowCount)]
    click_heading(table, 0)
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == ranks[::-1]
    click_heading(table, 0)
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == ranks
