"""A fine-tuned model that the engine objects to is not taken into use in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from panel_steps import step
from slicer_window import click, press, wait_until

OBJECTION = "The new model contradicts 40 of 90 confirmed voxels that the earlier one had right."


def object_to_the_next(widget) -> None:
    (Path(widget.logic.workflow.state.model) / "objection.txt").write_text(OBJECTION)


@pytest.fixture
def doubted(reviewed):
    """After a fine-tune that the engine does not accept."""
    object_to_the_next(reviewed)
    press(reviewed, "C")
    reviewed.before = reviewed.logic.workflow.state.model
    reviewed.said = step(reviewed, reviewed.ui.fineTuneButton)
    return reviewed


def test_it_waits_and_says_so_loudly(doubted, caplog):
    ui, state = doubted.ui, doubted.logic.workflow.state
    assert state.model == doubted.before
    assert state.candidate.endswith("model-2")
    for said in (doubted.said, ui.comparisonLabel.text):
        assert "ATTENTION: the new model is NOT in use yet" in said
        assert OBJECTION in said
        assert "40 of 90" in said
    assert ui.comparisonLabel.isVisible()

    def logged() -> str:  # the dialog, which a test writes into the log; it can come before the fixture is done
        return "\n".join(record.getMessage() for when in ("setup", "call") for record in caplog.get_records(when))

    assert wait_until(lambda: OBJECTION in logged(), 5)


def test_it_can_be_compared_and_kept_after_all(doubted, monkeypatch):
    ui, state = doubted.ui, doubted.logic.workflow.state
    candidate = state.candidate
    asked = []
    engine = doubted.logic.workflow.engine
    send = engine.request

    def request(command, parameters, *callbacks):
        asked.append(parameters["model"])
        return send(command, parameters, *callbacks)

    with monkeypatch.context() as patched:
        patched.setattr(engine, "request", request)
        click(ui.compareButton)
        assert wait_until(lambda: not doubted.logic.workflow.busy and "difference" in ui.statusLabel.text)
    assert asked == [doubted.before, candidate]
    click(ui.keepButton)
    assert (state.model, state.previousModel, state.candidate) == (candidate, doubted.before, "")
    click(ui.rollBackButton)
    assert state.model == doubted.before


def test_it_can_be_left(doubted):
    ui, state = doubted.ui, doubted.logic.workflow.state
    click(ui.rollBackButton)
    assert (state.model, state.candidate) == (doubted.before, "")
    assert not ui.comparisonLabel.isVisible()


def test_a_refresh_that_is_not_accepted_changes_neither_model_nor_maps(reviewed):
    workflow = reviewed.logic.workflow
    press(reviewed, "C")
    object_to_the_next(reviewed)
    before = workflow.state.model, workflow.state.heatMap.GetID(), workflow.state.result
    workflow.refresh()
    assert wait_until(lambda: not workflow.busy)
    assert (workflow.state.model, workflow.state.heatMap.GetID(), workflow.state.result) == before
    assert "NOT in use" in reviewed.ui.statusLabel.text


def test_contradicted_voxels_of_an_accepted_model_are_said():
    from DALESegmentLib.ui.training_messages import assessment

    said = assessment({"confirmed_voxels": 500, "confirmed_violated": 3, "accepted": True, "objections": []})
    assert said == "ATTENTION: 3 of 500 confirmed voxels are contradicted by the new model."
    assert assessment({"accepted": True}) == ""


def test_the_annotator_bias_found_is_reported(widget):
    from DALESegmentLib.ui.training_messages import assessment

    found = "18 of 18 reviewed places were drawn too large, most by 1.4 mm or more"
    said = assessment({"bias": found, "confirmed_voxels": 5, "confirmed_violated": 0})
    assert said.splitlines()[0].startswith(found)
    assert assessment({"bias": None}) == ""


def test_outlines_that_were_refined_are_said(desktop):
    from DALESegmentLib.ui.training_messages import trained

    answer = {"epochs": 3, "seconds": 5.0, "validation_dice": None}
    assert "refined" not in trained({**answer, "refined": 0})
    assert "In 2 case(s) image and model agreed against the label" in trained({**answer, "refined": 2})


def test_objects_that_labels_left_out_are_said(desktop):
    from DALESegmentLib.ui.training_messages import trained

    answer = {"epochs": 3, "seconds": 5.0, "validation_dice": None}
    assert "overlooked" not in trained({**answer, "completed": 0})
    assert "In 2 case(s) the model learned an object that the label has none of" in trained({**answer, "completed": 2})


def test_a_training_that_was_ended_early_is_said(desktop):
    from DALESegmentLib.ui.training_messages import trained

    answer = {"epochs": 12, "seconds": 60.0, "validation_dice": 0.8}
    assert "ended after" not in trained(answer | {"decision": {"epochs": 12, "asked": 12}})
    assert "ended after 12 of 80 epochs" in trained(answer | {"decision": {"epochs": 12, "asked": 80}})


def test_a_calibration_of_the_volumes_is_said(desktop):
    from DALESegmentLib.ui.training_messages import trained

    answer = {"epochs": 12, "seconds": 60.0, "validation_dice": 0.8}
    assert "calibrated" not in trained(answer)
    assert "1.35 times as large" in trained(answer | {"volume_calibration": {"offset": -0.9, "ratio": 1.3456}})
