"""The algebra of label confidence: closed form, bound, gradient, monotone alternation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from DALESegmentLib.engine.dale.quality import consistent_margin, label_confidence, label_margin

losses = st.floats(0.01, 8.0)
priors = st.floats(0.05, 0.95)
temperatures = st.floats(0.3, 4.0)


def objective(w: float, given_loss: float, rival_loss: float, prior: float, temperature: float) -> float:
    kl = w * np.log(w / prior) + (1 - w) * np.log((1 - w) / (1 - prior))
    return w * given_loss + (1 - w) * rival_loss + temperature * kl


def closed_form(given_loss: float, rival_loss: float, prior: float, temperature: float) -> float:
    margin = torch.tensor(rival_loss - given_loss, dtype=torch.float64)
    return float(label_confidence(margin, float(np.log(prior / (1 - prior))), temperature))


@settings(max_examples=100, deadline=None)
@given(losses, losses, priors, temperatures)
def test_the_closed_form_is_the_minimum_found_by_search(l_given, l_rival, prior, temperature):
    best = minimize_scalar(
        objective,
        bounds=(1e-9, 1 - 1e-9),
        args=(l_given, l_rival, prior, temperature),
        method="bounded",
        options={"xatol": 1e-10},
    )
    w = closed_form(l_given, l_rival, prior, temperature)
    w_inside = min(max(w, 1e-9), 1 - 1e-9)
    assert objective(w_inside, l_given, l_rival, prior, temperature) <= best.fun + 1e-7


@settings(max_examples=50, deadline=None)
@given(losses, losses, priors, temperatures)
def test_weighing_by_the_detached_confidence_is_the_gradient_of_the_bounded_loss(l_given, l_rival, prior, t):
    loss = torch.tensor(l_given, dtype=torch.float64, requires_grad=True)
    bounded = -t * torch.log(prior * torch.exp(-loss / t) + (1 - prior) * np.exp(-l_rival / t))
    bounded.backward()
    assert float(loss.grad) == pytest.approx(closed_form(l_given, l_rival, prior, t), rel=1e-6)
    assert float(bounded) <= l_rival - t * np.log(1 - prior) + 1e-9


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), priors, temperatures)
def test_alternating_confidence_and_descent_never_raises_the_objective(start, prior, temperature):
    """With the rival loss frozen, w-step then a small gradient step in the logits, many times."""
    logits = torch.tensor(start, dtype=torch.float64)
    rival = float(-torch.log_softmax(logits, 0)[1:].max())
    previous = np.inf
    for _ in range(20):
        loss = float(-torch.log_softmax(logits, 0)[0])
        w = min(max(closed_form(loss, rival, prior, temperature), 1e-12), 1 - 1e-12)
        now = objective(w, loss, rival, prior, temperature)
        assert now <= previous + 1e-9
        previous = now
        leaf = logits.clone().requires_grad_()
        (w * -torch.log_softmax(leaf, 0)[0]).backward()
        logits = logits - 0.1 * leaf.grad


def test_the_margin_is_the_given_logit_less_the_best_other():
    logits = torch.tensor([[[3.0, 0.0]], [[1.0, 2.0]], [[-1.0, 5.0]]]).permute(1, 0, 2)  # (1, 3, 2)
    assert label_margin(logits, torch.tensor([[0, 1]])).tolist() == [[2.0, -3.0]]


def test_a_bad_history_takes_trust_away_and_a_good_one_gives_half_of_it_back():
    margin = torch.tensor([4.0, 4.0, -4.0])
    history = torch.sigmoid(torch.tensor([4.0, -4.0, -4.0]))  # logit(1 - s) is -4, 4 and 4
    w = label_confidence(consistent_margin(margin, history))
    assert w.tolist() == pytest.approx([0.5, float(torch.sigmoid(torch.tensor(4.0))), 0.5], abs=1e-5)
