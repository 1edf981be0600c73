"""What the real application does with the panel: its dock follows what is asked for, scrolls; reload; dialogs."""

from __future__ import annotations

import sys

import pytest
from panel_steps import step
from slicer_window import click, enter, leave, press, reload, states, wait_until
from standin.module_panel import WIDTH


@pytest.fixture
def reloaded(reviewed):
    """The panel after the Reload button; the library's first modules come back afterwards."""
    before = {n: m for n, m in sys.modules.items() if n.split(".")[0] in ("DALESegment", "DALESegmentLib")}
    now = reload(reviewed)
    yield now
    now.cleanup()
    sys.modules.update(before)


def test_after_a_reload_the_keys_work(reloaded):
    assert len(states(reloaded)) >= 2
    reloaded.ui.regionsTable.setCurrentCell(0, 0)
    press(reloaded, "C")
    assert states(reloaded)[0] == "confirmed"


def test_a_module_that_is_set_up_while_another_is_on_screen_is_not_entered(widget):
    leave(widget)
    before = {n: m for n, m in sys.modules.items() if n.split(".")[0] in ("DALESegment", "DALESegmentLib")}
    now = reload(widget)
    try:
        assert not now.reviewPanel._entered
    finally:
        now.cleanup()
        sys.modules.update(before)


def test_the_panel_is_where_it_was_after_another_module(reviewed):
    bar = reviewed.dock.verticalScrollBar()
    reviewed.dock.resize(WIDTH, 300)
    assert wait_until(lambda: bar.maximum() > 200), "there is something to scroll"
    place = 150
    bar.setValue(place)
    leave(reviewed)
    enter(reviewed)
    assert wait_until(lambda: bar.value() == place, 2), (bar.value(), place)


def test_the_panel_is_where_it_was_after_a_correction(reviewed):
    bar = reviewed.dock.verticalScrollBar()
    reviewed.dock.resize(WIDTH, 300)
    assert wait_until(lambda: bar.maximum() > 200)
    place = 150
    bar.setValue(place)
    press(reviewed, "E")
    leave(reviewed)
    enter(reviewed)
    assert wait_until(lambda: bar.value() == place, 2), (bar.value(), place)


def test_the_dock_never_grows(reviewed):
    from slicer_window import click_row

    ui, workflow = reviewed.ui, reviewed.logic.workflow
    click_row(ui.regionsTable, 0)
    press(reviewed, "C")
    step(reviewed, ui.fineTuneButton)
    click(ui.compareButton)
    assert wait_until(lambda: not workflow.busy and "difference" in ui.statusLabel.text)
    workflow.onMessage("A sentence that is much longer than the panel is wide, as some of the engine's are. " * 3)
    wait_until(lambda: False, 0.2)
    click(ui.installationButton)
    assert wait_until(lambda: not workflow.busy)
    for name in ("data", "learn", "review", "result"):
        getattr(ui, f"{name}CollapsibleButton").collapsed = False
        getattr(ui, f"{name}AdvancedButton").collapsed = False
    wait_until(lambda: False, 0.2)
    assert reviewed.dock.width() == WIDTH, "it was never asked for more"


def test_no_label_with_long_texts_asks_for_room_beside():
    from pathlib import Path
    from xml.etree import ElementTree as ET

    tree = ET.parse(Path(__file__).parents[2] / "Resources" / "UI" / "DALESegment.ui")
    wrapped = [w for w in tree.iter("widget") if w.findtext("property[@name='wordWrap']/bool") == "true"]
    assert len(wrapped) > 8
    for label in wrapped:
        policy = label.find("property[@name='sizePolicy']/sizepolicy")
        assert policy is not None, label.get("name")
        assert policy.get("hsizetype") == "Ignored", label.get("name")


def test_a_sentence_is_shown_in_a_dialog_unless_slicer_is_under_test(widget):
    import slicer

    widget.logic.workflow.state.model = "/nowhere"
    click(widget.ui.confidenceButton)
    assert slicer.app.dialogs == ["Train a model, or choose one under Learn, first."]
    slicer.app.dialogs.clear()
    slicer.app.testing = True
    click(widget.ui.confidenceButton)
    assert not slicer.app.dialogs


def test_the_modules_own_test_tries_the_keys(reviewed, capsys):
    from DALESegment import DALESegmentTest

    DALESegmentTest().test_keys()
    said = capsys.readouterr().out
    for line in (
        "key confirm (region 1 is confirmed)",
        "key undo (region 1 is open)",
        "key unsure (region 1 is unsure)",
        "key accept (region 1, ",
        "key S skipped: Choose a layout",
    ):
        assert line in said
    assert set(states(reviewed)) == {"open"}


def test_the_modules_own_test_draws_a_stroke_where_there_is_a_view(reviewed, capsys):
    import slicer
    from stroke_views import StrokeView

    from DALESegment import DALESegmentTest

    before = slicer.app.__dict__.get("layoutManager")
    StrokeView(reviewed.case[0])
    try:
        DALESegmentTest().test_keys()
    finally:
        if before is None:
            del slicer.app.layoutManager
        else:
            slicer.app.layoutManager = before
    assert "key segment (region 1, answered and left)" in capsys.readouterr().out
    assert set(states(reviewed)) == {"open"}


def test_the_keys_are_skipped_with_a_reason_where_there_is_no_list(widget, capsys):
    from DALESegment import DALESegmentTest

    DALESegmentTest().test_keys()
    assert "skipped: no doubtful region" in capsys.readouterr().out
