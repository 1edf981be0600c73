"""Who reads, the sign-off of a case, and a second reader who sees nothing of the first."""

from __future__ import annotations

import json

import numpy as np
import pytest
from panel_steps import correct, label_of, press_with, read_blind, reading, sign_in, sign_off
from slicer_window import click, click_row, enter, leave, press, states, wait_until

from DALESegmentLib.engine.review.log import read_history
from DALESegmentLib.engine.review.readers import file_stem


def entries(widget) -> list[dict]:
    lines = reading(widget).logWriter().file.read_text(encoding="ascii").splitlines()[1:]
    return [json.loads(line.split(" ", 1)[1]) for line in lines]


@pytest.fixture
def read_by_two(reviewed):
    """A has decided about two rows and corrected the label; B sits down at the same scene."""
    sign_in(reviewed, "Dr A")
    press(reviewed, "C")
    press(reviewed, "E")
    leave(reviewed)
    image, segmentation = reviewed.case
    correct(segmentation, image)
    enter(reviewed)
    assert wait_until(lambda: not reviewed.logic.workflow.busy)
    assert states(reviewed)[:2] == ["confirmed", "corrected"]
    sign_in(reviewed, "Dr B", "resident")
    return reviewed


def test_the_reader_is_asked_for_once_and_signs_each_decision(reviewed):
    from DALESegmentLib.ui.reader import savedReader

    sign_in(reviewed, "  Reader  A ")
    press(reviewed, "C")
    press(reviewed, "U")
    signed = [(e["decide"]["annotator"], e["decide"]["role"], e["decide"]["instruction"]) for e in entries(reviewed)]
    assert signed == [("Reader A", "radiologist", "1.2")] * 2
    assert reviewed.ui.readersCollapsibleButton.text == "Readers: Reader A (radiologist, instruction 1.2)"
    assert savedReader().name == "Reader A"
    reviewed.logic.workflow.state.reviewer = "who saved the scene"
    leave(reviewed)
    enter(reviewed)
    assert reviewed.logic.workflow.state.reviewer == "Reader A"


def test_spellings_of_a_name_are_one_reader_with_one_log(reviewed):
    sign_in(reviewed, "Dr A")
    press(reviewed, "C")
    file = reading(reviewed).logWriter().file
    sign_in(reviewed, "dr a ")
    assert states(reviewed)[0] == "confirmed"
    press(reviewed, "U")
    assert reading(reviewed).logWriter().file == file
    assert file.name == f"{file_stem('DR A')}.log"
    assert len(entries(reviewed)) == 2


def test_a_decision_vouches_for_the_voxels_that_were_seen(reviewed):
    image, segmentation = reviewed.case
    press(reviewed, "C")
    (decided,) = read_history(reading(reviewed).logWriter().file).state().standing.values()
    drawn = label_of(segmentation, image)
    trusted, label = np.zeros(drawn.shape, bool), np.zeros(drawn.shape, np.int32)
    decided.voxels.put(trusted, label)
    region = reviewed.logic.workflow.review.regions()[0]
    place = reviewed.logic.workflow.review.regionMapView() == region.region_id
    assert trusted[place].all()
    assert place.sum() < trusted.sum() < 10 * place.sum()
    assert np.array_equal(label[trusted], drawn[trusted])


def test_what_was_corrected_is_in_the_log_with_its_label(read_by_two):
    image, segmentation = read_by_two.case
    sign_in(read_by_two, "Dr A")
    drawn = label_of(segmentation, image)
    last = list(read_history(reading(read_by_two).logWriter().file).state().standing.values())[-1]
    trusted, label = np.zeros(drawn.shape, bool), np.zeros(drawn.shape, np.int32)
    last.voxels.put(trusted, label)
    assert last.verdict == "corrected"
    assert np.array_equal(label[trusted], drawn[trusted])
    assert trusted.any()


