"""A whole session leaves nothing behind; every control says what it is for."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from panel_steps import correct, step
from slicer_window import click, click_row, enter, leave, press, wait_until

REPOSITORY = Path(__file__).parents[2]


def nodes() -> Counter:
    import slicer

    scene = slicer.mrmlScene
    return Counter(scene.GetNthNode(i).GetClassName() for i in range(scene.GetNumberOfNodes()))


def session(widget) -> None:
    """Train, review, correct, fine-tune, compare, roll back."""
    ui = widget.ui
    step(widget, ui.trainButton)
    step(widget, ui.confidenceButton)
    step(widget, ui.regionsButton)
    click(ui.surfaceCheckBox)
    click_row(ui.regionsTable, 0)
    press(widget, "C")
    press(widget, "E")
    leave(widget)
    correct(widget.case[1], widget.case[0])
    enter(widget)
    wait_until(lambda: not widget.logic.workflow.busy)
    step(widget, ui.fineTuneButton)
    click(ui.compareButton)
    assert wait_until(lambda: not widget.logic.workflow.busy and "difference" in ui.statusLabel.text)
    click(ui.rollBackButton)
    click(ui.surfaceCheckBox)


def test_a_second_session_adds_no_nodes_and_no_observers(widget):
    session(widget)
    first, observers = nodes(), len(widget.Observations)
    session(widget)
    # what was trusted already when the second list was made, and nothing else
    assert nodes() - first == Counter({"vtkMRMLScalarVolumeNode": 1})
    assert len(widget.Observations) == observers


def test_a_closed_scene_keeps_nothing_of_the_work(widget):
    import slicer

    before = nodes()
    observers = len(widget.Observations)
    session(widget)
    slicer.mrmlScene.Clear(False)
    after = nodes() - before
    # singletons, which Slicer keeps: their settings are not of a scene
    assert set(after) <= {"vtkMRMLSegmentEditorNode", "vtkMRMLSelectionNode", "vtkMRMLInteractionNode"}, after
    assert len(widget.Observations) == observers
    assert widget.logic.workflow.review.reading._writer is None
    assert np.all([r is None for r in (widget.logic.workflow.state.heatMap, widget.logic.workflow.state.result)])


def test_every_control_has_a_tooltip():
    """Captions apart, which are labels with a fixed text."""
    tree = ET.parse(REPOSITORY / "Resources" / "UI" / "DALESegment.ui")
    silent, spoken = [], 0
    for control in tree.iter("widget"):
        kind, name = control.get("class"), control.get("name")
        texts = {p.get("name"): p.findtext("string") or "" for p in control.findall("property")}
        if kind == "qMRMLWidget" or (kind == "QLabel" and texts.get("text", "").endswith(":")):
            continue
        spoken += 1
        if not re.match(r"[A-Z].{15,}\.$", texts.get("toolTip", "")):
            silent.append(name)
    assert spoken > 55
    assert not silent
