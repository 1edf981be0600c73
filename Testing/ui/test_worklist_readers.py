"""A folder that two readers work through: each with their own labels and verdicts, and who has read what."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from panel_steps import label_of
from slicer_window import click, wait_until

from DALESegmentLib.engine.io.images import read_label, write_image
from Testing.phantoms import ball_case


@pytest.fixture
def folder(tmp_path) -> Path:
    for n in range(2):
        case = ball_case(f"ball{n}", seed=n, size=(20, 18, 10))
        write_image(tmp_path / "cases" / case.name / "image.nii.gz", case.image, case.geometry)
        write_image(tmp_path / "cases" / case.name / "label.nii.gz", np.asarray(case.label), case.geometry)
    return tmp_path / "cases"


def open_as(widget, name: str, folder: Path, monkeypatch) -> None:
    from DALESegmentLib.ui import folders

    monkeypatch.setattr(folders, "askForFolder", lambda title: folder)
    widget.logic.workflow.state.reviewer = name
    click(widget.ui.worklistFolderButton)
    assert wait_until(lambda: not widget.logic.workflow.busy)


def decide(widget, button) -> None:
    click(button)
    assert wait_until(lambda: not widget.logic.workflow.busy)


def correct_first_voxels(state) -> np.ndarray:
    import slicer

    segment = state.segmentation.GetSegmentation().GetNthSegmentID(0)
    label = slicer.util.arrayFromSegmentBinaryLabelmap(state.segmentation, segment, state.image).copy()
    label[:2, :5, :5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(label, state.segmentation, segment, state.image)
    return label


def cells(widget, row: int) -> list[str]:
    table = widget.ui.worklistTable
    return [table.item(row, column).text() for column in (1, 4)]


def test_a_second_reader_begins_with_the_labels_of_the_folder(widget, folder, monkeypatch):
    state, ui, list_ = widget.logic.workflow.state, widget.ui, widget.worklistPanel.worklist
    open_as(widget, "Dr A", folder, monkeypatch)
    drawn_by_a = correct_first_voxels(state)
    decide(widget, ui.reviseCaseButton)
    decide(widget, ui.acceptCaseButton)
    open_as(widget, "Dr B", folder, monkeypatch)
    assert list_.case.name == "ball0"
    given, _geometry = read_label(folder / "ball0" / "label.nii.gz")
    assert np.array_equal(label_of(state.segmentation, state.image), given)
    assert cells(widget, 0) == ["at hand", "Dr A"]  # no verdict of theirs
    decide(widget, ui.acceptCaseButton)
    out = list_.out
    mine, theirs = (file for file in (out / "readers").rglob("*.seg.nrrd")), out / "ball0" / "segmentation.seg.nrrd"
    assert [file.parent.name for file in mine] == ["ball0"]
    assert theirs.is_file()
    open_as(widget, "dr a", folder, monkeypatch)
    list_.goTo(0)
    assert wait_until(lambda: not widget.logic.workflow.busy)
    assert np.array_equal(label_of(state.segmentation, state.image), drawn_by_a)
    assert [case.verdict for case in list_.cases] == ["revise", "accepted"]


def test_what_others_decided_is_told_after_the_sign_off(widget, folder, monkeypatch):
    ui, list_ = widget.ui, widget.worklistPanel.worklist
    open_as(widget, "Dr A", folder, monkeypatch)
    list_.sign(2)
    decide(widget, ui.reviseCaseButton)
    open_as(widget, "Dr B", folder, monkeypatch)
    assert cells(widget, 0) == ["at hand", "Dr A"]
    list_.sign(4)
    widget.refresh()
    assert cells(widget, 0) == ["signed 4", "Dr A (to be revised, 2)"]
    decide(widget, ui.acceptCaseButton)
    with (list_.out / "worklist.csv").open(encoding="utf-8", newline="") as file:
        told = [(row["case"], row["reader"], row["verdict"], row["score"]) for row in csv.DictReader(file)]
    assert told[0] == ("ball0", "Dr A", "revise", "2")
    assert told[-1] == ("ball0", "Dr B", "accepted", "4")


def test_a_log_with_the_columns_of_an_earlier_version_goes_on(tmp_path):
    from DALESegmentLib.ui.worklist_log import COLUMNS, appendRow, readRows

    log, row = tmp_path / "worklist.csv", dict.fromkeys(COLUMNS, "1")
    log.write_text(",".join(COLUMNS[:-1]) + "\nball0,revise,Dr A,then,3.0,4,5,model\n", encoding="utf-8")
    appendRow(log, row)
    first, second = readRows(log)
    assert (first["case"], first["verdict"], first["model"], first["score"]) == ("ball0", "revise", "model", "")
    assert second == row


@pytest.mark.parametrize("saved_as", ["semicolons", "with a mark"])
def test_a_log_that_a_spreadsheet_program_saved_is_read_and_continued(tmp_path, saved_as):
    from DALESegmentLib.ui.worklist_log import COLUMNS, appendRow, readRows

    log = tmp_path / "worklist.csv"
    row = dict.fromkeys(COLUMNS, "") | {"case": "a", "verdict": "accepted", "reader": "Åsa", "seconds": 3, "keys": 2}
    appendRow(log, row)
    text = log.read_text(encoding="utf-8")
    if saved_as == "semicolons":
        log.write_text(text.replace(",", ";"), encoding="cp1252")
    else:
        log.write_text(text, encoding="utf-8-sig")
    assert [found["reader"] for found in readRows(log)] == ["Åsa"]
    appendRow(log, row | {"case": "b"})
    assert [(found["case"], found["reader"]) for found in readRows(log)] == [("a", "Åsa"), ("b", "Åsa")]
