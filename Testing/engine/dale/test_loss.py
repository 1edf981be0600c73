"""The training loss: MONAI's where nothing is doubted, and trusted voxels always at full weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from torch import Tensor

from DALESegmentLib.engine.dale.config import DaleConfig
from DALESegmentLib.engine.dale.loss import Batch, Objective, emphasise_trusted, weighted_dice_ce
from DALESegmentLib.engine.dale.memory import ema_update, fuzziness, instant_disagreement, threshold
from DALESegmentLib.engine.dale.paper_terms import (
    ClassStatistics,
    FeatureAlignment,
    gaussian_wasserstein2,
    keep_class_mass,
    step_weights,
)


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def a_batch(random: torch.Generator, s: float = 0.5) -> tuple[Batch, Tensor]:
    label = torch.randint(0, 3, (2, 8, 8, 4), generator=random)
    logits = torch.randn(2, 3, 8, 8, 4, generator=random, requires_grad=True)
    shape = label.shape
    batch = Batch(
        torch.zeros(2, 1, 8, 8, 4),
        label,
        torch.zeros(shape, dtype=torch.bool),
        torch.ones(shape),
        torch.full(shape, s),
        torch.full(shape, s != 0.5),
    )
    return batch, logits


def test_without_a_partition_every_step_learns(random):
    """A stable step has no stable voxels then, and would learn nothing."""
    batch, logits = a_batch(random)
    settings = DaleConfig(partition=False, alignment=False)
    losses = [Objective(3, settings)(batch, logits, None, step, 0.9).loss for step in (0, 1)]
    for loss in losses:
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert gradient.abs().max() > 0
    assert torch.equal(*losses)


def test_settings_that_would_learn_from_no_voxel_are_refused():
    with pytest.raises(ValueError, match="no voxel has a weight"):
        DaleConfig(partition=False, confidence=False)


def test_with_all_weights_one_the_loss_is_monais(random):
    batch, logits = a_batch(random)
    ours = weighted_dice_ce(logits, batch.label, *[torch.ones_like(batch.valid)] * 2, batch.valid)
    monai = DiceCELoss(
        include_background=False, softmax=True, to_onehot_y=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5
    )
    # MONAI's cross-entropy always counts the background, its Dice as told
    theirs = monai(logits, batch.label.unsqueeze(1))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_padding_has_no_part_in_the_loss(random):
    batch, logits = a_batch(random)
    whole = weighted_dice_ce(logits, batch.label, *[torch.ones_like(batch.valid)] * 2, batch.valid)
    padded_logits = torch.nn.functional.pad(logits, (0, 2, 0, 0, 0, 3), value=7.0)
    pads = (0, 2, 0, 0, 0, 3)
    label, valid = (torch.nn.functional.pad(t, pads) for t in (batch.label, batch.valid))
    padded = weighted_dice_ce(padded_logits, label, *[torch.ones_like(valid)] * 2, valid)
    assert float(padded) == pytest.approx(float(whole), rel=1e-5)


def test_the_float16_average_moves_at_the_default_memory():
    s = torch.full((1,), 0.5, dtype=torch.float16)
    s += 0.01
    for _ in range(60):
        s = ema_update(s.float(), torch.ones(1).bool(), torch.ones(1), DaleConfig().memory).to(torch.float16)
    assert float(s) > 0.99


def test_the_first_look_replaces_what_was_never_seen_and_no_mean_of_a_half_is_taken_for_that():
    seen = torch.tensor([False, True, True])
    s = ema_update(torch.tensor([0.5, 0.2, 0.5]), seen, torch.full((3,), 0.1), 0.8)
    assert s.tolist() == pytest.approx([0.1, 0.18, 0.42])


def test_the_disagreement_of_one_look_by_hand():
    logits = torch.tensor([[[2.0, 0.0], [0.0, 2.0]]])  # (1, 2 classes, 2 voxels)
    label = torch.tensor([[0, 0]])
    p = 1 / (1 + np.exp(-2))
    margin = torch.tensor([[2.0, -2.0]])
    assert instant_disagreement(logits.softmax(1), label, margin).flatten().tolist() == pytest.approx(
        [0.5 * (1 - p), 0.5 * (p + 1)], rel=1e-5
    )


def test_good_labels_are_never_fuzzy_and_persistent_disagreement_is():
    settings = DaleConfig()
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 5000)
    good = rng.uniform(0, 0.3, 10_000)
    tau = torch.tensor([threshold(good[label == c], settings) for c in (0, 1)])
    f = fuzziness(torch.tensor(good), torch.tensor(label), tau, settings.sharpness)
    assert float(f.max()) < 0.001
    bad = good.copy()
    bad[5000:5500] = 0.95
    tau = torch.tensor([threshold(bad[label == c], settings) for c in (0, 1)])
    f = fuzziness(torch.tensor(bad), torch.tensor(label), tau, settings.sharpness)
    assert float(f[5000:5500].min()) > 0.9
    assert float(f[:5000].max()) < 0.001


def test_at_most_the_largest_share_of_a_class_is_fuzzy():
    settings = DaleConfig(largest_fuzzy_share=0.1)
    s = np.linspace(0.7, 1.0, 1000)
    assert (s > threshold(s, settings)).mean() <= 0.1 + 1e-9


def test_each_class_keeps_its_mass_and_fixed_voxels_their_weight():
    label = torch.tensor([[0, 0, 0, 1, 1, 1]])
    weights = torch.tensor([[1.0, 1.0, 0.4, 1.0, 0.2, 1.0]])
    fixed = torch.tensor([[True, False, False, False, False, True]])
    out = keep_class_mass(weights, label, 2, fixed)
    assert float(out[0, 0]) == 1.0
    assert float(out[0, 5]) == 1.0
    assert float(out[0, 1:3].sum()) == pytest.approx(2.0)
    assert float(out[0, 3:5].sum()) == pytest.approx(2.0)


def test_stable_steps_ignore_fuzzy_voxels_and_fuzzy_steps_weigh_them():
    f, w = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.3, 0.3, 0.9])
    stable, dice = step_weights(f, None)
    fuzzy, dice_again = step_weights(f, w)
    assert stable.tolist() == [1.0, 0.0, 0.0]
    assert fuzzy.tolist() == pytest.approx([1.0, 0.3, 0.9])
    assert dice.tolist() == dice_again.tolist() == [1.0, 0.0, 0.0]


def test_with_good_labels_dale_is_plain_training(random):
    """Nothing is fuzzy where the history is good, even if today's network contradicts a label."""
    batch, logits = a_batch(random, s=0.02)
    plain = Objective(3, None)(batch, logits, None, 1, 0.9)
    for step in (0, 1):
        dale = Objective(3, DaleConfig(alignment=False))(batch, logits, None, step, 0.9)
        assert float(dale.loss) == pytest.approx(float(plain.loss), rel=1e-3)


