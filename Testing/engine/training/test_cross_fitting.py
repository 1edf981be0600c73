"""Whether labels are refined and how long a training lasts is decided on cases that were not learned from."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from DALESegmentLib.engine.core.distributed import Ranks
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.config import CrossFittingConfig, DaleConfig
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import CaseFingerprint, TrainSettings, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_case
from DALESegmentLib.engine.training.build_trainer import training
from DALESegmentLib.engine.training.cross_fitting import CrossFitting, _folds
from DALESegmentLib.engine.training.early_stopping import Decision, Gain
from Testing.phantoms import ball_case

CPU = torch.device("cpu")


def made(cases: int = 12, **dale):
    """Balls in a single slice, and a plan with a tiny network."""
    made = [replace(ball_case(size=(24, 24, 1), seed=n), name=f"ball{n}") for n in range(cases)]
    plan = make_plan([CaseFingerprint.of(case) for case in made])
    plan = plan.model_copy(
        update={
            "batch_size": 2,
            "network_arguments": {**plan.network_arguments, "channels": [4, 8], "strides": [[2, 2]]},
        }
    )
    settings = TrainSettings(epochs=4, steps_per_epoch=3, seed=1, dale=DaleConfig(cross_fitting=True, **dale))
    return [prepare_case(case, plan) for case in made], plan, settings


def a_training(prepared, plan, settings, progress=None):
    torch.manual_seed(0)
    network = build(plan.network, plan.network_arguments)
    return training(plan, settings, network, prepared, [], None, CPU, progress or Progress())


def decision_of(trainer) -> Decision:
    (found,) = (callback for callback in trainer.callbacks if isinstance(callback, CrossFitting))
    return found.decision


def test_folds_share_no_patient_and_know_nothing_of_the_labels():
    prepared, _, _ = made(7)
    patients = ["a", "a", "b", "c", "c", "d", "e"]
    cases = [replace(case, patient=patient) for case, patient in zip(prepared, patients, strict=True)]
    cases[0].labels.record(..., torch.ones(cases[0].labels.shape))
    first, second, third = _folds(cases, Ranks(), 3)
    assert [case.patient for case in first] == ["a", "a", "d"]
    assert [case.patient for case in second] == ["b", "e"]
    assert [case.patient for case in third] == ["c", "c"]
    assert not first[0].labels.seen.any()
    assert cases[0].labels.seen.all()
    assert torch.equal(first[0].labels.target(), cases[0].labels.target())


def test_a_decision_is_kept_and_said_in_words():
    stop, refinement = Gain(3.2, 1.1, 12, 0.01), Gain(-0.4, 0.3, 12, 0.9)
    decision = Decision(20, 80, refines=False, stop=stop, refinement=refinement)
    assert Decision.from_json(decision.to_json()) == decision
    length, refined = decision.sentences()
    assert "ends after 20 of 80 epochs" in length
    assert "(+3.2 ± 1.1 points of Dice on 12 cases)" in length
    assert "declined, the training is plain" in refined
    assert "(-0.4 ± 0.3 points of Dice on 12 cases)" in refined
    assert "used" in Decision(80, 80, True, stop, stop).sentences()[0]


def test_too_few_cases_are_learned_plainly_and_as_long_as_asked():
    prepared, plan, settings = made(11)
    trainer = a_training(prepared, plan, settings)
    history = trainer.fit()
    assert len(history) == 4
    assert trainer.loss.config is None
    assert "too few cases" in decision_of(trainer).sentences()[0]


@pytest.mark.parametrize("others", [0, 4])
def test_cases_of_one_patient_alone_leave_nothing_to_compare_with(others):
    prepared, plan, settings = made()
    cases = [replace(case, patient=f"b{n}" if n < others else "a") for n, case in enumerate(prepared)]
    trainer = a_training(cases, plan, settings)
    assert len(trainer.fit()) == 4
    assert decision_of(trainer).stop is None
    assert "too few patients" in decision_of(trainer).sentences()[0]


def test_it_decides_on_unseen_cases_before_the_training_and_leaves_the_labels_alone():
    prepared, plan, settings = made()
    seen = []

    trainer = a_training(prepared, plan, settings)
    crossing = next(c for c in trainer.callbacks if isinstance(c, CrossFitting))
    make = crossing.make

    def watched(settings, network, cases, progress, callbacks):
        assert not any(case.labels.seen.any() for case in prepared)
        seen.append(({case.name for case in cases}, settings.method, settings.epochs))
        return make(settings, network, cases, progress, callbacks)

    crossing.make = watched
    history = trainer.fit()
    decision = decision_of(trainer)
    assert len(history) == decision.epochs <= 4
    assert (trainer.loss.config is not None) == decision.refines
    names = {case.name for case in prepared}
    for n in range(0, len(seen), 3):
        learned, methods, epochs = zip(*seen[n : n + 3], strict=True)
        unseen = [names - each for each in learned]
        assert sorted(name for each in unseen for name in each) == sorted(names)
        assert len({*methods}) == len({*epochs}) == 1
    assert [method for _, method, _ in seen][-3:] == ["dale"] * 3
    assert decision.refinement.cases == decision.stop.cases == 12


def test_without_a_comparison_the_length_alone_is_decided():
    """As by default, of long trainings with few validation cases: labels are refined as they were asked to be."""
    prepared, plan, settings = made()
    followed = DaleConfig(cross_fitting_config=CrossFittingConfig(min_looks=1))
    trainer = a_training(prepared, plan, settings.model_copy(update={"dale": followed}))
    seen = []
    crossing = next(c for c in trainer.callbacks if isinstance(c, CrossFitting))
    make = crossing.make

    def watched(settings, *rest):
        seen.append((settings.method, settings.epochs))
        return make(settings, *rest)

    crossing.make = watched
    trainer.fit()
    decision = decision_of(trainer)
    assert seen == [("plain", 4)] * 3
    assert (decision.refines, decision.refinement, decision.stop.cases) == (True, None, 12)
    assert trainer.loss.config == followed
    budgeted = settings.model_copy(update={"dale": followed, "seconds": 60.0})
    assert not any(isinstance(c, CrossFitting) for c in a_training(prepared, plan, budgeted).callbacks)


def test_the_comparison_is_not_reported_as_the_training():
    """Its loss would be drawn as the training's, and its seconds shown as what is left of all."""
    prepared, plan, settings = made()
    reports = []
    trainer = a_training(prepared, plan, settings, Progress(reports.append))
    trainer.fit()
    trainer.progress.close()
    percents = [report["percent"] for report in reports]
    assert percents == sorted(percents)
    comparing = [report for report in reports if report["message"].startswith("Comparing on folds")]
    assert comparing
    assert all(report["percent"] <= 50 and not report["values"] for report in comparing)
    assert {"epoch", "loss"} <= set(reports[-1]["values"])
    assert reports[-1]["percent"] > 50


