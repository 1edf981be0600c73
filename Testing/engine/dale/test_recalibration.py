"""Confidence is moved to what review found, keeps its order, and stays as it is where nobody looked."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.dale.quality import Recalibration


def looked_at(true_share, places: int = 400, size: int = 30, seed: int = 0):
    """Places of one confidence each; all voxels of a place are right or wrong together."""
    rng = np.random.default_rng(seed)
    confidence = rng.random(places)
    right = rng.random(places) < true_share(confidence)
    return np.repeat(confidence, size), np.repeat(right, size), np.repeat(np.arange(places), size)


def test_without_looks_nothing_changes():
    confidence = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    assert Recalibration().apply(confidence) is confidence
    empty = Recalibration().looked(np.empty(0), np.empty(0, bool), np.empty(0, int))
    assert empty == Recalibration()


def test_a_confidence_that_is_too_low_is_raised_to_the_truth():
    def truth(c):
        return 0.5 + 0.5 * c

    seen = Recalibration().looked(*looked_at(truth))
    grid = np.linspace(0.05, 0.95, 10)
    assert np.abs(seen.apply(grid) - truth(grid)).max() < 0.12
    assert np.abs(seen.apply(grid) - truth(grid)).mean() < 0.3 * np.abs(grid - truth(grid)).mean()


def test_a_calibrated_confidence_stays():
    seen = Recalibration().looked(*looked_at(lambda c: c))
    grid = np.linspace(0, 1, 21)
    assert np.abs(seen.apply(grid) - grid).max() < 0.12


def test_order_is_kept_and_results_are_shares():
    rng = np.random.default_rng(1)
    seen = Recalibration().looked(rng.random(500), rng.random(500) < 0.5, rng.integers(0, 40, 500))
    out = seen.apply(np.linspace(0, 1, 101))
    assert (np.diff(out) >= 0).all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_a_large_place_counts_as_much_as_a_small_one():
    small = Recalibration().looked(np.array([0.4]), np.array([False]), np.array([0]))
    large = Recalibration().looked(np.full(1000, 0.4), np.zeros(1000, bool), np.zeros(1000, int))
    assert large.looks == pytest.approx(small.looks)
    assert sum(large.looks) == pytest.approx(1.0)


def test_looks_add_up():
    confidence, right, place = looked_at(lambda c: c, places=20)
    half = place < 10
    whole = Recalibration().looked(confidence, right, place)
    parts = Recalibration().looked(confidence[half], right[half], place[half])
    parts = parts.looked(confidence[~half], right[~half], place[~half])
    assert parts.looks == pytest.approx(whole.looks)
    assert parts.right == pytest.approx(whole.right)


def test_far_from_what_was_looked_at_nothing_changes():
    seen = Recalibration().looked(np.full(50, 0.2), np.ones(50, bool), np.arange(50))
    assert seen.apply(np.array([1.0]))[0] == 1.0
    assert seen.apply(np.array([0.2]))[0] > 0.9


@pytest.mark.parametrize(("looks", "right"), [((1.0,) * 3, (1.0,) * 3), ((-1.0,) * 11, (0.0,) * 11)])
def test_counts_that_make_no_sense_are_refused(looks, right):
    with pytest.raises(ValueError, match="two counts"):
        Recalibration(looks, right)