def test_dale_is_plain_before_the_warm_up_ends_and_differs_after_it(random):
    batch, logits = a_batch(random, s=0.98)
    plain = Objective(3, None)(batch, logits, None, 1, 0.9)
    dale = Objective(3, DaleConfig())
    assert float(dale(batch, logits, None, 1, 0.1).loss) == pytest.approx(float(plain.loss))
    assert float(dale(batch, logits, None, 1, 0.9).loss) != pytest.approx(float(plain.loss), rel=1e-3)


def test_where_all_is_trusted_dale_is_plain(random):
    batch, logits = a_batch(random, s=0.98)
    batch.trusted[:] = True
    plain = Objective(3, None)(batch, logits, None, 1, 0.9)
    for step in (0, 1):
        dale = Objective(3, DaleConfig())(batch, logits, None, step, 0.9)
        assert float(dale.loss) == pytest.approx(float(plain.loss), rel=1e-6)


@pytest.mark.parametrize("part", ["confidence", "consistency", "partition", "alternation", "alignment"])
def test_each_part_can_be_switched_off_and_matters(part, random):
    batch, logits = a_batch(random, s=0.97)
    features = torch.randn(2, 6, 8, 8, 4, generator=random)

    def loss_of(settings: DaleConfig) -> float:
        objective = Objective(3, settings)
        objective(batch, logits, features, 0, 0.95)  # a stable step feeds the feature statistics
        return float(objective(batch, logits, features, 1, 0.95).loss)

    # stable features must exist for the alignment, so half of the voxels have a good history
    batch.disagreement[:, :, :4] = 0.02
    whole = loss_of(DaleConfig(alignment_weight=1.0))
    without = loss_of(DaleConfig(alignment_weight=1.0, **{part: False}))
    if part == "alternation":  # a fuzzy step is a fuzzy step; the stable ones differ
        step = [Objective(3, DaleConfig(alternation=on))(batch, logits, None, 0, 0.95).loss for on in (True, False)]
        whole, without = float(step[0]), float(step[1])
    assert whole != pytest.approx(without, rel=1e-4)


