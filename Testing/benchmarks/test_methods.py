"""The competitors' formulas by hand, and each learns a disc."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.cell import Cell
from benchmarks.methods.adele import corrected, has_slowed, slope
from benchmarks.methods.cleanlab_filter import label_issues, label_quality
from benchmarks.methods.coteaching import small_loss
from benchmarks.methods.gce import generalised_cross_entropy, noise_robust_dice
from benchmarks.methods.registry import BASELINES
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
