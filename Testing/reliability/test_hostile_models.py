"""A model from anywhere is data: whatever it holds, nothing of it is run."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.reliability import hostile_models
from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.bundle.run_folder import CHECKPOINT_FILE, CHECKPOINT_FOLDER
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.dale.label_state import LabelState
from DALESegmentLib.engine.training.checkpoint import load_labels


@pytest.mark.parametrize("name", hostile_models.names())
def test_it_is_refused_and_not_run(name, tmp_path):
    assert hostile_models.tried(name, tmp_path) is None


def test_the_good_one_they_are_made_of_loads(tmp_path):
    bundle = hostile_models.good_bundle(tmp_path)
    _, plan = load_bundle(bundle, torch.device("cpu"))
    assert plan == hostile_models.PLAN


def test_a_checkpoint_that_claims_terabytes_is_refused(tmp_path):
    files = {"given": "case0-given.safetensors", "learned": "case0-1.safetensors"}
    (tmp_path / CHECKPOINT_FOLDER).mkdir()
    for name in files.values():
        hostile_models.hostile_safetensors(tmp_path / CHECKPOINT_FOLDER / name)
    (tmp_path / CHECKPOINT_FILE).write_text(json.dumps({"version": 1, "cases": {"case": files}}))
    with pytest.raises(EngineError, match="damaged"):
        load_labels(tmp_path)["case"]


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", ".."])
def test_a_checkpoint_reads_no_file_outside_its_folder(name, tmp_path):
    state = LabelState(torch.zeros((2, 2, 2), dtype=torch.int16)).state_dict()
    save_file(state, tmp_path / "outside.safetensors")
    (tmp_path / CHECKPOINT_FOLDER).mkdir()
    (tmp_path / CHECKPOINT_FILE).write_text(json.dumps({"cases": {"case": {"given": name, "learned": name}}}))
    with pytest.raises(EngineError, match="damaged"):
        load_labels(tmp_path)["case"]
