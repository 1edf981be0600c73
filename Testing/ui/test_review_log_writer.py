"""Decisions are on the disk before the panel shows them, and come back after a crash of Slicer itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from panel_steps import step
from slicer_window import click, click_row, press, states

from DALESegmentLib.engine.review.log import read_log


def log_of(widget) -> Path:
    return widget.logic.workflow.review.logWriter().file


def verdicts(widget) -> list[str]:
    return [decision.verdict for decision in read_log(log_of(widget)).standing.values()]


def forget_decisions(widget) -> None:
    """As after a crash: the scene was last saved before anything was decided."""
    from DALESegmentLib.mrml import decisions

    table = widget.logic.workflow.state.regionTable
    while decisions.canUndo(table):
        decisions.undoDecision(table)
    table.RemoveAttribute(decisions.LOG)
    widget.refresh()


def test_each_key_is_on_the_disk_at_once(reviewed):
    press(reviewed, "C")
    assert verdicts(reviewed) == ["confirmed"]
    press(reviewed, "U")
    assert verdicts(reviewed) == ["confirmed", "unsure"]
    press(reviewed, "Z")
    assert verdicts(reviewed) == ["confirmed"]
    assert str(log_of(reviewed)).startswith(str(Path(reviewed.tmp) / "settings" / "DALESegment" / "reviews"))


def test_after_a_crash_the_decisions_are_offered_and_taken_over(reviewed):
    ui = reviewed.ui
    ui.reviewerEdit.text = "A. Reader"
    press(reviewed, "C")
    press(reviewed, "U")
    before = states(reviewed)
    assert not ui.takeOverButton.isVisible()
    forget_decisions(reviewed)
    assert set(states(reviewed)) == {"open"}
    assert ui.takeOverButton.text == "Take over 2 earlier decisions"
    click(ui.takeOverButton)
    assert states(reviewed) == before
    assert not ui.takeOverButton.isVisible()
    from DALESegmentLib.mrml.decisions import decisionRows

    assert decisionRows(reviewed.logic.workflow.state.regionTable)[0]["who"] == "A. Reader"
    press(reviewed, "Z")
    assert verdicts(reviewed) == ["confirmed"]


def test_a_new_list_of_the_same_image_offers_them_too(reviewed):
    """The scene was never saved: the list is made anew, in another table."""
    import slicer

    press(reviewed, "C")
    slicer.mrmlScene.RemoveNode(reviewed.logic.workflow.state.regionTable)
    step(reviewed, reviewed.ui.regionsButton)
    assert "1 earlier" in reviewed.ui.takeOverButton.text
    click(reviewed.ui.takeOverButton)
    assert states(reviewed)[0] == "confirmed"


def test_they_lie_beside_the_work_where_it_is_kept(reviewed, tmp_path):
    reviewed.logic.workflow.state.workFolder = str(tmp_path / "work")
    press(reviewed, "C")
    assert len(list((tmp_path / "work" / "reviews").rglob("*.log"))) == 1


def test_a_log_that_another_slicer_writes_is_said_and_the_review_goes_on(reviewed):
    from DALESegmentLib.engine.review.log import open_log

    review = reviewed.logic.workflow.review
    file = log_of(reviewed)
    review.close()
    with open_log(file):
        reviewed.refresh()
        assert "kept in the scene alone" in reviewed.ui.statusLabel.text
        click_row(reviewed.ui.regionsTable, 0)
        press(reviewed, "C")
        assert states(reviewed)[0] == "confirmed"
    review.close()


def test_a_full_disk_decides_nothing(reviewed, monkeypatch, caplog):
    from DALESegmentLib.engine.review import log as review_log

    def full(file, line):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(review_log, "_write", full)
        press(reviewed, "C")
    assert "disk is full" in caplog.text
    assert set(states(reviewed)) == {"open"}
    assert reviewed.ui.regionsTable.currentRow() == 0


@pytest.fixture(autouse=True)
def where(widget, tmp_path):
    widget.tmp = tmp_path


def test_undo_on_a_full_disk_undoes_nothing(reviewed, monkeypatch, caplog):
    from DALESegmentLib.engine.core.errors import EngineError

    press(reviewed, "C")

    def full(self, number):
        raise EngineError("disk-full", "The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr("DALESegmentLib.engine.review.log.ReviewLog.undo", full)
        press(reviewed, "Z")
    assert states(reviewed)[0] == "confirmed"
    assert verdicts(reviewed) == ["confirmed"]
    press(reviewed, "Z")
    assert states(reviewed)[0] == "open"
    assert verdicts(reviewed) == []


def test_a_work_folder_of_another_system_is_not_taken(reviewed):
    from DALESegmentLib.ui.review_log_writer import reviewLogFolder

    state = reviewed.logic.workflow.state
    state.workFolder = "C:\\work" if Path("/").is_absolute() else "/work"
    assert reviewLogFolder(state) == Path(reviewed.tmp) / "settings" / "DALESegment" / "reviews"
