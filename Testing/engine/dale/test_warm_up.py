"""Training is plain as long as it gets better at its labels, and no longer."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.dale.loss import WarmUp


def ends_at(losses: np.ndarray, longest: float = 0.5) -> float:
    """The share of the training at which the warm-up ends, for the loss of each of its steps."""
    warm_up = WarmUp(longest)
    for step, loss in enumerate(losses):
        share = step / len(losses)
        if not warm_up.lasts(share):
            return share
        warm_up.observe(float(loss))
    return 1.0


def test_a_loss_that_keeps_falling_keeps_it_plain_to_the_longest():
    assert ends_at(np.exp(-np.linspace(0, 3, 400))) == 0.5
    assert ends_at(np.exp(-np.linspace(0, 3, 400)), longest=0.9) == 0.9


def test_a_loss_that_stands_still_ends_it_after_a_fifth():
    assert ends_at(np.full(400, 0.8)) == pytest.approx(0.2)


def test_it_ends_where_the_curve_bends():
    falling = np.linspace(1.0, 0.4, 140)
    noisy = np.random.default_rng(0).normal(0.4, 0.02, 260)
    assert 0.4 < ends_at(np.concatenate([falling, noisy]), longest=0.9) < 0.6


def test_without_a_warm_up_no_step_is_plain():
    assert not WarmUp(0.0).lasts(0.0)


def test_once_over_it_stays_over():
    warm_up = WarmUp(0.5)
    assert not warm_up.lasts(0.6)
    assert not warm_up.lasts(0.1)


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_a_training_of_a_few_steps_is_not_judged_by_nothing(steps):
    assert ends_at(np.full(steps, 0.8)) >= 0.2


def test_a_resumed_training_ends_it_at_the_same_step():
    losses = np.concatenate([np.linspace(1.0, 0.4, 140), np.full(260, 0.4)])
    whole, first = WarmUp(0.5), WarmUp(0.5)
    for step in range(100):
        for warm_up in (whole, first):
            assert warm_up.lasts(step / 400)
            warm_up.observe(float(losses[step]))
    resumed = WarmUp(0.5)
    resumed.load_state_dict(first.state_dict())
    for step in range(100, 400):
        assert whole.lasts(step / 400) == resumed.lasts(step / 400)
        for warm_up in (whole, resumed):
            warm_up.observe(float(losses[step]))
    assert whole.over
