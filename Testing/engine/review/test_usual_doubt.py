"""Distances to boundaries, and the doubt that is usual there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DALESegmentLib.engine.review.boundary import boundary_distance
from DALESegmentLib.engine.review.usual_doubt import usual_doubt


def brute_distance(label, sampling, reach):
    points = np.argwhere(np.ones(label.shape)) * np.array(sampling)
    values = label.ravel()
    out = np.full(values.shape, reach)
    for n, value in enumerate(values):
        other = values > 0 if value == 0 else values != value
        if other.any():
            out[n] = min(np.linalg.norm(points[other] - points[n], axis=1).min(), reach)
    return np.where(values > 0, -out, out).reshape(label.shape)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 3), st.floats(1, 12))
def test_distance_matches_brute_force(seed, dims, reach):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, rng.integers(1, 7, dims)) * (rng.random() < 0.9)
    sampling = tuple(rng.uniform(0.5, 3, dims))
    distance, nearest = boundary_distance(label, sampling, reach)
    np.testing.assert_allclose(distance, brute_distance(label, sampling, reach), rtol=1e-5)
    assert (nearest[label > 0] == label[label > 0]).all()
    assert ((nearest == 0) == ((label == 0) & (distance >= np.float32(reach)))).all()


def test_the_nearest_class_is_known_outside():
    label = np.zeros((1, 9), int)
    label[0, 1], label[0, 8] = 1, 2
    distance, nearest = boundary_distance(label, (1.0, 2.0), 100.0)
    np.testing.assert_array_equal(nearest[0], [1, 1, 1, 1, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(distance[0], [2, -2, 2, 4, 6, 6, 4, 2, -2])


@pytest.fixture
def half_plane():
    """A straight boundary: distance signed in mm, one class."""
    columns = np.arange(-10, 10)
    distance = np.broadcast_to(np.where(columns >= 0, columns + 1, columns), (200, 20)).astype(np.float32)
    return distance, np.ones(distance.shape, int), np.ones(distance.shape, bool)


def test_usual_doubt_is_the_median_at_that_distance(half_plane):
    distance, nearest, counted = half_plane
    profile = 0.45 * np.exp(-np.abs(distance) / 2)
    doubt = profile.copy()
    doubt[:40, 15] = 0.95  # an error that covers a fifth of its distance
    expected = usual_doubt(doubt, distance, nearest, 1.0, counted)
    np.testing.assert_allclose(expected, profile, atol=0.03)


def test_a_systematic_error_never_becomes_usual(half_plane):
    distance, nearest, counted = half_plane
    doubt = np.where((distance > 0) & (distance < 4), 0.95, 0.0)
    expected = usual_doubt(doubt, distance, nearest, 1.0, counted)
    assert expected.max() <= 0.5


def test_doubt_far_inside_is_not_excused_by_being_common_there(half_plane):
    distance, nearest, counted = half_plane
    doubt = np.where(distance < -5, 0.9, 0.1)
    expected = usual_doubt(doubt, distance, nearest, 1.0, counted)
    assert expected[distance < -5].max() < 0.15


def test_few_voxels_lean_on_the_others():
    distance = np.concatenate([np.full(1000, 1.0), np.full(2, -1.0)]).astype(np.float32)
    doubt = np.where(distance < 0, 0.5, 0.1)
    expected = usual_doubt(doubt, distance, np.ones(1002, int), 1.0, np.ones(1002, bool))
    assert expected[-1] == pytest.approx((2 * 0.5 + 20 * 0.1) / 22, abs=0.01)
    assert expected[0] == pytest.approx(0.1, abs=0.01)
