"""The training loop with a loss and callbacks from outside, and without a folder."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.loss import DaleLoss
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import CaseFingerprint, TrainSettings, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_case
from DALESegmentLib.engine.training import callbacks
from DALESegmentLib.engine.training.build_trainer import training
from DALESegmentLib.engine.training.callbacks import Callback
from DALESegmentLib.engine.training.checkpoint import Checkpoint
from DALESegmentLib.engine.training.trainer import Trainer
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow


class Counting(DaleLoss):
    calls = 0

    def forward(self, *arguments):
        self.calls += 1
        return super().forward(*arguments)


def a_training(**given) -> Trainer:
    cases = [ball_case("a", size=(16, 16, 8), seed=1), ball_case("b", size=(16, 16, 8), seed=2)]
    plan = make_plan([CaseFingerprint.of(c) for c in cases]).model_copy(update={"batch_size": 2})
    torch.manual_seed(0)
    network = build(plan.network, plan.network_arguments)
    settings = TrainSettings(method="plain", epochs=2, steps_per_epoch=3)
    prepared = [prepare_case(c, plan) for c in cases]
    return training(plan, settings, network, prepared, [], None, torch.device("cpu"), Progress(), **given)


class Telling(Callback):
    def __init__(self):
        self.told = []

    def __getattribute__(self, name):
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda trainer: self.told.append((name, trainer.step, len(trainer.history)))


class Stopping(Callback):
    def on_step_end(self, trainer):
        trainer.ends_epoch = trainer.step == 1
        trainer.should_stop = trainer.step == 4


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(a_training().fit()) == 2
    assert os.listdir(tmp_path) == []


def test_a_given_loss_is_asked_at_every_step_and_callbacks_at_every_moment():
    loss, callback = Counting(2, None), Telling()
    a_training(loss=loss, callbacks=[callback]).fit()
    assert loss.calls == 6
    epochs = [
        [
            ("on_epoch_start", 3 * e, e),
            *(("on_step_end", 3 * e + i, e) for i in range(3)),
            ("on_epoch_end", 3 * e + 2, e + 1),
        ]
        for e in range(2)
    ]
    assert callback.told == [("on_fit_start", 0, 0), *epochs[0], *epochs[1], ("on_fit_end", 5, 2)]


def test_a_callback_ends_an_epoch_or_the_training():
    loss = Counting(2, None)
    trainer = a_training(loss=loss, callbacks=[Stopping()])
    trainer.settings.epochs = 4
    assert len(trainer.fit()) == 2
    assert loss.calls == 2 + 2  # steps 0 and 1, then 3 and 4


def test_the_usual_loss_given_from_outside_trains_the_same():
    usual, given = a_training(), a_training(loss=DaleLoss(2, None))
    assert np.allclose([r["loss"] for r in usual.fit()], [r["loss"] for r in given.fit()], rtol=1e-6)


def test_a_loss_that_keeps_no_disagreement_leaves_the_labels_unseen():
    class Forgetting(DaleLoss):
        def forward(self, logits, labels, *arguments):
            return super().forward(logits, replace(labels, record_to=()), *arguments)

    for loss, seen in ((DaleLoss(2, None), True), (Forgetting(2, None), False)):
        trainer = a_training(loss=loss)
        trainer.fit()
        assert any(bool(case.labels.seen.any()) for case in trainer.cases) is seen


@pytest.mark.parametrize(("quick", "share", "written"), [(1e9, 0.1, [1, 2, 3, 4]), (0.0, 1e-9, [1, 4])])
def test_a_slow_checkpoint_is_written_after_the_first_and_the_last_epoch_at_least(
    quick, share, written, tmp_path, monkeypatch
):
    monkeypatch.setattr(callbacks, "QUICK_SECONDS", quick)
    monkeypatch.setattr(callbacks, "WRITE_SHARE", share)
    epochs = []

    class Recording(Checkpoint):
        def save(self, cases, tensors, progress):
            super().save(cases, tensors, progress)
            epochs.append(len(progress["history"]))

    checkpoint = Recording(tmp_path)
    trainer = a_training(callbacks=[callbacks.RunOutputs(checkpoint)])
    trainer.settings.epochs = 4
    checkpoint.begin(trainer.cases)
    trainer.fit()
    assert epochs == written
    again = a_training()
    again.load_progress(checkpoint.load(again.cases, again.load_tensors))
    assert len(again.history) == 4
