"""The example of a Lightning module trains, and its checkpoint holds what was found out about the labels."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from DALESegmentLib.engine.dale.config import DaleConfig
from Testing.code_lines import code_lines
from Testing.structure import REPOSITORY

pl = pytest.importorskip("pytorch_lightning", reason="pytorch-lightning is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

LINES = 60


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "examples"))
    yield __import__("lightning_module")
    for name in ("lightning_module", "own_loop"):
        sys.modules.pop(name, None)


def fit(example, module, cases, epochs, **more):
    patches = example.Patches(cases, 48)
    loader = DataLoader(patches, batch_size=4, shuffle=True, collate_fn=example.collate)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.fit(module, loader, **more)
    return trainer


def test_it_trains_and_a_checkpoint_brings_all_of_it_back(example, tmp_path: Path):
    pl.seed_everything(0, verbose=False)
    cases = example.make_cases(seed=0)
    module = example.DaleModule(cases, DaleConfig())
    trainer = fit(example, module, cases, 12)
    assert module.loss_fn.steps == 12 * 12
    lacking = [name for name, (_, _, label) in cases.items() if not label.any()]
    assert sum(int((module.memory[name].target() == 1).sum()) for name in lacking) > 0
    trainer.save_checkpoint(tmp_path / "last.ckpt")

    resumed = example.DaleModule(cases, DaleConfig())
    fit(example, resumed, cases, 12, ckpt_path=tmp_path / "last.ckpt", weights_only=False)  # nothing is left to train
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in module.state_dict().items())
    for name in cases:
        assert torch.equal(module.memory[name].disagreement, resumed.memory[name].disagreement)
        assert torch.equal(module.memory[name].target(), resumed.memory[name].target())


def test_it_is_as_short_as_the_documentation_says():
    assert code_lines("examples/lightning_module.py") <= LINES