def test_a_sign_off_needs_a_signature_and_a_verdict(reviewed, caplog):
    sign_in(reviewed, "Anna", role="")
    press_with(reviewed, "Shift", "S")
    assert "Give the case a verdict first" in caplog.text
    sign_off(reviewed)
    assert "name, role, and version" in caplog.text
    assert reading(reviewed).signed() is None
    sign_in(reviewed, "Anna")
    sign_off(reviewed)
    assert reading(reviewed).signed().score == 4


def test_a_case_that_is_signed_off_is_locked_until_it_is_opened_again(reviewed, caplog):
    ui = reviewed.ui
    sign_in(reviewed, "Anna")
    press(reviewed, "C")
    sign_off(reviewed, 5)
    assert "Signed off: 5 very good." in ui.statusLabel.text
    assert "rows were left open" in ui.statusLabel.text
    before = states(reviewed)
    for key in "CUAESZ":
        press(reviewed, key)
        assert "is locked; open it again under Readers (Shift+R) first." in ui.statusLabel.text, key
        reviewed.logic.workflow.onMessage("")
    assert states(reviewed) == before
    assert "Signed off by Anna: 5 very good" in ui.readerLabel.text
    assert not ui.signOffButton.enabled
    for refused in (ui.fineTuneButton, ui.regionsButton):
        caplog.clear()
        click(refused)
        assert "open it again under Readers" in caplog.text
        assert not reviewed.logic.workflow.busy
    caplog.clear()
    press_with(reviewed, "Shift", "R")
    assert "Say under Reason why the case is opened again" in caplog.text
    ui.reasonEdit.text = "the tail was missed"
    press_with(reviewed, "Shift", "R")
    assert ui.reasonEdit.text == ""
    press(reviewed, "U")
    assert "unsure" in states(reviewed)
    kinds = [next(iter(entry)) for entry in entries(reviewed)]
    assert kinds == ["decide", "sign_off", "reopen", "decide"]
    assert entries(reviewed)[2]["reopen"]["reason"] == "the tail was missed"


def test_a_changed_label_and_a_changed_verdict_need_a_reason(read_by_two, caplog):
    sign_in(read_by_two, "Dr A")
    sign_off(read_by_two)
    assert "The label was changed; say why under Reason" in caplog.text
    assert reading(read_by_two).signed() is None
    read_by_two.ui.reasonEdit.text = "the rim was too wide"
    press_with(read_by_two, "Shift", "S")
    assert reading(read_by_two).signed().reason == "the rim was too wide"


def test_a_reason_goes_with_one_decision(reviewed):
    reviewed.ui.reasonEdit.text = "seen on T2"
    press(reviewed, "C")
    press(reviewed, "C")
    assert [entry["decide"].get("reason", "") for entry in entries(reviewed)] == ["seen on T2", ""]
    assert reviewed.ui.reasonEdit.text == ""


def test_a_second_reader_sees_nothing_of_the_first(read_by_two, caplog):
    ui, workflow = read_by_two.ui, read_by_two.logic.workflow
    image, first = read_by_two.case
    assert ui.regionsTable.rowCount == 0
    assert not first.GetDisplayVisibility()
    assert "Dr A" in ui.readerLabel.text
    assert "confirmed" not in ui.readerLabel.text
    for button in (ui.regionsButton,):
        click(button)
        assert "press Read blind" in caplog.text
    read_blind(read_by_two)
    assert set(states(read_by_two)) == {"open"}
    assert not ui.blindButton.isVisible()
    own = workflow.state.segmentation
    assert own.GetID() != first.GetID()
    assert own.GetDisplayVisibility()
    assert not first.GetDisplayVisibility()
    from DALESegmentLib.mrml import review_baseline

    assert np.array_equal(label_of(own, image), review_baseline.labelView(workflow.state.regionTable))
    assert not np.array_equal(label_of(own, image), label_of(first, image))
    click_row(ui.regionsTable, 0)
    press(read_by_two, "U")
    assert [entry["decide"]["annotator"] for entry in entries(read_by_two)] == ["Dr B"]
    assert "you read blind" in ui.readerLabel.text
    ui.segmentationSelector.setCurrentNode(first)  # the list of A
    assert ui.regionsTable.rowCount == 0
    ui.segmentationSelector.setCurrentNode(own)
    sign_off(read_by_two, 2)
    ui.segmentationSelector.setCurrentNode(first)
    assert states(read_by_two)[:2] == ["confirmed", "corrected"]
    assert first.GetDisplayVisibility()


