"""A model from anywhere is data: whatever it holds, nothing of it is run."""

from __future__ import annotations

import pytest
import torch

from benchmarks.reliability import hostile_models
from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.engine.learn.bundle import load_bundle
from DALESegmentLib.engine.learn.folder import CHECKPOINT_FILE, LABELS_FILE
from DALESegmentLib.engine.learn.remembered import load_remembered


@pytest.mark.parametrize("name", hostile_models.names())
def test_it_is_refused_and_not_run(name, tmp_path):
    assert hostile_models.tried(name, tmp_path) is None


def test_the_good_one_they_are_made_of_loads(tmp_path):
    bundle = hostile_models.good_bundle(tmp_path)
    _, plan = load_bundle(bundle, torch.device("cpu"))
    assert plan == hostile_models.PLAN


def test_a_checkpoint_that_claims_terabytes_is_refused(tmp_path):
    for name in (CHECKPOINT_FILE, LABELS_FILE):
        hostile_models.hostile_safetensors(tmp_path / name)
    with pytest.raises(EngineError, match="damaged"):
        load_remembered(tmp_path)
