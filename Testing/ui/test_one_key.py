"""The usual answer at one key: what should change is suggested, moved and taken; rows are opened and decided."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import standin
from panel_steps import label_of, step
from PySide6 import QtCore, QtTest
from slicer_window import click, click_row, enter, leave, press, states, wait_until


def place_of(widget, region):
    from DALESegmentLib.ui.region_editing import regionPlace

    return regionPlace(region, widget.logic.workflow.review.regionMap())


@pytest.fixture
def alone(reviewed):
    """Nothing is learned in between."""
    reviewed.logic.workflow.state.refreshAtOnce = False
    reviewed.before = label_of(reviewed.case[1], reviewed.case[0])
    return reviewed


def test_a_takes_what_is_suggested_and_is_at_the_next(alone):
    review = alone.logic.workflow.review
    first = review.regions()[0]
    press(alone, "A")
    now = label_of(alone.case[1], alone.case[0])
    assert states(alone)[:2] == ["accepted", "open"]
    assert alone.ui.regionsTable.currentRow() == 1
    place = place_of(alone, first)
    assert (now[place] == 0).all()
    assert np.array_equal(alone.before != now, place & (alone.before == 1)), "nothing is drawn elsewhere"


def test_what_was_taken_is_trusted_and_in_the_log(alone):
    press(alone, "A")
    workflow = alone.logic.workflow
    changed = label_of(alone.case[1], alone.case[0]) != alone.before
    assert workflow.review.decided(workflow.session.sceneCase())[changed].all()
    log = workflow.review.logWriter().file.read_text()
    assert '"verdict":"accepted"' in log


def test_undo_takes_it_back(alone):
    press(alone, "A")
    press(alone, "A")
    press(alone, "Z")
    press(alone, "Z")
    assert set(states(alone)) == {"open"}
    assert np.array_equal(label_of(alone.case[1], alone.case[0]), alone.before)


def test_the_editors_own_undo_can_take_it_back(alone):
    import slicer

    saved = []
    editor = SimpleNamespace(
        setSegmentationNode=saved.append, saveStateForUndo=lambda: saved.append(label_of(*alone.case[::-1]).sum())
    )
    slicer.modules.SegmentEditorWidget = SimpleNamespace(editor=editor)
    try:
        press(alone, "A")
    finally:
        del slicer.modules.SegmentEditorWidget
    assert saved[0].GetID() == alone.case[1].GetID()
    assert saved[1] == alone.before.sum(), "saved before it was written"


def test_half_a_step_changes_less_and_none_changes_nothing(alone):
    first = alone.logic.workflow.review.regions()[0]
    press(alone, "BracketLeft")
    assert "half" in alone.ui.statusLabel.text
    press(alone, "A")
    half = label_of(alone.case[1], alone.case[0])
    press(alone, "Z")
    press(alone, "A")
    whole = label_of(alone.case[1], alone.case[0])
    assert 0 < (half != alone.before).sum() < (whole != alone.before).sum()
    press(alone, "Z")
    click_row(alone.ui.regionsTable, 0)
    for key in ("BracketLeft", "BracketLeft", "BracketLeft", "A"):
        press(alone, key)
    assert set(states(alone)) == {"open"}
    assert np.array_equal(label_of(alone.case[1], alone.case[0]), alone.before)
    press(alone, "BracketRight")
    assert "half" in alone.ui.statusLabel.text
    assert first.suspicion == "too large"


def test_a_step_further_changes_all_that_is_likely_wrong(alone):
    place = place_of(alone, alone.logic.workflow.review.regions()[0]) & (alone.before == 1)
    assert f"{place.sum()} voxels; ]" in alone.ui.whyLearnedLabel.text
    press(alone, "BracketRight")
    assert "likely" in alone.ui.statusLabel.text
    press(alone, "BracketRight")
    press(alone, "A")
    changed = label_of(alone.case[1], alone.case[0]) != alone.before
    assert changed[place].all()
    assert place.sum() < changed.sum() < 2 * place.sum()
    press(alone, "Z")
    assert np.array_equal(label_of(alone.case[1], alone.case[0]), alone.before)


def test_a_row_with_nothing_sure_says_so(alone):
    import json

    table, first = alone.logic.workflow.state.regionTable, alone.logic.workflow.review.regions()[0]
    changes = json.loads(table.GetAttribute("DALESegment.SuggestedChanges"))
    changes[str(first.region_id)]["sure"] = []
    table.SetAttribute("DALESegment.SuggestedChanges", json.dumps(changes))
    click_row(alone.ui.regionsTable, 1)
    click_row(alone.ui.regionsTable, 0)
    assert "A changes nothing: none of it is surely wrong; ] suggests" in alone.ui.whyLearnedLabel.text
    press(alone, "A")
    assert "A changes nothing" in alone.ui.statusLabel.text
    assert set(states(alone)) == {"open"}
    assert np.array_equal(label_of(alone.case[1], alone.case[0]), alone.before)
    changes.pop(str(first.region_id))
    table.SetAttribute("DALESegment.SuggestedChanges", json.dumps(changes))
    press(alone, "A")
    assert "A changes nothing: none of it is surely wrong. C keeps the label." in alone.ui.statusLabel.text


def offered():
    import slicer

    from DALESegmentLib.mrml.suggestion import suggestionNode

    node = suggestionNode()
    if node is None or node.GetSegmentation().GetSegment("outline") is None:
        return None
    image = next(n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if n.GetName() == "Ball")
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, "outline", image) > 0


def test_it_is_drawn_while_the_row_is_at_hand_and_never_saved(alone):
    from DALESegmentLib.mrml.suggestion import suggestionNode

    review = alone.logic.workflow.review
    first, second = review.regions()[:2]
    shown = offered()
    corners = zip(reversed(first.first_voxel), reversed(first.last_voxel), strict=True)
    box = tuple(slice(a, b + 1) for a, b in corners)
    wanted = alone.before.copy()
    wanted[place_of(alone, first)] = 0
    assert np.array_equal(shown[box], wanted[box] == 1)
    node = suggestionNode()
    assert not node.GetSaveWithScene()
    assert node.GetHideFromEditors()
    assert node.GetDisplayNode().GetSliceIntersectionThickness() == 1
    press(alone, "N")
    assert not np.array_equal(offered(), shown)
    assert second != first
    leave(alone)
    assert suggestionNode() is None
    enter(alone)
    assert alone.case[1].GetSegmentation().GetNumberOfSegments() == 1


def test_nothing_is_applied_without_a_key(alone):
    for row in range(3):
        click_row(alone.ui.regionsTable, row)
        press(alone, "BracketLeft")
    assert np.array_equal(label_of(alone.case[1], alone.case[0]), alone.before)


def test_a_row_says_why(alone):
    text = alone.ui.whyLearnedLabel.text
    assert "Label: ball. Model, trained on this label too: background (90 %)." in text


def test_the_button_does_as_the_key(alone):
    click(alone.ui.acceptButton)
    assert states(alone)[0] == "accepted"


def test_it_is_learned_from_at_once(reviewed):
    press(reviewed, "A")
    workflow = reviewed.logic.workflow
    assert workflow.command == "refresh"
    assert wait_until(lambda: not workflow.busy)


def test_a_list_of_an_earlier_version_offers_nothing(alone):
    table = alone.logic.workflow.state.regionTable
    table.RemoveAttribute("DALESegment.SuggestedChanges")
    press(alone, "A")
    assert "not known" in alone.ui.statusLabel.text
    assert set(states(alone)) == {"open"}


@pytest.fixture
def with_pieces(widget):
    step(widget, widget.ui.trainButton)
    (Path(widget.logic.workflow.state.model) / "pieces").touch()
    step(widget, widget.ui.regionsButton)
    widget.logic.workflow.state.refreshAtOnce = False
    click_row(widget.ui.regionsTable, 0)
    return widget


def shown_rows(widget):
    table = widget.ui.regionsTable
    return [table.item(row, 0).text() for row in range(table.rowCount)]


def test_a_row_is_opened_into_its_pieces_and_closed(with_pieces):
    assert shown_rows(with_pieces)[:2] == ["1", "4"]
    assert with_pieces.ui.regionsTable.item(0, 1).text() == "ball (3)"
    press(with_pieces, "O")
    assert shown_rows(with_pieces)[:5] == ["1", "1.01", "1.02", "1.03", "4"]
    press(with_pieces, "N")
    press(with_pieces, "O")
    assert shown_rows(with_pieces)[:2] == ["1", "4"]
    assert with_pieces.ui.regionsTable.currentRow() == 0
    table = standin.unwrap(with_pieces.ui.regionsTable)
    place = table.visualItemRect(table.item(0, 0)).center()
    QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=place)
    QtTest.QTest.mouseDClick(table.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=place)
    assert len(shown_rows(with_pieces)) > 3
    assert shown_rows(with_pieces)[1] == "1.01"


def test_a_decision_about_a_row_is_one_about_all_its_pieces(with_pieces):
    press(with_pieces, "C")
    assert states(with_pieces)[:2] == ["confirmed", "open"]
    assert with_pieces.ui.regionsTable.currentRow() == 1
    press(with_pieces, "P")
    press(with_pieces, "O")
    assert states(with_pieces)[:5] == ["confirmed"] * 4 + ["open"]
    log = with_pieces.logic.workflow.review.logWriter().file.read_text()
    assert log.count('"verdict":"confirmed"') == 3
    press(with_pieces, "Z")
    assert set(states(with_pieces)) == {"open"}
    assert with_pieces.ui.regionsTable.currentRow() == 0


def test_one_piece_can_be_decided_alone(with_pieces):
    press(with_pieces, "O")
    press(with_pieces, "N")
    press(with_pieces, "C")
    assert states(with_pieces)[:4] == ["partly", "confirmed", "open", "open"]
    press(with_pieces, "U")
    press(with_pieces, "Z")
    assert states(with_pieces)[:4] == ["partly", "confirmed", "open", "open"]


def test_a_row_is_taken_with_all_its_pieces(with_pieces):
    image, segmentation = with_pieces.case
    review = with_pieces.logic.workflow.review
    place = place_of(with_pieces, review.regions()[0])
    before = label_of(segmentation, image)
    press(with_pieces, "A")
    assert np.array_equal(label_of(segmentation, image) != before, place & (before == 1))
    known = with_pieces.logic.workflow.review.decisions()
    assert list(known.values())[:4] == ["accepted"] * 3 + ["open"]
    assert states(with_pieces)[:2] == ["accepted", "open"]
    press(with_pieces, "Z")
    assert np.array_equal(label_of(segmentation, image), before)


def test_exported_are_rows_with_their_pieces(with_pieces, tmp_path):
    import csv
    import json

    from DALESegmentLib.ui.export import Exporter

    press(with_pieces, "O")
    press(with_pieces, "N")
    press(with_pieces, "C")
    Exporter(with_pieces.logic.workflow).decisions(tmp_path)
    record = json.loads((tmp_path / "review-Ball.json").read_text())
    first = record["regions"][0]
    assert first["state"] == "partly"
    assert [piece["state"] for piece in first["pieces"]] == ["confirmed", "open", "open"]
    with (tmp_path / "review-Ball.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(record["regions"])
    assert rows[0]["pieces"] == "3"
    assert "Label: ball." in rows[0]["reason"]


def test_a_row_and_its_pieces_survive_the_scene(with_pieces, tmp_path):
    import slicer

    from DALESegmentLib.mrml.regions import regionTables, rowsFromTable
    from DALESegmentLib.mrml.review_baseline import suggestedChanges
    from DALESegmentLib.mrml.scene_file import loadScene, saveScene

    rows = with_pieces.logic.workflow.review.regions()
    changes = with_pieces.logic.workflow.review.suggestedChanges()
    saved = saveScene(tmp_path / "review.mrb")
    slicer.mrmlScene.Clear(False)
    loadScene(saved)
    (table,) = regionTables()
    assert rowsFromTable(table) == rows
    kept = suggestedChanges(table)
    assert {number: one.box for number, one in kept.items()} == {number: one.box for number, one in changes.items()}
    assert all(np.array_equal(kept[number].likely, one.likely) for number, one in changes.items())
