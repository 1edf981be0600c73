"""Several raters' labels of a folder: which are learned from, and how each rater draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from panel_steps import choose
from slicer_window import click, wait_until

from DALESegmentLib.engine.geometry.distance import grow_mm
from DALESegmentLib.engine.io.images import write_image
from Testing.phantoms import ball_case


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two cases of three raters, the third of whom draws a voxel more all around."""
    for n in range(2):
        case = ball_case(f"ball{n}", seed=n, size=(24, 24, 16))
        place, label = tmp_path / "rated" / case.name, np.asarray(case.label)
        write_image(place / "image.nii.gz", case.image, case.geometry)
        larger = grow_mm(label > 0, case.geometry.array_spacing, max(case.geometry.spacing)).astype(label.dtype)
        for rater, drawn in (("rater1", label), ("rater2", label), ("rater3", larger)):
            write_image(place / f"{rater}.nii.gz", drawn, case.geometry)
    return tmp_path / "rated"


@pytest.fixture
def rated(widget, folder):
    choose(widget.ui.sourceComboBox, "A folder of cases")
    widget.ui.casesFolderEdit.currentPath = str(folder)
    return widget


def shown(widget) -> list[list[str]]:
    table = widget.ui.ratersTable
    return [[table.item(row, column).text() for column in range(7)] for row in range(table.rowCount)]


def test_all_raters_are_learned_from_where_that_is_asked_for(rated, folder):
    asked = {}
    rated.logic.workflow.request = lambda command, parameters, onDone, write: asked.update(
        command=command, cases=write()
    )
    click(rated.ui.trainButton)
    assert asked == {"command": "train", "cases": {"folder": str(folder)}}
    rated.ui.ratersEdit.text = " all "
    click(rated.ui.trainButton)
    assert asked["cases"] == {"folder": str(folder), "rater": "all"}


def test_how_each_rater_draws_is_shown_without_a_training(rated):
    ui = rated.ui
    assert not ui.ratersTable.isVisible()
    ui.ratersEdit.text = "all"
    click(ui.ratersButton)
    assert wait_until(lambda: not rated.logic.workflow.busy, 60)
    rows = shown(rated)
    assert [row[:2] for row in rows] == [["rater1", "2"], ["rater2", "2"], ["rater3", "2"]]
    assert rows[0][2] == "+0.00 mm"
    assert float(rows[2][2].removesuffix(" mm")) > 0.5
    assert rows[2][6] == "–"  # nothing was learned
    assert ui.ratersTable.isVisible()
    assert "rater3 drew 2 cases" in ui.statusLabel.text


def test_what_a_training_found_out_about_raters_is_shown(rated):
    row = {"rater": "r1", "cases": 4, "bias_mm": -0.25, "low_mm": -0.5, "high_mm": 0.0, "noise_mm": 0.5, "dice": 0.9}
    answer = {"model": "m", "history": [], "epochs": 1, "seconds": 1.0, "device": "cpu", "validation_dice": None}
    kept = {}
    rated.logic.workflow.request = lambda command, parameters, onDone, write: kept.update(done=onDone)
    click(rated.ui.trainButton)
    kept["done"]({**answer, "raters": [{**row, "confidence": 0.8}, {**row, "rater": "r2", "low_mm": None}]})
    rated.refresh()
    assert shown(rated)[0] == ["r1", "4", "-0.25 mm", "-0.50 … +0.00", "0.50 mm", "0.90", "0.80"]
    assert shown(rated)[1][3] == "– … +0.00"


def test_without_raters_named_none_are_compared(rated, caplog):
    click(rated.ui.ratersButton)
    assert "Say under Raters whose labels to compare" in caplog.text
    assert not rated.logic.workflow.busy


def test_raters_are_of_a_folder(widget):
    assert not widget.ui.ratersEdit.enabled
    assert not widget.ui.ratersButton.enabled
