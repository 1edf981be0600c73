"""The training loop with a loss and a hook from outside, and without a folder."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.dale.objective import Objective
from DALESegmentLib.engine.learn.networks import build
from DALESegmentLib.engine.learn.plan import CaseFacts, make_plan
from DALESegmentLib.engine.learn.prepare import prepare_case
from DALESegmentLib.engine.learn.settings import TrainSettings
from DALESegmentLib.engine.learn.trainer import Trainer
from DALESegmentLib.engine.process.progress import Progress
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow


class Counting(Objective):
    calls = 0

    def __call__(self, *arguments):
        self.calls += 1
        return super().__call__(*arguments)


def a_training(**given) -> Trainer:
    cases = [ball_case("a", size=(16, 16, 8), seed=1), ball_case("b", size=(16, 16, 8), seed=2)]
    plan = make_plan([CaseFacts.of(c) for c in cases]).model_copy(update={"batch_size": 2})
    torch.manual_seed(0)
    network = build(plan.network, plan.network_arguments)
    settings = TrainSettings(method="plain", epochs=2, steps_per_epoch=3)
    prepared = [prepare_case(c, plan) for c in cases]
    return Trainer(plan, settings, network, prepared, [], None, torch.device("cpu"), Progress(), **given)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = a_training()
    trainer.resume()
    assert len(trainer.run()) == 2
    assert os.listdir(tmp_path) == []


def test_a_given_objective_is_asked_at_every_step_and_the_hook_after_every_epoch():
    objective, epochs = Counting(2, None), []
    a_training(given_objective=objective, after_epoch=lambda t: epochs.append(len(t.history))).run()
    assert objective.calls == 6
    assert epochs == [1, 2]


def test_the_usual_loss_given_from_outside_trains_the_same():
    usual, given = a_training(), a_training(given_objective=Objective(2, None))
    assert np.allclose([r["loss"] for r in usual.run()], [r["loss"] for r in given.run()], rtol=1e-6)
