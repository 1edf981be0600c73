"""What the engine says about a list as a whole stays above the list, in the saved scene and in the exports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from panel_steps import step
from slicer_window import click

SENTENCE = "The model is too weak to judge labels of class ball: its Dice is 0.20; train longer or with more cases."


@pytest.fixture
def weak(widget):
    """Trained, and the engine finds the model too weak."""
    step(widget, widget.ui.trainButton)
    (Path(widget.logic.workflow.state.model) / "too-weak.txt").write_text(SENTENCE)
    return widget


def test_a_model_too_weak_lists_nothing_and_the_panel_says_why(weak):
    said = step(weak, weak.ui.regionsButton)
    assert SENTENCE in said
    assert "No doubtful region" not in said
    assert weak.ui.regionsTable.rowCount == 0
    assert weak.ui.reviewNote.isVisible()
    assert weak.ui.reviewNote.text == SENTENCE


def test_it_is_said_with_the_confidence_and_in_the_exports(weak, tmp_path, monkeypatch):
    assert SENTENCE in step(weak, weak.ui.confidenceButton)
    step(weak, weak.ui.regionsButton)
    monkeypatch.setattr("DALESegmentLib.ui.folders.askForFolder", lambda _title: tmp_path)
    click(weak.ui.exportDecisionsButton)
    assert json.loads((tmp_path / "review-Ball.json").read_text(encoding="utf-8"))["notes"] == [SENTENCE]


def test_it_goes_with_a_list_of_a_better_model(weak):
    step(weak, weak.ui.regionsButton)
    (Path(weak.logic.workflow.state.model) / "too-weak.txt").unlink()
    said = step(weak, weak.ui.regionsButton)
    assert "doubtful region" in said
    assert SENTENCE not in weak.ui.reviewNote.text
    assert weak.ui.reviewNote.text.endswith("expected to be real label errors.")
    assert weak.ui.reviewNote.text in said
