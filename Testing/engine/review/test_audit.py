"""The audit's estimate against numbers computed elsewhere, and its coverage over a thousand audits."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.review.audit import auditable, draw_places, errors_left


def test_known_intervals():
    # Clopper and Pearson's 95 % bounds: 0 of 20 → 0 to 16.84 %; 5 of 20 → 8.66 to 49.10 %; 20 of 20 → from 83.16 %.
    none = errors_left(0, 20, 10_000)
    assert (none.wrong, none.low, none.high) == (0, 0, pytest.approx(1684, abs=1))
    some = errors_left(5, 20, 10_000)
    assert (some.wrong, some.low, some.high) == (2500, pytest.approx(866, abs=1), pytest.approx(4910, abs=1))
    assert errors_left(20, 20, 10_000).low == pytest.approx(8316, abs=1)
    assert errors_left(20, 20, 10_000).high == 10_000


@pytest.mark.parametrize("share", [0.01, 0.1, 0.4])
def test_the_interval_holds_the_truth_as_often_as_it_says(share):
    random = np.random.default_rng(0)
    wrong = np.zeros(4000, bool)
    wrong[: int(4000 * share)] = True
    held = 0
    for seed in range(1000):
        places = draw_places(np.ones(4000, bool), 30, seed + int(random.integers(1 << 30)))
        found = errors_left(int(sum(wrong[i] for (i,) in places)), 30, 4000)
        held += found.low <= wrong.sum() <= found.high
    assert held >= 950


def test_places_are_drawn_from_near_the_outline_and_not_from_what_was_confirmed():
    label = np.zeros((9, 60, 60), np.uint8)
    label[4, 20:40, 20:40] = 1
    trusted = np.zeros(label.shape, bool)
    trusted[:, :, :30] = True
    where = auditable(label, (5.0, 1.0, 1.0), trusted)
    assert not (where & trusted).any()
    assert not where[4, 30, 55]  # 16 mm away
    assert where[4, 30, 45]
    assert where[5, 30, 35]  # the next slice, 5 mm
    for i, j, k in draw_places(where, 50, seed=3):
        assert where[k, j, i]


def test_an_audit_is_repeatable_and_draws_no_place_twice():
    where = np.ones((4, 5, 6), bool)
    assert draw_places(where, 60, 1) == draw_places(where, 60, 1)
    assert len(set(draw_places(where, 120, 1))) == 120


def test_too_few_places_are_said():
    with pytest.raises(EngineError) as caught:
        draw_places(np.zeros((3, 3), bool), 5, 0)
    assert caught.value.code == "nothing-to-audit"
