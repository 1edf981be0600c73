"""Strokes in the views: answered, refined, taken by one key or left without a trace."""

from __future__ import annotations

import numpy as np
import pytest
from panel_steps import label_of
from slicer_window import leave, press, states, wait_until
from stroke_views import StrokeView


@pytest.fixture
def view(widget):
    import slicer

    before = slicer.app.__dict__.get("layoutManager")
    yield StrokeView(widget.case[0])
    if before is None:
        del slicer.app.layoutManager
    else:
        slicer.app.layoutManager = before


@pytest.fixture
def drawing(widget, view):
    """Segment here, with nothing trained and no list."""
    widget.logic.workflow.state.refreshAtOnce = False
    widget.before = label_of(widget.case[1], widget.case[0])
    press(widget, "S")
    return widget


def suggestion():
    from DALESegmentLib.mrml.suggestion import suggestionNode

    node = suggestionNode()
    return [] if node is None else list(node.GetSegmentation().GetSegmentIDs())


def answered(widget) -> bool:
    return wait_until(lambda: "outline" in suggestion() and not widget.logic.workflow.busy)


def test_a_stroke_is_answered_and_enter_takes_it(drawing, view):
    view.draw((20, 24, 8), (28, 24, 8))
    assert "inside" in suggestion()
    assert answered(drawing)
    assert "intensities alone" in drawing.ui.statusLabel.text
    assert np.array_equal(label_of(drawing.case[1], drawing.case[0]), drawing.before), "a preview alone"
    press(drawing, "Return")
    now = label_of(drawing.case[1], drawing.case[0])
    assert (now != drawing.before).any()
    assert now[8, 24, 20:29].all()
    assert suggestion() == []
    assert view.taken == [], "no tool of the view has had the mouse"


def test_the_mouse_is_the_views_again_afterwards(drawing, view):
    press(drawing, "Escape")
    view.draw((20, 24, 8), (28, 24, 8))
    assert view.taken == ["LeftButtonPressEvent", "MouseMoveEvent"]
    assert suggestion() == []


def test_escape_leaves_no_trace(drawing, view):
    import slicer

    nodes = slicer.mrmlScene.GetNumberOfNodes()
    view.draw((20, 24, 8), (28, 24, 8))
    assert answered(drawing)
    press(drawing, "Escape")
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert np.array_equal(label_of(drawing.case[1], drawing.case[0]), drawing.before)
    press(drawing, "Return")
    assert np.array_equal(label_of(drawing.case[1], drawing.case[0]), drawing.before)


@pytest.mark.parametrize("how", [{"shift": True}, {"right": True}])
def test_strokes_outside_refine(drawing, view, how):
    view.draw((20, 24, 8), (28, 24, 8))
    assert answered(drawing)
    view.draw((34, 20, 8), (34, 28, 8), **how)
    assert "outside" in suggestion()
    assert wait_until(lambda: not drawing.logic.workflow.busy)
    press(drawing, "Enter")
    now = label_of(drawing.case[1], drawing.case[0])
    assert not now[:, :, 34].any(), "what is joined to a stroke outside goes"
    assert drawing.before[:, :, 34].any()


def test_strokes_that_come_while_the_engine_answers_are_answered_after_it(drawing, view):
    view.draw((20, 24, 8), (28, 24, 8))
    view.draw((24, 20, 8), (24, 28, 8))
    asked = drawing.logic.workflow
    assert asked.busy
    assert answered(drawing)
    assert wait_until(lambda: not asked.busy)
    first, last = asked_box(drawing)
    assert first[1] <= 10
    assert last[1] >= 38


def asked_box(widget):
    one = widget.reviewPanel.prompting._open
    return one.answer["first_voxel"], one.answer["last_voxel"]


def test_the_case_is_written_once(drawing, view):
    view.draw((20, 24, 8), (28, 24, 8))
    assert answered(drawing)
    folders = sorted(drawing.logic.workflow.session.folder.glob("case-*"))
    view.draw((24, 20, 8), (24, 28, 8))
    assert wait_until(lambda: not drawing.logic.workflow.busy)
    assert sorted(drawing.logic.workflow.session.folder.glob("case-*")) == folders


def test_in_a_row_it_is_a_correction_of_the_region(reviewed, view):
    reviewed.logic.workflow.state.refreshAtOnce = False
    before = label_of(reviewed.case[1], reviewed.case[0])
    press(reviewed, "S")
    view.draw((20, 24, 8), (24, 24, 8))
    assert answered(reviewed)
    assert "changed beside the strokes" in reviewed.ui.statusLabel.text
    view.draw((34, 20, 8), (34, 28, 8), shift=True)
    assert wait_until(lambda: not reviewed.logic.workflow.busy)
    press(reviewed, "Return")
    assert states(reviewed)[0] == "corrected"
    now = label_of(reviewed.case[1], reviewed.case[0])
    assert not now[:, 14:39, 34].any(), "what was drawn is taken away beside the stroke"
    assert np.array_equal(now[:, :, :34], before[:, :, :34]), "and stays elsewhere"
    press(reviewed, "Z")
    assert states(reviewed)[0] == "open"
    assert np.array_equal(label_of(reviewed.case[1], reviewed.case[0]), before)


def test_a_stroke_outside_alone_corrects_a_row(reviewed, view):
    reviewed.logic.workflow.state.refreshAtOnce = False
    press(reviewed, "S")
    view.draw((34, 20, 8), (34, 28, 8), shift=True)
    assert answered(reviewed)
    press(reviewed, "Return")
    assert states(reviewed)[0] == "corrected"


def test_it_begins_a_case_without_a_label(widget, view):
    import slicer

    state = widget.logic.workflow.state
    slicer.mrmlScene.RemoveNode(widget.case[1])
    state.segmentation = None
    press(widget, "S")
    view.draw((20, 24, 8), (28, 24, 8))
    assert answered(widget)
    press(widget, "Return")
    assert state.segmentation is not None
    assert state.segmentation.GetName() == "Segmentation"
    assert label_of(state.segmentation, widget.case[0])[8, 24, 20:29].all()


def test_it_ends_with_the_panel(drawing, view):
    view.draw((20, 24, 8), (28, 24, 8))
    assert answered(drawing)
    leave(drawing)
    assert suggestion() == []
    view.draw((20, 24, 8), (28, 24, 8))
    assert view.taken


def test_a_layout_without_slice_views_is_told(widget, caplog):
    press(widget, "S")
    assert "Choose a layout with slice views" in caplog.text
