"""How much the panel shows: few controls at first, and no step higher than a screen."""

from __future__ import annotations

import pytest
import standin
from PySide6 import QtWidgets
from slicer_window import wait_until

STEPS = ("data", "learn", "review", "result")
CONTROLS_AT_FIRST, HEIGHT = 14, 900
INPUTS = (QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QLineEdit, QtWidgets.QAbstractSlider)
OF_PARTS = ("ctkPathLineEdit", "ctkSliderWidget", "qMRMLNodeComboBox")
INPUTS += (QtWidgets.QAbstractSpinBox, QtWidgets.QTableWidget)


def controls_in_sight(widget) -> list[str]:
    """Names of all that can be used, headings that open and close included; the parts of one count once."""
    named = [w for w in widget.window.findChildren(QtWidgets.QWidget) if w.objectName() in vars(widget.ui)]
    shown = [w for w in named if w.isVisible() and not isinstance(w, QtWidgets.QLabel)]
    return [w.objectName() for w in shown if isinstance(w, INPUTS) or type(w).__name__ in OF_PARTS]


def height(widget, one: str, advanced: bool) -> int:
    """Of the panel in a dock of 380 pixels, with one step open alone."""
    for name in STEPS:
        getattr(widget.ui, f"{name}CollapsibleButton").collapsed = name != one
        getattr(widget.ui, f"{name}AdvancedButton").collapsed = not advanced
    wait_until(lambda: False, 0.1)
    held = standin.unwrap(widget._panel)
    return held.layout().totalHeightForWidth(held.width())


def test_at_first_few_controls_are_in_sight(widget):
    found = controls_in_sight(widget)
    assert {"imageSelector", "segmentationSelector", "trainButton", "confidenceButton", "predictButton"} <= set(found)
    assert len(found) <= CONTROLS_AT_FIRST, found


def test_with_a_list_the_controls_are_the_lists_own(reviewed):
    found = controls_in_sight(reviewed)
    assert {"regionsTable", "confirmButton", "correctButton", "unsureButton", "undoButton", "fineTuneButton"} <= set(
        found
    )
    assert "trainButton" not in found
    assert len(found) <= CONTROLS_AT_FIRST + 3, found  # the heat map's switch, strokes, the heading of Readers


@pytest.mark.parametrize("one", STEPS)
def test_no_step_is_higher_than_a_screen(reviewed, one):
    assert height(reviewed, one, advanced=False) <= 750
    assert height(reviewed, one, advanced=True) <= HEIGHT


def test_answers_list_and_keys_are_in_sight_together(reviewed):
    """In the room that the panel has beside the views."""
    wait_until(lambda: False, 0.1)
    held = reviewed.dock
    for control in ("statusLabel", "regionsTable", "confirmButton", "undoButton"):
        one = standin.unwrap(getattr(reviewed.ui, control))
        top = one.mapTo(held, one.rect().topLeft()).y()
        assert top >= 0 and top + one.height() <= held.height(), control  # noqa: PT018


def test_a_step_that_is_opened_again_stays_open(reviewed):
    from slicer_window import press

    reviewed.ui.learnCollapsibleButton.collapsed = False
    press(reviewed, "C")
    assert not reviewed.ui.learnCollapsibleButton.collapsed


def test_the_state_is_shown_whole_in_any_font(reviewed):
    from PySide6.QtGui import QFont, QFontMetrics
    from slicer_window import press

    table = standin.unwrap(reviewed.ui.regionsTable)
    table.setFont(QFont("DejaVu Sans", 12))
    press(reviewed, "C")
    wait_until(lambda: False, 0.1)
    assert table.item(0, 5).text() == "confirmed"
    assert table.columnWidth(5) >= QFontMetrics(table.font()).horizontalAdvance("confirmed") + 4


def bold(widget) -> list[str]:
    names = ("practice", "train", "confidence", "regions", "fineTune", "predict")
    return [name for name in names if getattr(widget.ui, f"{name}Button").font.bold()]


def test_the_next_sensible_step_is_in_bold(widget):
    from panel_steps import step
    from slicer_window import click_row, press

    ui = widget.ui
    assert bold(widget) == ["train"]
    step(widget, ui.trainButton)
    assert bold(widget) == ["confidence"]
    step(widget, ui.confidenceButton)
    assert bold(widget) == ["regions"]
    step(widget, ui.regionsButton)
    assert bold(widget) == []
    click_row(ui.regionsTable, 0)
    press(widget, "C")
    assert bold(widget) == ["fineTune"]
    ui.segmentationSelector.setCurrentNode(None)
    assert bold(widget) == ["predict"]


def test_a_first_visit_with_an_empty_scene_leads_to_the_practice_case(widget):
    import slicer
    from slicer_window import click

    ui = widget.ui
    assert not ui.practiceButton.isVisible()
    slicer.mrmlScene.Clear(False)
    assert ui.firstVisitLabel.isVisible()
    assert bold(widget) == ["practice"]
    click(ui.practiceButton)
    assert ui.imageSelector.currentNode().GetName() == "Practice case"
    assert ui.segmentationSelector.currentNode().GetName() == "Drawn in a hurry"
    assert not ui.practiceButton.isVisible()
    assert ui.trainButton.enabled


def test_a_step_that_is_opened_shows_no_empty_answers_and_nothing_of_no_use(reviewed):
    ui = reviewed.ui
    reviewed.logic.workflow.state.previousModel = "a folder"  # appears while Result is folded
    reviewed.logic.workflow.state.previousModel = ""
    for name in STEPS:
        getattr(ui, f"{name}CollapsibleButton").collapsed = False
        getattr(ui, f"{name}AdvancedButton").collapsed = False
    wait_until(lambda: False, 0.1)
    for name in ("dataLabel", "planLabel", "installationLabel", "auditLabel", "comparisonLabel", "compareButton"):
        assert not getattr(ui, name).isVisible(), name
