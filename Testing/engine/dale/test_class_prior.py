"""The prior gives back the posterior of a network whose logits are off by a constant a class."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from DALESegmentLib.engine.dale.loss import DEFAULT, ClassPrior


def observed(bias: Tensor, batches: int = 300, valid: float = 1.0) -> tuple[ClassPrior, Tensor]:
    """Labels drawn from a known posterior, shown to the prior through logits that are off by `bias`."""
    random = torch.Generator().manual_seed(0)
    prior, logits = ClassPrior(len(bias)), torch.empty(0)
    for _ in range(batches):
        logits = 2 * torch.randn(1, len(bias), 40, 50, generator=random)
        label = torch.multinomial(logits.softmax(1)[0].flatten(1).T, 1, generator=random).reshape(1, 40, 50)
        inside = torch.full((1, 40, 50), valid)
        prior.observe(prior.adjusted(logits + bias[None, :, None, None]).softmax(1), label, inside)
    return prior, logits


def test_a_constant_bias_is_taken_back():
    bias = torch.tensor([0.0, 1.5, -0.7])
    prior, logits = observed(bias)
    restored = prior.adjusted(logits + bias[None, :, None, None]).softmax(1)
    assert float((restored - logits.softmax(1)).abs().max()) < 0.03


def test_a_calibrated_network_is_left_alone():
    prior, _ = observed(torch.zeros(2))
    assert float(prior.state[0].abs().max()) < 0.05


def test_padding_is_not_counted():
    prior, logits, label = ClassPrior(2), torch.zeros(1, 2, 4), torch.tensor([[0, 1, 1, 1]])
    prior.observe(prior.adjusted(logits).softmax(1), label, torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    assert prior.state[1:].tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_a_class_that_never_comes_cannot_run_away():
    prior = ClassPrior(2)
    for _ in range(500):
        given = prior.adjusted(torch.zeros(1, 2, 10)).softmax(1)
        prior.observe(given, torch.zeros(1, 10, dtype=torch.long), torch.ones(1, 10))
    assert prior.state[0].tolist() == pytest.approx([0.0, -DEFAULT.max_prior_offset])
