"""What every released version wrote opens in this one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.commands import finetune, predict
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import load_array_case
from DALESegmentLib.engine.review.decisions import read_regions_json
from DALESegmentLib.engine.review.log import open_log, read_log

pytestmark = pytest.mark.slow

KEPT = Path(__file__).parents[1] / "kept"
VERSIONS = sorted(path.name for path in KEPT.iterdir() if (path / "run").is_dir())


def test_there_are_samples():
    assert VERSIONS


@pytest.fixture(params=VERSIONS)
def kept(request, tmp_path) -> Path:
    """A copy to work on: a kept sample is never written to."""
    return Path(shutil.copytree(KEPT / request.param, tmp_path / "kept"))


def test_its_model_predicts_and_is_fine_tuned(kept, tmp_path):
    network, plan = load_bundle(kept / "run", torch.device("cpu"))
    assert plan.class_names == {1: "ball"}
    assert all(torch.isfinite(p).all() for p in network.parameters())
    asked = {"model": str(kept / "run"), "cases": {"folder": str(kept / "cases")}, "device": "cpu"}
    (first, _) = predict.run({**asked, "out": str(tmp_path / "out")}, Progress())["items"]
    assert np.load(first["segmentation"]).shape == load_array_case(kept / "cases" / "case0").geometry.array_shape
    tuned = finetune.run({**asked, "out": str(tmp_path / "tuned"), "epochs": 1, "steps_per_epoch": 1}, Progress())
    assert Path(tuned["model"]).is_dir()


def test_its_review_goes_on(kept):
    before = read_log(kept / "review.log")
    assert [d.verdict for d in before.standing.values()] == ["unsure"]
    with open_log(kept / "review.log") as log:
        log.undo(next(iter(before.standing)))
        assert log.state.standing == {}
    assert isinstance(read_regions_json(kept / "review" / "regions.json"), list)
