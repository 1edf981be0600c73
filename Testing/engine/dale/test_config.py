"""DALE's settings say the same of a wrong value whether they are made in a program or read by a command."""

from __future__ import annotations

import dataclasses

import pytest
from pydantic import ValidationError

from DALESegmentLib.engine.commands.train import TrainParameters
from DALESegmentLib.engine.dale.config import (
    CrossFittingConfig,
    DaleConfig,
    ImageEvidenceConfig,
    LabelQualityConfig,
    ReviewListConfig,
)
from DALESegmentLib.engine.planning.plan import FinetuneConfig, TrainSettings
from DALESegmentLib.engine.rpc.error_messages import explain

WRONG = [
    ({"memory": 2}, "it should be less than or equal to 0.9"),
    ({"memory": -0.1}, "it should be greater than or equal to 0"),
    ({"sharpness": 0}, "it should be greater than 0"),
    ({"warm_up": 1.0}, "it should be less than 1"),
    ({"lowest_threshold": 1.5}, "it should be less than or equal to 1"),
    ({"warm_up_blocks": 3}, "it should be greater than or equal to 4"),
    ({"alignment_max_voxels": 0}, "it should be greater than or equal to 1"),
    ({"partition": False, "confidence": False}, "without partition and confidence no voxel has a weight"),
]


@pytest.mark.parametrize(("given", "told"), WRONG)
def test_a_value_out_of_bounds_is_refused_in_a_sentence(given, told):
    with pytest.raises(ValueError, match=told):
        DaleConfig(**given)


@pytest.mark.parametrize("value", ["a", None, float("nan")])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match=r"memory is .*, but it should be"):
        DaleConfig(memory=value)


@pytest.mark.parametrize(
    ("config", "given", "told"),
    [
        (CrossFittingConfig, {"evaluations": 0}, "evaluations is 0, but it should be greater than or equal to 1"),
        (CrossFittingConfig, {"cases": 2.5}, "cases is 2.5, but it should be a whole number"),
        (CrossFittingConfig, {"windows": True}, "windows is True, but it should be a whole number"),
        (CrossFittingConfig, {"folds": 1}, "folds is 1, but it should be greater than or equal to 2"),
        (CrossFittingConfig, {"time_share": 1.0}, "time_share is 1.0, but it should be less than 1"),
        (ImageEvidenceConfig, {"max_fitted": 0}, "max_fitted is 0, but it should be greater than or equal to 1"),
        (FinetuneConfig, {"patience": 0}, "patience is 0, but it should be greater than or equal to 1"),
        (LabelQualityConfig, {"agreement_log_odds": -1}, "should be greater than or equal to 0"),
        (ReviewListConfig, {"pieces_across": 0}, "pieces_across is 0, but it should be greater than 0"),
    ],
)
def test_so_do_the_configs_of_parts(config, given, told):
    with pytest.raises(ValueError, match=told):
        config(**given)


def test_a_switch_is_true_or_false():
    with pytest.raises(ValueError, match="alignment is 'no', but it should be True or False"):
        DaleConfig(alignment="no")


def told_by_train(dale: object) -> str:
    asked = {"out": "x", "dale": dale}
    with pytest.raises(ValidationError) as caught:
        TrainParameters.model_validate(asked)
    return explain(caught.value, "train", asked).sentence


@pytest.mark.parametrize(("given", "told"), WRONG)
def test_a_command_says_so_of_its_parameter(given, told):
    assert told in told_by_train(given)


def test_a_command_names_a_setting_that_there_is_not():
    wrong = "train has no parameter 'dale.partitions'; leave it out or correct its name."
    assert told_by_train({"partitions": True}) == wrong
    assert "'dale.image_evidence_config.penalties'" in told_by_train({"image_evidence_config": {"penalties": 1}})
    assert "'dale.memory' of train is 'a', but it should be a valid number" in told_by_train({"memory": "a"})


def test_settings_are_stored_and_read_again():
    asked = DaleConfig(memory=0.5, missed_objects=False)
    stored = TrainSettings(dale=asked).model_dump(mode="json")
    assert stored["dale"]["memory"] == 0.5
    assert stored["dale"]["image_evidence_config"]["smoothing"] == [1.0, 2.0]
    assert TrainSettings.model_validate(stored).dale == asked
    assert stored["dale"].keys() == {field.name for field in dataclasses.fields(DaleConfig)}


def test_settings_that_were_stored_before_a_number_was_one_are_read_with_its_default():
    stored = TrainSettings().model_dump(mode="json")
    del stored["finetune"], stored["dale"]["warm_up_slope"], stored["dale"]["refinement_times"]
    assert TrainSettings.model_validate(stored) == TrainSettings()


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DaleConfig().memory = 0.1
