"""The competitors' formulas by hand, and each learns a disc."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t

from benchmarks.cell import Cell
from benchmarks.methods.adele import corrected, has_slowed, slope
from benchmarks.methods.aio2 import Aio2, Aio2Loss, completed, teacher_mean, trigger
from benchmarks.methods.cleanlab_filter import label_issues, label_quality
from benchmarks.methods.coteaching import small_loss
from benchmarks.methods.gce import generalised_cross_entropy, noise_robust_dice
from benchmarks.methods.lopsided import lopsided_loss
from benchmarks.methods.registry import BASELINES
from benchmarks.methods.robust_losses import TLoss, t_loss
from benchmarks.scoring import test_scores as scores_of
from benchmarks.training import train
from DALESegmentLib.engine.dale.label_state import IGNORED


def two_voxels(p_first: float, p_second: float) -> torch.Tensor:
    """Logits (1, 2, 1, 2) whose probability of class 1 is as given."""
    p = torch.tensor([p_first, p_second], dtype=torch.float64)
    return torch.stack([(1 - p).log(), p.log()])[None, :, None]


def test_generalised_cross_entropy_by_hand():
    label, valid = torch.tensor([[[1, 0]]]), torch.ones(1, 1, 2)
    by_hand = ((1 - 0.8**0.7) / 0.7 + (1 - 0.5**0.7) / 0.7) / 2
    assert float(generalised_cross_entropy(two_voxels(0.8, 0.5), label, valid)) == pytest.approx(by_hand, rel=1e-5)
    assert float(generalised_cross_entropy(two_voxels(0.8, 0.5), label, valid, q=1.0)) == pytest.approx(0.35, rel=1e-5)


def test_generalised_cross_entropy_pulls_less_at_hopeless_voxels():
    logits = two_voxels(0.05, 0.5).requires_grad_()
    generalised_cross_entropy(logits, torch.ones(1, 1, 2), torch.ones(1, 1, 2)).backward()
    pull = logits.grad[0, 1, 0].abs()
    assert pull[0] < pull[1]


def test_noise_robust_dice_by_hand_and_without_padding():
    label, valid = torch.tensor([[[1, 0]]]), torch.ones(1, 1, 2)
    by_hand = (0.2**1.5 + 0.5**1.5) / (0.8**2 + 0.5**2 + 1 + 1e-5)
    assert float(noise_robust_dice(two_voxels(0.8, 0.5), label, valid)) == pytest.approx(by_hand, rel=1e-4)
    first_only = 0.2**1.5 / (0.8**2 + 1 + 1e-5)
    valid[..., 1] = 0
    assert float(noise_robust_dice(two_voxels(0.8, 0.5), label, valid)) == pytest.approx(first_only, rel=1e-3)


def test_t_loss_is_student_s_likelihood_of_the_errors():
    logits, label, valid = two_voxels(0.8, 0.5), torch.tensor([[[1, 0]]]), torch.ones(1, 1, 2)
    for nu in (0.5, 3.0):
        by_scipy = -multivariate_t.logpdf([0.8 - 1, 0.5 - 0], loc=np.zeros(2), shape=np.eye(2), df=nu) / 2
        assert float(t_loss(logits, label, valid, torch.tensor(nu))) == pytest.approx(by_scipy, rel=1e-5)
    valid[..., 1] = 0
    first_only = -multivariate_t.logpdf([-0.2], df=3.0)
    assert float(t_loss(logits, label, valid, torch.tensor(3.0))) == pytest.approx(first_only, rel=1e-5)


def test_t_loss_learns_the_degrees_of_freedom():
    loss = TLoss(2, learning_rate=0.05)
    label, valid = torch.ones(1, 1, 2, dtype=torch.long), torch.ones(1, 1, 2)
    batch = SimpleNamespace(target=label, valid=valid)
    before = loss.nu.item()
    for _ in range(20):
        loss.loss(batch, two_voxels(0.9, 0.8), 0.0).backward()
    first, last = (multivariate_t.logpdf([-0.1, -0.2], shape=np.eye(2), df=nu) for nu in (before, loss.nu.item()))
    assert last > first + 0.01


def test_lopsided_loss_by_hand_and_forgives_what_is_found_beyond_the_label():
    label, valid = torch.tensor([[[1, 0]]]), torch.ones(1, 1, 2)
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    by_hand = (-math.log(0.8) - 0.2 * math.log(0.1) + 0.8 * entropy) / 2
    assert float(lopsided_loss(two_voxels(0.8, 0.9), label, valid)) == pytest.approx(by_hand, rel=1e-5)
    plain = (-math.log(0.8) - math.log(0.1)) / 2
    assert float(lopsided_loss(two_voxels(0.8, 0.9), label, valid, 1.0)) == pytest.approx(plain, rel=1e-5)
    for p, falls in ((0.8, True), (0.5, False), (0.95, False)):  # what is found in background stays found
        logits = two_voxels(0.5, p).requires_grad_()
        lopsided_loss(logits, label, valid).backward()
        assert (float(logits.grad[0, 1, 0, 1]) < 0) == falls


def test_aio2_adds_whole_objects_that_touch_nothing_labelled():
    label = torch.zeros(2, 6, 8, dtype=torch.int16)
    label[0, 0:2, 0:2] = 1
    predicted = torch.zeros(2, 6, 8, dtype=torch.long)
    predicted[0, 1:4, 1:4] = 1  # touches
    predicted[0, 4:6, 6:8] = 1  # apart
    predicted[1, 0:2, 0:2] = 2
    out = completed(label, predicted)
    assert out[0, :4, :4].equal(label[0, :4, :4])
    assert (out[0, 4:6, 6:8] == 1).all()
    assert int((out[0] != label[0]).sum()) == 4
    assert out[1].equal(predicted[1].to(out.dtype))
    assert not label[1].any()  # the given label stays


def test_aio2_finds_the_transition_between_learning_and_memorising():
    t = np.arange(1, 25)
    learned = 0.6 * (1 - np.exp(-0.8 * t))
    memorised = learned + 0.02 * np.clip(t - 14, 0, None)
    begin = trigger(memorised)
    assert begin is not None
    assert 4 <= begin <= 14
    assert trigger(learned[:8]) is None
    assert trigger(memorised[:15]) is None  # not seen yet
    assert trigger([]) is None


def test_aio2_s_teacher_is_a_running_mean_that_goes_back_with_the_network():
    assert float(teacher_mean(torch.tensor(1.0), torch.tensor(0.0), 8)) == pytest.approx(0.5)
    assert float(teacher_mean(torch.tensor(1.0), torch.tensor(0.0), 10**6)) == pytest.approx(0.99)
    network = torch.nn.Linear(1, 1, bias=False)
    loss = Aio2Loss(2, lambda: torch.nn.Linear(1, 1, bias=False))
    aio2 = Aio2(loss)
    trainer = SimpleNamespace(network=network, settings=SimpleNamespace(epochs=100))
    aio2.on_fit_start(trainer)
    teacher = loss.teacher.module.weight
    assert teacher.equal(network.weight)
    t = np.arange(1, 25)
    weights = {}
    for n, iou in zip(t, 0.6 * (1 - np.exp(-0.8 * t)) + 0.02 * np.clip(t - 14, 0, None), strict=True):
        network.weight.data.fill_(float(n))
        aio2.on_step_end(trainer)
        weights[int(n)] = teacher.item()
        loss.both, loss.either = float(iou), 1.0
        aio2.on_epoch_end(trainer)
        if loss.correcting:
            break
    begin = trigger(aio2.iou)
    assert begin is not None
    assert begin < len(aio2.iou) < 25
    assert network.weight.item() == begin
    assert teacher.item() == pytest.approx(weights[begin])


def test_adele_sees_the_curve_slow_down():
    t = np.arange(1, 13)
    flat = 0.8 * (1 - np.exp(-1.0 * t))
    steady = 0.02 * t
    assert has_slowed(flat)
    assert not has_slowed(steady)
    assert not has_slowed(flat[:3])
    assert slope(2.0, 0.8, 1.0, 1.0) == pytest.approx(0.8 * math.exp(-2.0))


def test_adele_corrects_only_certain_voxels_of_its_class():
    label = torch.tensor([0, 1, 2, 1, IGNORED], dtype=torch.int16)
    p = torch.tensor([[0.1, 0.9, 0.9, 0.7, 0.1], [0.9, 0.1, 0.1, 0.3, 0.9], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert corrected(label, p, 1).tolist() == [1, 0, 2, 1, IGNORED]


def test_cleanlab_scores_with_the_label_s_probability_and_finds_the_planted_error():
    label = np.zeros((6, 6), int)
    label[:3] = 1
    p1 = np.where(label == 1, 0.9, 0.1)
    label[0, 0] = 0
    p = np.stack([1 - p1, p1])
    (quality,) = label_quality([label], [p])
    assert quality[0, 0] == pytest.approx(0.1)
    assert quality[5, 5] == pytest.approx(0.9)
    found = label_issues([label, label[:2]], [p, p[:, :2]])
    assert [f.shape for f in found] == [(6, 6), (2, 6)]
    assert found[0].sum() == 1
    assert found[0][0, 0]


def test_coteaching_drops_the_largest_losses_of_each_class():
    label = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 0, 0, 0]])
    loss = torch.tensor([[1.0, 9.0, 2.0, 3.0, 5.0, 1.0, 7.0, 0.0, 99.0, 0.0]])
    valid = torch.ones(1, 10)
    valid[0, 8] = 0
    kept = small_loss(loss, label, valid, 2, 0.25)
    # one of four foreground voxels, and as many of the background as a quarter of the foreground allows
    assert kept.tolist() == [[1, 0, 1, 1, 1, 1, 0, 1, 0, 1]]
    assert small_loss(loss, label, valid, 2, 0.0).equal(valid)


@pytest.mark.slow
@pytest.mark.parametrize("method", BASELINES)
def test_each_baseline_learns(method, tiny_data, tiny_set):
    cell = Cell(data=tiny_set, noise="morph", level=0.3, network="UNet", method=method, trusted=0.0, draw=0)
    assert scores_of(train(cell, tiny_data, "cpu").predictor, cell, tiny_data)["dice"] > 0.7
