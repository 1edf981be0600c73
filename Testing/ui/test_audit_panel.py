"""The audit: places at random, verdicts, and an estimate with its interval."""

from __future__ import annotations

import json
import re

import pytest
from slicer_window import click


@pytest.fixture
def a_view(widget):
    import slicer

    view = slicer.vtkMRMLSliceNode()
    view.SetName("Red")
    view.SetLayoutName("Red")
    view = slicer.mrmlScene.AddNode(view)
    view.SetOrientationToAxial()
    return view


def test_twenty_places_and_what_follows(widget, a_view):
    ui = widget.ui
    assert not ui.auditRightButton.enabled
    click(ui.auditButton)
    places = json.loads(widget.logic.workflow.state.audit)["places"]
    for number, place in enumerate(places):
        assert f"Place {number + 1} of 20" in ui.auditLabel.text
        centre = [a_view.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)]
        assert centre == pytest.approx(place, abs=0.1)
        click(ui.auditWrongButton if number < 5 else ui.auditRightButton)
    assert not ui.auditRightButton.enabled
    # 5 of 20: 8.66 to 49.10 % with 95 % confidence
    audit = json.loads(widget.logic.workflow.state.audit)
    ml = audit["voxels"] * 0.002
    assert ui.auditLabel.text.startswith(f"5 of 20 places were wrong: about {ml / 4:.2f} ml of the {ml:.2f} ml")
    low, high = re.search(r"between ([\d.]+) and ([\d.]+) ml with 95 %", ui.auditLabel.text).groups()
    assert (float(low), float(high)) == (pytest.approx(0.0866 * ml, rel=0.01), pytest.approx(0.4910 * ml, rel=0.01))


def test_the_place_is_marked_until_the_audit_ends(widget):
    import slicer

    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    crosshair = crosshair or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    click(widget.ui.auditButton)
    assert crosshair.GetCrosshairMode() == crosshair.ShowSmallIntersection
    for place in json.loads(widget.logic.workflow.state.audit)["places"]:
        assert crosshair.GetCrosshairRAS() == pytest.approx(place)
        click(widget.ui.auditRightButton)
    assert crosshair.GetCrosshairMode() == crosshair.NoCrosshair


def test_a_crosshair_that_was_on_stays_as_it_was(widget):
    import slicer

    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    crosshair = crosshair or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCrosshairMode(crosshair.ShowHashmarks)
    click(widget.ui.auditButton)
    for _ in range(20):
        assert crosshair.GetCrosshairMode() == crosshair.ShowHashmarks
        click(widget.ui.auditRightButton)
    assert crosshair.GetCrosshairMode() == crosshair.ShowHashmarks
    crosshair.SetCrosshairMode(crosshair.NoCrosshair)


def test_an_audit_is_about_one_image_and_survives_leaving_it(widget):
    click(widget.ui.auditButton)
    click(widget.ui.auditRightButton)
    widget.ui.segmentationSelector.setCurrentNode(None)
    assert not widget.ui.auditLabel.isVisible()
    assert not widget.ui.auditRightButton.enabled
    widget.ui.segmentationSelector.setCurrentNode(widget.case[1])
    assert "Place 2 of 20" in widget.ui.auditLabel.text


def test_the_audit_draws_nothing_that_was_confirmed(widget):
    import numpy as np
    from panel_steps import step
    from slicer_window import click_row

    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.regionsButton)
    before = np.inf
    for _ in range(2):
        click(widget.ui.auditButton)
        voxels = json.loads(widget.logic.workflow.state.audit)["voxels"]
        assert voxels < before
        before = voxels
        click_row(widget.ui.regionsTable, 0)
        click(widget.ui.confirmButton)
