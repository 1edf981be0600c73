"""A training ends where it agrees best with labels that it has not seen, and starts over to be as long as that."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.core.distributed import Ranks
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.config import CrossFittingConfig, DaleConfig
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import CaseFingerprint, TrainSettings, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_case
from DALESegmentLib.engine.training.build_trainer import training
from DALESegmentLib.engine.training.callbacks import LabelRefinement
from DALESegmentLib.engine.training.cross_fitting import CrossFitting
from DALESegmentLib.engine.training.early_stopping import Agreement, EarlyStopping, Gain
from DALESegmentLib.engine.training.sampling import PatchSampler
from DALESegmentLib.engine.training.validation import Predicted, agreement_of, evaluation_windows, predicted
from Testing.phantoms import ball_case

CPU = torch.device("cpu")
FOLLOWED = DaleConfig(cross_fitting_config=CrossFittingConfig(min_looks=1))
NOT_FOLLOWED = DaleConfig(early_stopping=False)


def made(cases: int = 4):
    """Balls in a single slice, and a plan with a tiny network."""
    made = [replace(ball_case(size=(24, 24, 1), seed=n), name=f"ball{n}") for n in range(cases)]
    plan = make_plan([CaseFingerprint.of(case) for case in made])
    arguments = {**plan.network_arguments, "channels": [4, 8], "strides": [[2, 2]]}
    plan = plan.model_copy(update={"batch_size": 2, "network_arguments": arguments})
    return [prepare_case(case, plan) for case in made], plan


def a_training(dale: DaleConfig, epochs: int, validation: int = 10, progress: Progress | None = None, **settings):
    """Of four cases, with so many to validate on."""
    prepared, plan = made(4 + validation)
    torch.manual_seed(0)
    network = build(plan.network, plan.network_arguments)
    how = TrainSettings(epochs=epochs, steps_per_epoch=3, seed=1, dale=dale, **settings)
    return training(plan, how, network, prepared[:4], prepared[4:], None, CPU, progress or Progress())


def stopping(trainer) -> EarlyStopping:
    return next(callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping))


def scripted(trainer, means):
    """Let agreement be this in the epochs, for every case of validation."""
    unseen = stopping(trainer).unseen

    def evaluate(trainer):
        unseen.epochs.append(len(trainer.history))
        unseen.scores.append([means[len(trainer.history) - 1] + 0.001 * n for n in range(10)])

    unseen.evaluate = evaluate
    return trainer


FALLING = [0.5, 0.8, 0.6, 0.4, 0.3, 0.2, 0.2, 0.2]


def weights(trainer):
    return [value.clone() for value in trainer.network.state_dict().values()]


def test_a_training_that_starts_over_is_one_of_that_length():
    trainer = scripted(a_training(FOLLOWED, 8), FALLING)
    trainer.fit()
    decision = stopping(trainer).decision
    assert (decision.epochs, decision.asked, decision.refines) == (2, 8, True)
    assert "ends after 2 of 8 epochs" in decision.sentences()[0]
    short = a_training(NOT_FOLLOWED, 2)
    short.fit()
    assert [row["loss"] for row in trainer.history] == [row["loss"] for row in short.history]
    assert all(torch.equal(a, b) for a, b in zip(weights(trainer), weights(short), strict=True))
    for ours, theirs in zip(trainer.cases, short.cases, strict=True):
        for name, values in theirs.labels.state_dict().items():
            assert torch.equal(ours.labels.state_dict()[name], values), name


def test_it_ends_at_once_when_agreement_is_long_past_its_best():
    trainer = scripted(a_training(FOLLOWED, 8), FALLING)
    seen = []
    trainer.callbacks[-1].on_epoch_end = lambda trainer: seen.append(trainer.epoch + 1)
    trainer.fit()
    assert seen == [1, 2, 3, 4, 5, 1, 2]


@pytest.mark.parametrize("means", [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.7], [0.5] * 8])
def test_a_training_that_agrees_no_worse_at_the_end_is_as_long_as_asked(means):
    trainer = scripted(a_training(FOLLOWED, 8), means)
    trainer.fit()
    whole = a_training(NOT_FOLLOWED, 8)
    whole.fit()
    assert stopping(trainer).decision is None
    assert all(torch.equal(a, b) for a, b in zip(weights(trainer), weights(whole), strict=True))


@pytest.mark.parametrize("at", [1, 5, 6])  # epochs that had ended: before it is decided, when it is, and started over
def test_a_resumed_training_decides_and_ends_the_same(at):
    whole = scripted(a_training(FOLLOWED, 8), FALLING)
    whole.fit()
    first = scripted(a_training(FOLLOWED, 8), FALLING)
    kept = []

    def keep(trainer):
        kept.append(
            (
                {name: value.clone() for name, value in trainer.tensors().items()},
                trainer.progress_so_far() | {"history": list(trainer.history)},
                [{n: v.clone() for n, v in c.labels.state_dict().items()} for c in trainer.cases],
            )
        )
        if len(kept) == at:
            raise KeyboardInterrupt

    first.callbacks[-1].on_epoch_end = keep
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    again = scripted(a_training(FOLLOWED, 8), FALLING)
    tensors, progress, labels = kept[-1]
    for case, state in zip(again.cases, labels, strict=True):
        case.labels.load_state_dict(state)
    again.load_tensors(tensors)
    again.load_progress(progress)
    again.fit()
    assert stopping(again).decision == stopping(whole).decision
    assert all(torch.equal(a, b) for a, b in zip(weights(again), weights(whole), strict=True))


def test_label_refinement_starts_over_too():
    trainer = scripted(a_training(FOLLOWED, 8), FALLING)
    refinement = next(c for c in trainer.callbacks if isinstance(c, LabelRefinement))
    refinement.done = 4  # as if all its times had passed before
    trainer.callbacks[-1].on_epoch_end = lambda trainer: seen.append(refinement.done)
    seen: list[int] = []
    trainer.fit()
    assert seen[:5] == [4] * 5
    assert seen[5:] == [0, 0]


def test_the_percentage_goes_on_rising():
    reports = []
    trainer = scripted(a_training(FOLLOWED, 8, progress=Progress(reports.append)), FALLING)
    trainer.fit()
    trainer.progress.close()
    percents = [report["percent"] for report in reports]
    assert percents == sorted(percents)
    assert percents[-1] > 90
    assert any("training again, for 2 epochs" in report["message"] for report in reports)


def test_what_decides_on_unseen_cases():
    """The validation cases where they are enough, folds where they are not, nothing where a training is short."""

    def kinds(trainer):
        return [type(c) for c in trainer.callbacks if isinstance(c, EarlyStopping | CrossFitting)]

    assert kinds(a_training(FOLLOWED, 8)) == [EarlyStopping]
    assert kinds(a_training(FOLLOWED, 8, validation=9)) == [CrossFitting]
    assert kinds(a_training(DaleConfig(), 8)) == []  # 12 looks at each case
    assert kinds(a_training(NOT_FOLLOWED, 8)) == []
    assert kinds(a_training(FOLLOWED, 8, method="plain")) == []


def test_the_agreement_stands_in_the_history():
    trainer = a_training(FOLLOWED, 2)
    trainer.fit()
    assert all(0 <= row["agreement"] <= 1 for row in trainer.history)


def test_a_network_that_agrees_less_for_a_moment_goes_on_learning():
    means = [0.3, 0.4, 0.5, 0.55, 0.1, 0.6, 0.62, 0.64]
    trainer = scripted(a_training(FOLLOWED, 8), means)
    trainer.fit()
    assert stopping(trainer).decision is None
    assert len(trainer.history) == 8


def test_nothing_is_decided_before_a_network_can_have_memorised():
    early = DaleConfig(cross_fitting_config=CrossFittingConfig(min_looks=11))  # of 12, so after epoch 8
    trainer = scripted(a_training(early, 8), FALLING)
    assert stopping(trainer).unseen.first_epoch == 8
    seen = []
    trainer.callbacks[-1].on_epoch_end = lambda trainer: seen.append(trainer.epoch + 1)
    trainer.fit()
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2]


@pytest.mark.parametrize(("spent", "over"), [(0.7, True), (0.9, False)])  # in 5 epochs; 2 of them again
def test_a_training_starts_over_only_where_the_time_for_it_is_left(spent, over):
    trainer = scripted(a_training(FOLLOWED, 8, seconds=1000.0), FALLING)
    clock = type(trainer).elapsed
    type(trainer).elapsed = property(lambda trainer: 1000.0 * spent * len(trainer.history) / 5)
    try:
        trainer.callbacks[-1].on_epoch_end = lambda trainer: setattr(trainer, "should_stop", len(trainer.history) == 5)
        trainer.fit()
    finally:
        type(trainer).elapsed = clock
    assert (stopping(trainer).decision is not None) == over
    assert len(trainer.history) == (2 if over else 5)


@pytest.mark.slow
def test_within_a_time_budget_it_starts_over_while_there_is_time():
    trainer = a_training(FOLLOWED, 400, seconds=8.0)
    unseen = stopping(trainer).unseen

    def evaluate(trainer):
        unseen.epochs.append(len(trainer.history))
        score = 0.8 if len(unseen.epochs) == 1 else 0.3
        unseen.scores.append([score + 0.001 * n for n in range(10)])

    unseen.evaluate = evaluate
    trainer.fit()
    crossing = stopping(trainer)
    assert len(trainer.history) == crossing.decision.epochs == 20
    assert crossing.seconds + trainer.elapsed < 8.0


def test_a_gain_is_clear_where_most_cases_gain():
    before = np.linspace(0.5, 0.8, 12)
    gain = Gain.of(before + 0.01, before)
    assert (gain.mean, gain.cases) == (pytest.approx(1.0), 12)
    assert gain.standard_error == pytest.approx(0.0, abs=1e-9)
    assert gain.is_clear(0.05)
    assert not Gain.of(before - 0.01, before).is_clear(0.05)
    assert not Gain.of(before, before).is_clear(0.05)
    # a few that lose everything outweigh many small gains
    lost = before + 0.01
    lost[:2] = 0.0
    assert not Gain.of(lost, before).is_clear(0.05)
    # chance: as many up as down
    assert not Gain.of(before + 0.02 * (-1.0) ** np.arange(12) + 0.001, before).is_clear(0.05)


def test_the_best_epoch_is_that_of_the_smoothed_mean():
    means = [0.1, 0.5, 0.6, 0.9, 0.6, 0.5, 0.2]  # a single peak of chance would be epoch 8
    assert Agreement([2, 4, 6, 8, 10, 12, 14], np.array(means)[:, None] + np.zeros((1, 3)), (1, 2)).best_epoch() == 8
    spiky = [0.1, 0.5, 0.6, 0.55, 0.1, 0.7, 0.1]
    assert Agreement([2, 4, 6, 8, 10, 12, 14], np.array(spiky)[:, None] + np.zeros((1, 3)), (1, 2)).best_epoch() == 6


def test_a_training_is_no_shorter_than_it_must_be():
    """Of epochs that agree about as well the last one counts, up to where agreement falls for good."""
    means = np.array([0.3, 0.6, 0.6, 0.6, 0.6, 0.2, 0.2])
    cases = 0.02 * np.outer((-1) ** np.arange(7), (-1) ** np.arange(30))  # up and down by turns
    agreement = Agreement([1, 2, 3, 4, 5, 6, 7], means[:, None] + cases, (15, 15))
    assert agreement.best_epoch() == 4  # the fifth one, smoothed, has a part of what follows
    assert Agreement([1, 2, 3], np.full((3, 4), 0.5), (2, 2)).best_epoch() == 3


def test_when_to_stop_is_judged_by_cases_it_was_not_chosen_on():
    """Of noise alone the best of many evaluations is far above the last one, and means nothing."""
    chosen, others = [], []
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(0.6, 0.1, (20, 40))
        chance = Agreement(list(range(1, 21)), noise, (20, 20))
        chosen.append(Gain.of(chance.at(chance.best_epoch()), chance.last).mean)
        others.append(Gain.of(chance.at_others_best(), chance.last).mean)
    assert np.mean(chosen) > 1
    assert abs(np.mean(others)) < 0.8
    curve = np.concatenate([np.linspace(0.3, 0.7, 10), np.linspace(0.7, 0.4, 10)])
    falling = curve[:, None] + 0.01 * np.random.default_rng(0).normal(size=(20, 40))
    assert Gain.of(Agreement(list(range(1, 21)), falling, (20, 20)).at_others_best(), falling[-1]).mean > 20


def test_ranks_evaluate_cases_that_can_be_gathered():
    """Of 41 cases two ranks have 21 and 20; what each computes must have its place in the list of all."""
    (case,), plan = made(1)

    @dataclass(frozen=True)
    class OneOf41(Ranks):
        size: int = 2

        def all_gather(self, own):
            return [own[0]] * 41

    chosen = [
        len(evaluation_windows(PatchSampler([case] * own, plan, ranks=OneOf41(rank)), CrossFittingConfig()))
        for rank, own in ((0, 21), (1, 20))
    ]
    assert chosen == [11, 10]


def test_agreement_is_that_of_the_windows_it_was_computed_on():
    prepared, plan = made(2)
    (batches, _) = evaluation_windows(PatchSampler(prepared, plan), CrossFittingConfig())
    target = prepared[0].labels.target()

    class Knows(torch.nn.Module):
        """Gives the target itself, moved by so many pixels."""

        def __init__(self, shift: int) -> None:
            super().__init__()
            self.shift = shift

        def forward(self, image):
            moved = torch.roll(target, self.shift, 0).squeeze(-1)
            return torch.stack([moved == 0, moved > 0]).float()[None].expand(len(image), -1, -1, -1)

    assert predicted(Knows(0), batches, CPU).dice(0.0) == 1.0
    moved = torch.roll(target, 3, 0)
    both, sizes = int(((moved > 0) & (target > 0)).sum()), int((moved > 0).sum() + (target > 0).sum())
    assert predicted(Knows(3), batches, CPU).dice(0.0) == pytest.approx(2 * both / sizes)


def test_a_network_that_draws_too_wide_is_judged_at_the_labels_sizes():
    """Rings of falling logits around the label: with the right offset they are the label itself."""
    prepared, plan = made(2)
    batches = evaluation_windows(PatchSampler(prepared, plan), CrossFittingConfig())
    target = prepared[0].labels.target().squeeze(-1)[None].float()
    wider = [torch.nn.functional.max_pool2d(target, 2 * n + 1, 1, n)[0] for n in range(4)]
    margin = 3.0 * sum(wider) - 5.0  # 7 inside the label, 4 and 1 in the next two rings, -2 in the third

    class Wide(torch.nn.Module):
        def forward(self, image):
            return torch.stack([torch.zeros_like(margin), margin])[None].expand(len(image), -1, -1, -1)

    case = predicted(Wide(), batches[0], CPU)
    assert case.dice(0.0) < 0.8
    assert -7.1 <= case.offset() < -4
    assert case.dice(case.offset()) == 1.0
    assert agreement_of([case, case, case]) == [1.0] * 3
    assert Predicted(case.sizes, 0 * case.both, 0 * case.given).offset() is None
    assert agreement_of([Predicted(0 * case.sizes, 0 * case.both, 0 * case.given)]) == [1.0]


def test_classes_are_told_apart():
    target = torch.tensor([[0, 1, 2, 2]])
    found = torch.tensor([[1, 1, 2, 1]])
    logits = torch.nn.functional.one_hot(found, 3).permute(2, 0, 1)[None].float()

    @dataclass
    class One:
        image = torch.zeros(1, 1, 1, 4)
        valid = torch.ones(1, 1, 4)

    batch = One()
    batch.target = target[None]
    case = predicted(type("Fixed", (torch.nn.Module,), {"forward": lambda _, image: logits})(), [batch], CPU)
    assert case.given.tolist() == [1, 2]
    assert case.dice(0.0) == pytest.approx((2 * 1 / 4 + 2 * 1 / 3) / 2)
    assert case.dice(-8.0) == 0.0


def test_it_is_blind_to_an_annotator_who_errs_the_same_way_everywhere():
    """The network that draws all too large, as the annotator did, agrees better than one that knows the truth."""
    prepared, plan = made(2)
    truth = prepared[0].labels.target().clone()
    grown = torch.nn.functional.max_pool2d(truth.squeeze(-1)[None].float(), 5, 1, 2)[0].to(truth.dtype).unsqueeze(-1)
    prepared[0].labels.given.copy_(grown)
    (batches, _) = evaluation_windows(PatchSampler(prepared, plan), CrossFittingConfig())

    def drawing(label):
        classes = torch.stack([label == 0, label > 0]).float().squeeze(-1)
        return type("Drawing", (torch.nn.Module,), {"forward": lambda _, image: classes[None]})()

    def agreement(label):
        return agreement_of([predicted(drawing(label), batches, CPU)])[0]

    assert agreement(grown) > agreement(truth)