def test_trusted_voxels_are_raised_to_their_share_and_never_lowered():
    weights = torch.ones(1, 100)
    trusted = torch.zeros(1, 100, dtype=torch.bool)
    trusted[0, :10] = True
    raised = emphasise_trusted(weights, trusted, 0.3)
    assert float(raised[trusted].sum() / raised.sum()) == pytest.approx(0.3)
    assert torch.equal(raised[~trusted], weights[~trusted])
    trusted[0, :80] = True
    assert torch.equal(emphasise_trusted(weights, trusted, 0.3), weights)
    assert torch.equal(emphasise_trusted(weights, torch.zeros_like(trusted), 0.3), weights)


def test_the_wasserstein_distance_against_numbers(random):
    """In one dimension W₂² of two equal samples' sizes is the mean square of sorted differences."""
    a = torch.randn(200_000, generator=random, dtype=torch.float64) * 2.0 + 1.0
    b = torch.randn(200_000, generator=random, dtype=torch.float64) * 0.5 - 1.0
    empirical = float((a.sort().values - b.sort().values).square().mean())
    closed = gaussian_wasserstein2(a.mean()[None], a.std()[None], b.mean()[None], b.std()[None])
    assert float(closed) == pytest.approx(empirical, rel=0.02)


def test_class_statistics_are_the_mean_and_variance_of_the_chosen_voxels(random):
    features, of_class = 3 + torch.randn((300, 4), generator=random), torch.arange(300) % 3
    chosen = (torch.rand(300, generator=random) < 0.6) & (of_class != 1)
    found = ClassStatistics.of(features, of_class, chosen, 3)
    assert found.enough.tolist() == [True, False, True]
    for c in (0, 2):
        own = features[chosen & (of_class == c)]
        torch.testing.assert_close(found.mean[c], own.mean(0))
        torch.testing.assert_close(found.variance[c], own.var(0), rtol=1e-4, atol=1e-5)


def test_a_class_with_too_few_voxels_changes_nothing_and_costs_nothing(random):
    alignment, label = FeatureAlignment(2), torch.zeros(100, dtype=torch.long)
    stable, everywhere = torch.randn((100, 4), generator=random), torch.ones(100, dtype=torch.bool)
    alignment.observe(stable, label, everywhere)
    mean = alignment.mean.clone()
    alignment.observe(stable + 9, label, torch.arange(100) < 15)
    assert alignment.seen.tolist() == [True, False]
    assert torch.equal(alignment.mean, mean)
    fuzzy = torch.randn((100, 4), generator=random, requires_grad=True)
    loss = alignment.loss(fuzzy, label + 1, everywhere)  # a class never seen
    loss.backward()
    assert float(loss) == 0
    assert torch.equal(fuzzy.grad, torch.zeros_like(fuzzy))


def test_alignment_pulls_fuzzy_features_towards_stable_ones(random):
    alignment = FeatureAlignment(2)
    stable = torch.randn(400, 3, generator=random)
    label = torch.zeros(400, dtype=torch.long)
    alignment.observe(stable, label, torch.ones(400, dtype=torch.bool))
    fuzzy = (torch.randn(100, 3, generator=random) + 4).requires_grad_()
    everywhere = torch.ones(100, dtype=torch.bool)
    before = alignment.loss(fuzzy, label[:100], everywhere)
    before.backward()
    after = alignment.loss(fuzzy.detach() - 20 * fuzzy.grad, label[:100], everywhere)
    assert 0 < float(after) < float(before)
