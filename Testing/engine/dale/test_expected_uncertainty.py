"""The doubt that is usual at a distance from a boundary."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.dale.candidates import expected_uncertainty


@pytest.fixture
def half_plane():
    """A straight boundary: distance signed in mm, one class."""
    columns = np.arange(-10, 10)
    distance = np.broadcast_to(columns + 0.5, (200, 20)).astype(np.float32)
    return distance, np.ones(distance.shape, int), np.ones(distance.shape, bool)


def test_usual_doubt_is_the_median_at_that_distance(half_plane):
    distance, nearest, counted = half_plane
    profile = 0.28 * np.exp(-np.abs(distance) / 2)
    doubt = profile.copy()
    doubt[:40, 15] = 0.95  # an error that covers a fifth of its distance
    expected = expected_uncertainty(doubt, distance, nearest, 1.0, counted)
    np.testing.assert_allclose(expected, profile, atol=0.03)


def test_a_systematic_error_never_becomes_usual(half_plane):
    distance, nearest, counted = half_plane
    doubt = np.where((distance > 0) & (distance < 4), 0.95, 0.0)
    expected = expected_uncertainty(doubt, distance, nearest, 1.0, counted)
    assert expected.max() <= 0.5


def test_doubt_far_inside_is_not_excused_by_being_common_there(half_plane):
    distance, nearest, counted = half_plane
    doubt = np.where(distance < -5, 0.9, 0.1)
    expected = expected_uncertainty(doubt, distance, nearest, 1.0, counted)
    assert expected[distance < -5].max() < 0.15


def test_few_voxels_lean_on_the_others():
    distance = np.concatenate([np.full(1000, 1.0), np.full(2, -1.0)]).astype(np.float32)
    doubt = np.where(distance < 0, 0.5, 0.1)
    expected = expected_uncertainty(doubt, distance, np.ones(1002, int), 1.0, np.ones(1002, bool))
    assert expected[-1] == pytest.approx((2 * 0.5 + 20 * 0.1) / 22, abs=0.01)
    assert expected[0] == pytest.approx(0.1, abs=0.01)
