"""The training loss: MONAI's where nothing is doubted, and trusted voxels always at full weight."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from torch import Tensor

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.dale.config import DaleConfig
from DALESegmentLib.engine.dale.label_memory import LabelMemory
from DALESegmentLib.engine.dale.loss import DEFAULT, DaleLoss, upweight_reviewed, weighted_dice_ce
from DALESegmentLib.engine.dale.paper_terms import (
    ClassStatistics,
    FeatureAlignment,
    gaussian_wasserstein2,
    keep_class_mass,
    step_weights,
)
from DALESegmentLib.engine.dale.partition import ema_update, fuzziness, instant_disagreement, near_outlines, threshold
from DALESegmentLib.engine.dale.patches import PatchLabels


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def a_batch(random: torch.Generator, s: float = 0.5) -> tuple[PatchLabels, Tensor]:
    label = torch.randint(0, 3, (2, 8, 8, 4), generator=random)
    logits = torch.randn(2, 3, 8, 8, 4, generator=random, requires_grad=True)
    shape = label.shape
    batch = PatchLabels(
        label,
        torch.zeros(shape, dtype=torch.bool),
        torch.ones(shape),
        torch.full(shape, s),
        torch.full(shape, s != 0.5),
    )
    return batch, logits


def loss_at(step: int, batch: PatchLabels, logits: Tensor, config: DaleConfig | None = DEFAULT) -> Tensor:
    """Of a step near the end of a training; even ones are stable."""
    loss = DaleLoss(3, config)
    loss.steps = step
    return loss(logits, batch, 0.9)


def test_without_a_partition_every_step_learns(random):
    """A stable step has no stable voxels then, and would learn nothing."""
    batch, logits = a_batch(random)
    settings = DaleConfig(partition=False, alignment=False)
    losses = [loss_at(step, batch, logits, settings) for step in (0, 1)]
    for loss in losses:
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert gradient.abs().max() > 0
    assert torch.equal(*losses)


def test_settings_that_would_learn_from_no_voxel_are_refused():
    with pytest.raises(ValueError, match="no voxel has a weight"):
        DaleConfig(partition=False, confidence=False)


def test_with_all_weights_one_the_loss_is_monais(random):
    batch, logits = a_batch(random)
    ours = weighted_dice_ce(logits, batch.target, *[torch.ones_like(batch.valid)] * 2, batch.valid)
    monai = DiceCELoss(
        include_background=False, softmax=True, to_onehot_y=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5
    )
    # MONAI's cross-entropy always counts the background, its Dice as told
    theirs = monai(logits, batch.target.unsqueeze(1))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def formula(logits: Tensor, label: Tensor, ce_weights: Tensor, dice_weights: Tensor, valid: Tensor) -> Tensor:
    """The loss as its formula is written, class by class of every voxel."""
    log_probability = logits.log_softmax(1)
    index = label.unsqueeze(1)
    cross_entropy = -(ce_weights * valid * log_probability.gather(1, index).squeeze(1)).sum() / valid.sum()
    one_hot = torch.zeros_like(logits).scatter_(1, index, 1.0)
    w, axes = (dice_weights * valid).unsqueeze(1), [0, *range(2, logits.ndim)]
    overlap = (w * log_probability.exp() * one_hot).sum(axes)
    size = (w * (log_probability.exp() + one_hot)).sum(axes)
    return cross_entropy + 1 - ((2 * overlap + 1e-5) / (size + 1e-5))[1:].mean()


@pytest.mark.parametrize("shape", [(2, 3, 8, 8, 4), (4, 2, 16, 16), (1, 7, 5, 6, 7)])
def test_loss_and_gradient_are_those_of_the_formula(random, shape):
    logits = torch.randn(shape, generator=random, requires_grad=True)
    grid = (shape[0], *shape[2:])
    label = torch.randint(0, shape[1], grid, generator=random)
    ce, dice = torch.rand(2, *grid, generator=random)
    valid = (torch.rand(grid, generator=random) < 0.8).float()
    ours, theirs = (loss(logits, label, ce, dice, valid) for loss in (weighted_dice_ce, formula))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6 * float(gradients[1].abs().max()))


def test_padding_has_no_part_in_the_loss(random):
    batch, logits = a_batch(random)
    whole = weighted_dice_ce(logits, batch.target, *[torch.ones_like(batch.valid)] * 2, batch.valid)
    padded_logits = torch.nn.functional.pad(logits, (0, 2, 0, 0, 0, 3), value=7.0)
    pads = (0, 2, 0, 0, 0, 3)
    label, valid = (torch.nn.functional.pad(t, pads) for t in (batch.target, batch.valid))
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
    plain = loss_at(1, batch, logits, None)
    for step in (0, 1):
        dale = loss_at(step, batch, logits, DaleConfig(alignment=False))
        assert float(dale) == pytest.approx(float(plain), rel=1e-3)


def test_dale_is_plain_before_the_warm_up_ends_and_differs_after_it(random):
    batch, logits = a_batch(random, s=0.98)
    plain = loss_at(1, batch, logits, None)
    dale = DaleLoss(3, DaleConfig())
    assert float(dale(logits, batch, 0.1)) == pytest.approx(float(plain))
    assert float(dale(logits, batch, 0.9)) != pytest.approx(float(plain), rel=1e-3)


def test_where_all_is_trusted_dale_is_plain(random):
    batch, logits = a_batch(random, s=0.98)
    batch.reviewed[:] = True
    plain = loss_at(1, batch, logits, None)
    for step in (0, 1):
        dale = loss_at(step, batch, logits)
        assert float(dale) == pytest.approx(float(plain), rel=1e-6)


@pytest.mark.parametrize("part", ["confidence", "consistency", "partition", "alternation", "alignment"])
def test_each_part_can_be_switched_off_and_matters(part, random):
    batch, logits = a_batch(random, s=0.97)
    features = torch.randn(2, 6, 8, 8, 4, generator=random)

    def loss_of(settings: DaleConfig) -> float:
        loss = DaleLoss(3, settings)
        loss(logits, batch, 0.95, features)  # a stable step feeds the feature statistics
        return float(loss(logits, batch, 0.95, features))

    # stable features must exist for the alignment, so half of the voxels have a good history
    batch.disagreement[:, :, :4] = 0.02
    whole = loss_of(DaleConfig(alignment_weight=1.0))
    without = loss_of(DaleConfig(alignment_weight=1.0, **{part: False}))
    if part == "alternation":  # a fuzzy step is a fuzzy step; the stable ones differ
        step = [loss_at(0, batch, logits, DaleConfig(alternation=on)) for on in (True, False)]
        whole, without = float(step[0]), float(step[1])
    assert whole != pytest.approx(without, rel=1e-4)


def test_trusted_voxels_are_raised_to_their_share_and_never_lowered():
    weights = torch.ones(1, 100)
    trusted = torch.zeros(1, 100, dtype=torch.bool)
    trusted[0, :10] = True
    raised = upweight_reviewed(weights, trusted, 0.3)
    assert float(raised[trusted].sum() / raised.sum()) == pytest.approx(0.3)
    assert torch.equal(raised[~trusted], weights[~trusted])
    trusted[0, :80] = True
    assert torch.equal(upweight_reviewed(weights, trusted, 0.3), weights)
    assert torch.equal(upweight_reviewed(weights, torch.zeros_like(trusted), 0.3), weights)


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


def steps(loss: DaleLoss, memory: LabelMemory, random: torch.Generator, progress: list[float]) -> list[float]:
    """Of random logits and features, each drawn anew."""
    values = []
    for share in progress:
        logits, features = torch.randn(2, 3, 12, 12, generator=random), torch.randn(2, 5, 6, 6, generator=random)
        values.append(float(loss(logits, memory.at(["a", "b"]), share, features)))
        loss.update_thresholds(memory)
    return values


def two_cases() -> LabelMemory:
    memory = LabelMemory()
    for n, name in enumerate("ab"):
        memory.add(name, np.random.default_rng(n).integers(0, 3, (12, 12)))
    return memory


@pytest.mark.parametrize("config", [None, DaleConfig(), DaleConfig(warm_up=0.0, alignment_weight=1.0)])
def test_a_resumed_loss_goes_on_as_it_would_have(config, random):
    progress = np.linspace(0, 1, 24, endpoint=False).tolist()
    loss, memory = DaleLoss(3, config), two_cases()
    steps(loss, memory, random, progress[:19])
    stored, labels = copy.deepcopy(loss.state_dict()), copy.deepcopy(memory.state_dict())
    chance = random.get_state()
    wanted = steps(loss, memory, random, progress[19:])
    resumed, again = DaleLoss(3, config), two_cases()
    resumed.load_state_dict(stored)
    again.load_state_dict(labels)
    random.set_state(chance)
    assert steps(resumed, again, random, progress[19:]) == wanted
    assert torch.equal(memory["a"].disagreement, again["a"].disagreement)


def test_state_is_plain_tensors(random):
    loss = DaleLoss(3, DaleConfig(warm_up=0.0))
    steps(loss, two_cases(), random, [0.9, 0.95])
    assert all(isinstance(value, torch.Tensor) for value in loss.state_dict().values())
    assert loss.state_dict()["alignment.mean"].shape == (3, 5)


def test_in_evaluation_nothing_is_learned_about_the_labels(random):
    loss, memory = DaleLoss(3), two_cases()
    before = copy.deepcopy(loss.state_dict())
    loss.eval()
    steps(loss, memory, random, [0.1, 0.9, 0.95])
    after = loss.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name != "thresholds")
    assert not memory["a"].seen.any()


def test_each_class_has_the_threshold_of_its_own_disagreement():
    memory, loss = two_cases(), DaleLoss(3)
    label = memory.at(["a", "b"])
    label.record(torch.where(label.target == 2, 0.9 + 0.1 * torch.rand(2, 12, 12), 0.1))
    loss.update_thresholds(memory)
    assert loss.thresholds[:2].tolist() == pytest.approx([0.8, 0.8])
    s = torch.cat([memory[name].disagreement[memory[name].target() == 2] for name in "ab"]).float()
    assert float((s > loss.thresholds[2]).float().mean()) == pytest.approx(DEFAULT.largest_fuzzy_share, abs=0.03)


@pytest.mark.parametrize("shape", [(2, 2, 12, 12), (1, 3, 12, 12), (2, 3, 12, 11), (2, 3, 12, 12, 1)])
def test_logits_that_do_not_fit_the_labels_are_refused(shape):
    with pytest.raises(EngineError, match=r"the network must give \(2, 3, 12, 12\)"):
        DaleLoss(3)(torch.zeros(shape), two_cases().at(["a", "b"]), 0.0)


def test_more_classes_in_a_label_than_in_the_loss_are_refused():
    with pytest.raises(EngineError, match="has the class 2, but the loss knows 2 classes"):
        DaleLoss(2)(torch.zeros(2, 2, 12, 12), two_cases().at(["a", "b"]), 0.0)


def test_what_the_network_contradicts_for_long_is_learned_less():
    """A voxel whose label the network has always contradicted has no gradient in a stable step after the warm-up."""
    memory, loss = LabelMemory(), DaleLoss(2, DaleConfig(alignment=False))
    label = np.zeros((16, 16), np.int64)
    label[4:12, 4:12] = 1
    wrong = label.copy()
    wrong[4, 4:12] = 0
    memory.add("a", wrong)
    logits = 6.0 * (2.0 * torch.nn.functional.one_hot(torch.from_numpy(label), 2).movedim(-1, 0)[None].float() - 1)
    for progress in np.linspace(0.0, 0.98, 50).tolist():
        loss(logits, memory.at(["a"]), progress)
    loss.update_thresholds(memory)
    asked = logits.clone().requires_grad_()
    loss.steps = 50
    loss(asked, memory.at(["a"]), 0.99).backward()
    plain = logits.clone().requires_grad_()
    DaleLoss(2, None)(plain, memory.at(["a"]), 0.99).backward()
    spoiled = torch.from_numpy(label != wrong)
    assert float(asked.grad[0, :, spoiled].abs().max()) < 0.05 * float(plain.grad[0, :, spoiled].abs().max())
    assert float(loss.fuzzy_share) == pytest.approx(8 / 256, abs=0.01)


def test_what_it_contradicts_far_from_every_outline_is_learned_all_the_same():
    """A dark rim of the picture that the network takes for a lesion: nobody drew an outline there."""
    memory, loss = LabelMemory(), DaleLoss(2, DaleConfig(alignment=False))
    label = np.zeros((32, 32), np.int64)
    label[4:12, 4:12] = 1
    memory.add("a", label)
    drawn = label.copy()
    drawn[24:] = 1
    logits = 6.0 * (2.0 * torch.nn.functional.one_hot(torch.from_numpy(drawn), 2).movedim(-1, 0)[None].float() - 1)
    for progress in np.linspace(0.0, 0.98, 50).tolist():
        loss(logits, memory.at(["a"]), progress)
    loss.update_thresholds(memory)
    loss.steps = 50
    rim = torch.from_numpy(drawn != label)
    gradients = []
    for asked in (loss, DaleLoss(2, None)):
        these = logits.clone().requires_grad_()
        asked(these, memory.at(["a"]), 0.99).backward()
        gradients.append(these.grad[0, :, rim])
    assert torch.allclose(*gradients)
    assert float(gradients[0].abs().max()) > 0


def test_in_a_case_without_any_label_it_may_be_overlooked_and_is_learned_less():
    memory, loss = LabelMemory(), DaleLoss(2, DaleConfig(alignment=False))
    drawn = np.zeros((32, 32), np.int64)
    drawn[24:] = 1
    memory.add("a", np.zeros((32, 32), np.int64))
    logits = 6.0 * (2.0 * torch.nn.functional.one_hot(torch.from_numpy(drawn), 2).movedim(-1, 0)[None].float() - 1)
    for progress in np.linspace(0.0, 0.98, 50).tolist():
        loss(logits, memory.at(["a"]), progress)
    loss.thresholds.fill_(0.8)
    loss.steps = 50
    found = torch.from_numpy(drawn > 0)
    gradients = []
    for asked in (loss, DaleLoss(2, None)):
        these = logits.clone().requires_grad_()
        asked(these, memory.at(["a"]), 0.99).backward()
        gradients.append(float(these.grad[0, :, found].abs().max()))
    assert gradients[0] < 0.05 * gradients[1]
    assert memory.at(["a"]).unlabelled.tolist() == [True]
    memory["a"].set_proposal("missed_objects", torch.from_numpy(drawn).to(torch.int16))
    assert memory.at(["a"]).unlabelled.tolist() == [False]


def test_near_an_outline_is_within_a_share_of_the_radius():
    disc = torch.zeros(1, 41, 41, dtype=torch.long)
    disc[0, 15:26, 15:26] = 1  # as large as a disc of radius 6.2
    near = near_outlines(disc, 0.5)[0]  # 3 pixels to either side
    assert near[20].nonzero().flatten().tolist() == [*range(12, 18), *range(23, 29)]
    ball = torch.zeros(2, 21, 21, 21, dtype=torch.long)
    ball[0, 8:13, 8:13, 8:13] = 2  # radius 3.1
    near = near_outlines(ball, 0.7)
    assert near[0, 10, 10].nonzero().flatten().tolist() == [6, 7, 8, 9, 11, 12, 13, 14]
    assert not near[1].any()
    touching = torch.zeros(1, 1, 12, dtype=torch.long)
    touching[..., 2:6], touching[..., 6:] = 1, 2  # the outline between two classes, too
    assert near_outlines(touching, 0.5)[0, 0].nonzero().flatten().tolist() == [1, 2, 5, 6]
    assert not near_outlines(torch.zeros(1, 8, 8, dtype=torch.long), 1.0).any()
    assert not near_outlines(torch.ones(1, 8, 8, dtype=torch.long), 1.0).any()


@pytest.mark.parametrize("wrong", [{"num_classes": 1}, {"num_classes": 2.0}, {"config": {"memory": 0.9}}])
def test_a_loss_that_cannot_be_is_refused(wrong):
    with pytest.raises(
        EngineError, match=r"num_classes is (1|2\.0); give|config is \{'memory': 0\.9\}; give a DaleConfig"
    ):
        DaleLoss(**{"num_classes": 3} | wrong)


@pytest.mark.parametrize("progress", [None, float("nan"), -0.1, 37])
def test_progress_is_a_share(random, progress):
    batch, logits = a_batch(random)
    with pytest.raises(EngineError, match="give the share of the training that is done, from 0 to 1"):
        DaleLoss(3)(logits, batch, progress)


def test_labels_of_a_memory_and_one_output_are_asked_for(random):
    batch, logits = a_batch(random)
    with pytest.raises(EngineError, match=r"called with a Tensor and a Tensor; give .* the labels that memory\.at"):
        DaleLoss(3)(logits, batch.target, 0.5)
    with pytest.raises(
        EngineError, match="called with a list and a PatchLabels; give the network's output as one tensor"
    ):
        DaleLoss(3)([logits], batch, 0.5)