def test_no_verdict_and_no_answer_of_the_first_stands_there_for_the_second(reviewed):
    sign_in(reviewed, "Dr A")
    press(reviewed, "C")
    sign_off(reviewed, 2)
    click(reviewed.ui.verifyButton)
    assert wait_until(lambda: not reviewed.logic.workflow.busy)
    assert "Dr A" in reviewed.ui.recordLabel.text
    sign_in(reviewed, "Dr B", "resident")
    assert reviewed.ui.verdictComboBox.currentIndex == 0
    assert reviewed.ui.recordLabel.text == ""
    read_blind(reviewed)
    assert reviewed.ui.verdictComboBox.currentIndex == 0
    assert "major" not in reviewed.ui.readerLabel.text
    sign_in(reviewed, "Dr A")
    assert reviewed.ui.verdictComboBox.currentIndex == 2


def test_each_goes_on_with_their_own_reading(read_by_two):
    ui, workflow = read_by_two.ui, read_by_two.logic.workflow
    read_blind(read_by_two)
    own = workflow.state.segmentation
    click_row(ui.regionsTable, 0)
    press(read_by_two, "U")
    sign_in(read_by_two, "Dr A")
    assert ui.regionsTable.rowCount == 0
    read_blind(read_by_two)
    assert states(read_by_two)[:2] == ["confirmed", "corrected"]
    sign_in(read_by_two, "Dr B", "resident")
    read_blind(read_by_two)
    assert workflow.state.segmentation.GetID() == own.GetID()
    assert states(read_by_two)[0] == "unsure"


def test_a_damaged_log_of_another_reader_stops_nobody(reviewed):
    sign_in(reviewed, "Dr B")
    press(reviewed, "C")
    other = reading(reviewed).logWriter().results / "reviews" / f"{file_stem('Dr A')}.log"
    other.write_bytes(b"not what was written\n")
    reviewed.refresh()
    said = reviewed.ui.statusLabel.text
    assert "is damaged" in said
    assert "Your own decisions are not touched by that." in said
    press(reviewed, "C")
    sign_off(reviewed)
    assert reading(reviewed).signed().score == 4
    assert len(entries(reviewed)) == 3


def test_a_log_of_an_earlier_version_offers_ones_own_decisions_alone(reviewed, monkeypatch):
    from DALESegmentLib.engine.review.log import open_log

    sign_in(reviewed, "Dr B")
    writer, rows = reading(reviewed).logWriter(), reviewed.logic.workflow.review.regions()
    with open_log(writer.results.with_name(f"{writer.results.name}.log")) as log:
        log.decide(rows[0], "confirmed", "Dr A")
        log.decide(rows[1], "unsure", "dr b")
    reviewed.refresh()
    assert reviewed.ui.takeOverButton.text == "Take over 1 earlier decision"
    click(reviewed.ui.takeOverButton)
    assert states(reviewed)[:2] == ["open", "unsure"]
    assert "Also read by Dr A; you read blind." in reviewed.ui.readerLabel.text


def test_no_key_is_one_of_the_segment_editors():
    """Its effects have the digits and Escape, its segments Q and W, its undo Ctrl+Z and Ctrl+Y."""
    from DALESegmentLib.ui.review_keys import KEYS

    ours = {key for name, (key, _text) in KEYS.items() if name not in ("take", "takeToo", "leave")}
    taken = {*map(str, range(10)), "Q", "W", "Ctrl+Z", "Ctrl+Y", "Space", "`", "~"}
    assert not ours & taken
    keys = [key for key, _text in KEYS.values()]
    assert len(keys) == len(set(keys))
