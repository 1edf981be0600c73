"""Volume and diameter with intervals: exact where the map is sure, and as wide as its doubt."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.measure.extent_interval import (
    diameter_interval,
    longest_diameter,
    membership,
    volume_interval,
)


def radial(falloff: float) -> np.ndarray:
    """The probability of a ball of radius 10 whose outline is uncertain by `falloff` voxels."""
    distance = np.linalg.norm(np.indices((41, 41, 41)) - 20, axis=0)
    return 1 / (1 + np.exp((distance - 10) / falloff))


def test_a_sure_map_has_no_width():
    ball = (radial(1.0) > 0.5).astype(float)
    volume = volume_interval(ball, 2.0)
    assert volume.low == volume.value == volume.high == 2.0 * np.count_nonzero(ball)
    assert volume.value == pytest.approx(2.0 * 4 / 3 * np.pi * 10**3, rel=0.02)


def test_more_doubt_is_a_wider_interval_and_the_smaller_lies_within():
    narrow, wide = volume_interval(radial(0.3), 1.0), volume_interval(radial(1.0), 1.0)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    diameter = diameter_interval(radial(1.0), (1.0, 1.0, 3.0))
    assert diameter.low < 20 < diameter.high
    assert diameter.value == pytest.approx(20, abs=1.5)


def test_outlines_that_move_together_are_covered_as_often_as_it_says():
    """The model's own case: 90 % of balls whose threshold is drawn at random."""
    random, probability = np.random.default_rng(0), radial(1.5)
    interval = volume_interval(probability, 1.0)
    volumes = [np.count_nonzero(probability > u) for u in random.random(400)]
    held = np.mean([interval.low <= v <= interval.high for v in volumes])
    assert held == pytest.approx(0.9, abs=0.04)


def test_the_diameter_is_measured_within_slices():
    mask = np.zeros((30, 10, 10), bool)
    mask[:, 5, 2:6] = True
    assert longest_diameter(mask, (2.0, 1.0, 1.0)) == pytest.approx(3 * 2.0 + 1.5)
    assert longest_diameter(mask[0], (2.0, 1.0)) == pytest.approx(3 * 2.0 + 1.5)
    assert longest_diameter(mask & False, (1.0, 1.0, 1.0)) == 0


def test_membership_reads_the_confidence_by_label():
    label, confidence = np.array([1, 1, 0, 0, 2]), np.array([1.0, 0.2, 1.0, 0.3, 0.4])
    np.testing.assert_allclose(membership(label, confidence, 1), [1.0, 0.2, 0.0, 0.7, 0.0])