def test_the_same_seed_decides_the_same():
    runs = [a_training(*made()) for _ in range(2)]
    rows = [trainer.fit() for trainer in runs]
    assert decision_of(runs[0]) == decision_of(runs[1])
    assert [row["loss"] for row in rows[0]] == [row["loss"] for row in rows[1]]


def test_a_resumed_training_keeps_its_decision():
    prepared, plan, settings = made()
    whole = a_training(prepared, plan, settings)
    whole.fit()
    state = whole.progress_so_far()
    again = a_training(made()[0], plan, settings)
    crossing = next(c for c in again.callbacks if isinstance(c, CrossFitting))
    crossing.make = lambda *_: pytest.fail("decided anew")
    again.load_tensors(whole.tensors())
    state["history"] = state["history"][:1]
    again.load_progress(state)
    assert len(again.fit()) == decision_of(whole).epochs
    assert decision_of(again) == decision_of(whole)
    assert again.loss.config == whole.loss.config


@pytest.mark.slow
def test_a_time_budget_holds_for_the_trials_and_the_training_together():
    prepared, plan, settings = made()
    settings = settings.model_copy(update={"epochs": 1000, "steps_per_epoch": 1000, "seconds": 6.0})
    trainer = a_training(prepared, plan, settings)
    shares = []
    last = trainer.callbacks[-1]
    last.on_step_end = lambda trainer: shares.append(trainer.time_share)
    trainer.fit()
    crossing = next(c for c in trainer.callbacks if isinstance(c, CrossFitting))
    assert 0.5 < crossing.seconds < 5.0
    assert crossing.seconds + trainer.elapsed == pytest.approx(6.0, abs=1.5)
    assert shares[0] < 0.1  # the whole training's learning rate, though half of the budget is gone
    assert shares[-1] >= 1.0


@pytest.mark.slow
def test_a_comparison_that_takes_long_leaves_the_training_its_share(monkeypatch):
    prepared, plan, settings = made()
    settings = settings.model_copy(update={"epochs": 1000, "steps_per_epoch": 1000, "seconds": 1.0})
    trainer = a_training(prepared, plan, settings)
    crossing = next(c for c in trainer.callbacks if isinstance(c, CrossFitting))
    decide = crossing._decide

    def slow(*given):
        time.sleep(1.5)
        return decide(*given)

    monkeypatch.setattr(crossing, "_decide", slow)
    trainer.fit()
    assert crossing.seconds > 1.5
    assert trainer.elapsed == pytest.approx(0.5, abs=0.3)
    assert trainer.step > 5
