"""Which model of a fine-tune is kept, where its patches lie, and what its loss holds on to."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.loss import DaleLoss
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import CaseFingerprint, FinetuneConfig, TrainSettings, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_case
from DALESegmentLib.engine.training.build_trainer import finetuning
from DALESegmentLib.engine.training.finetuning import (
    DistillationLoss,
    FinetuneSampler,
    ReviewScore,
    is_better,
    score_on_review,
    scoring_patches,
)
from Testing.phantoms import ball_case

CPU = torch.device("cpu")
BEFORE = ReviewScore(100, 1000, 0.80)


@pytest.mark.parametrize(
    ("score", "best", "wanted"),
    [
        (ReviewScore(90, 1000, 0.80), BEFORE, True),
        (ReviewScore(90, 1000, 0.791), BEFORE, True),
        (ReviewScore(10, 1000, 0.78), BEFORE, False),  # lost on the replay
        (ReviewScore(100, 1000, 0.80), BEFORE, False),  # nothing gained
        (ReviewScore(100, 1000, 0.82), BEFORE, True),
        (ReviewScore(95, 1000, 0.85), ReviewScore(90, 1000, 0.80), False),
    ],
)
def test_the_best_has_the_fewest_contradictions_of_those_that_lost_nothing(score, best, wanted):
    assert is_better(score, best, BEFORE) is wanted


@pytest.fixture
def cases():
    """Two; in the first a corner is confirmed. With their plan."""
    made = [ball_case(name, size=(40, 32, 12), seed=n) for n, name in enumerate("ab")]
    made[0].trusted = np.zeros(made[0].label.shape, bool)
    made[0].trusted[2:4, 10:14, 30:34] = True
    plan = make_plan([CaseFingerprint.of(c) for c in made]).model_copy(
        update={"patch_size": (16, 16, 8), "batch_size": 4}
    )
    return [prepare_case(c, plan) for c in made], plan


def test_half_of_the_patches_hold_confirmed_voxels_and_most_of_those_as_prediction_sees_them(cases):
    prepared, plan = cases
    sampler = FinetuneSampler(prepared, plan.model_copy(update={"batch_size": 400}))
    sampler.seed(0, 0)
    patchs = [sampler._patch() for _ in range(400)]
    still = [patch for patch in patchs if not patch.augmented]
    assert 0.35 < len(still) / len(patchs) < 0.55
    assert all(patch.case == 0 and not patch.flips and not patch.rot90 for patch in still)
    assert all(bool(patch.take(prepared[0].labels.reviewed).any()) for patch in still)
    assert {patch.start for patch in still} == {patch.start for patch in sampler.windows}
    assert any(patch.case == 1 for patch in patchs)


def test_the_shares_of_a_batch_are_those_of_the_config(cases):
    prepared, plan = cases
    for confirmed, predicted, wanted in ((0.0, 1.0, 0), (1.0, 0.0, 0), (1.0, 1.0, 50)):
        config = FinetuneConfig(confirmed_share=confirmed, as_predicted=predicted)
        sampler = FinetuneSampler(prepared, plan, config)
        sampler.seed(0, 0)
        assert sum(not sampler._patch().augmented for _ in range(50)) == wanted


def test_a_patch_as_it_is_keeps_its_brightness(cases):
    prepared, plan = cases
    sampler = FinetuneSampler(prepared, plan)
    sampler.seed(0, 0)
    for _ in range(10):
        batch = sampler.draw(CPU)
        for image, patch in zip(batch.image, batch.where, strict=True):
            if not patch.augmented:
                assert torch.equal(image, patch.take(prepared[patch.case].image))


def test_scoring_is_the_same_every_time_and_counts_the_confirmed(cases):
    prepared, plan = cases
    patches = scoring_patches(FinetuneSampler(prepared, plan), 3, CPU)
    again = scoring_patches(FinetuneSampler(prepared, plan), 3, CPU)
    assert all(torch.equal(a.image, b.image) for a, b in zip(patches, again, strict=True))

    class Given(torch.nn.Module):
        """Answers with the labels, or with their opposite where something is confirmed."""

        def __init__(self, against: bool) -> None:
            super().__init__()
            self.left, self.against = list(patches), against

        def forward(self, _image):
            batch = self.left.pop(0)
            label = torch.where(batch.reviewed, 1 - batch.target, batch.target) if self.against else batch.target
            return torch.nn.functional.one_hot(label, 2).movedim(-1, 1).float()

    right, wrong = score_on_review(Given(False), patches), score_on_review(Given(True), patches)
    assert (right.wrong, right.replay) == (0, pytest.approx(1.0))
    assert wrong.wrong == wrong.confirmed == right.confirmed > 0
    assert wrong.replay == pytest.approx(1.0)


def test_the_loss_holds_on_to_the_model_before_except_where_something_is_confirmed(cases):
    prepared, plan = cases
    torch.manual_seed(0)
    network = build(plan.network, plan.network_arguments).eval()
    settings = TrainSettings(method="plain")
    sampler = FinetuneSampler(prepared, plan)
    batch = scoring_patches(sampler, 0, CPU)[0]
    logits = network(batch.image)

    def loss(objective, values, given=batch):
        return float(objective(values, given, 0.0).detach())

    keeping, plain = DistillationLoss(plan, settings, network), DaleLoss(plan.classes, None)
    assert loss(keeping, logits) == pytest.approx(loss(plain, logits), abs=1e-5)
    moved = logits + torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1, 1)
    assert loss(keeping, moved) > loss(plain, moved) + 0.01
    without = DistillationLoss(
        plan, settings.model_copy(update={"finetune": FinetuneConfig(distillation_weight=0.0)}), network
    )
    assert loss(without, moved) == pytest.approx(loss(plain, moved), abs=1e-6)
    confirmed = copy.copy(batch)
    confirmed.reviewed = torch.ones_like(batch.reviewed)
    assert loss(keeping, moved, confirmed) == pytest.approx(loss(plain, moved, confirmed), abs=1e-5)


def test_the_model_left_is_the_best_one_and_not_the_last(cases, monkeypatch):
    prepared, plan = cases
    torch.manual_seed(0)
    network = build(plan.network, plan.network_arguments)
    settings = TrainSettings(method="plain", epochs=3, steps_per_epoch=1)
    scores = iter(
        [ReviewScore(50, 100, 0.8), ReviewScore(20, 100, 0.8), ReviewScore(10, 100, 0.5), ReviewScore(30, 100, 0.8)]
    )
    weights = []

    def score(seen, _patches, _ranks):
        weights.append(copy.deepcopy(seen.state_dict()))
        return next(scores)

    monkeypatch.setattr("DALESegmentLib.engine.training.callbacks.score_on_review", score)
    tuner = finetuning(plan, settings, network, prepared, [], None, CPU, Progress())
    assert len(tuner.fit()) == 3
    assert all(torch.equal(value, weights[1][name]) for name, value in network.state_dict().items())
