"""The prior of a label that the network shares: by distance from outlines and from what is contradicted."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.dale.quality import DEFAULT, agreement_logit
from DALESegmentLib.engine.geometry.objects import object_radius

LARGEST = DEFAULT.agreement_log_odds


def by_looking_at_every_pair(label, contradicted, sampling, radius):
    where = np.argwhere(np.ones(label.shape, bool))
    mm = where * np.array(sampling)
    expected = np.zeros(label.shape)
    for voxel, at in zip(where, mm, strict=True):
        voxel = tuple(voxel)
        if contradicted[voxel]:
            continue
        shared = np.array([not contradicted[tuple(w)] and label[tuple(w)] == label[voxel] for w in where])
        apart = np.abs(where[shared][:, None] - where[~shared]).sum(2) == 1
        last, first = mm[shared][apart.any(1)], mm[~shared][apart.any(0)]
        near = [np.linalg.norm(layer - at, axis=1).min() if len(layer) else np.inf for layer in (last, first)]
        expected[voxel] = LARGEST * min(np.mean(near) / radius, 1.0)
    return expected


@pytest.mark.parametrize(
    ("shape", "sampling"), [((9, 12), (1.0, 1.0)), ((5, 8, 7), (2.5, 0.8, 1.0)), ((1, 9, 9), (3.0, 1.0, 1.0))]
)
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_distance_to_the_outline_of_what_is_shared(shape, sampling, seed):
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.int64)
    label[tuple(slice(1, 4) if n > 4 else slice(None) for n in shape)] = 1
    label[tuple(slice(3, 6) if n > 6 else slice(None) for n in shape)] = 2
    contradicted = rng.random(shape) < 0.04
    radius = 2.2
    found = agreement_logit(label, contradicted, sampling, radius)
    np.testing.assert_allclose(found, by_looking_at_every_pair(label, contradicted, sampling, radius), atol=1e-5)


def test_its_unit_is_the_radius_of_the_objects():
    label = np.zeros((80, 80), np.int64)
    label[30:50, 30:50] = 1
    radius = object_radius(label > 0, (1.0, 1.0))
    assert radius == pytest.approx((400 / np.pi) ** 0.5)
    none = np.zeros(label.shape, bool)
    found = agreement_logit(label, none, (1.0, 1.0))
    assert found[30, 40] == pytest.approx(LARGEST / 2 / radius)
    assert found[39, 39] == pytest.approx(LARGEST * 9.5 / radius)
    assert found[5, 5] == LARGEST
    finer = np.kron(label, np.ones((2, 2), np.int64))
    twice = agreement_logit(finer, np.zeros(finer.shape, bool), (0.5, 0.5))
    np.testing.assert_allclose(twice[::2, ::2], found, atol=LARGEST / radius)


def test_what_is_contradicted_has_even_odds_and_no_step_lies_around_it():
    label = np.zeros((60, 60), np.int64)
    label[5:15, 5:15] = 1
    contradicted = np.zeros(label.shape, bool)
    contradicted[35:45, 35:45] = True  # an object that was overlooked
    found = agreement_logit(label, contradicted, (1.0, 1.0))
    assert (found[contradicted] == 0).all()
    steps = [np.abs(np.diff(found, axis=axis)).max() for axis in (0, 1)]
    assert max(steps) <= LARGEST / object_radius(label > 0, (1.0, 1.0)) + 1e-5


def test_where_nothing_is_labelled_the_odds_are_even():
    nothing = np.zeros((4, 5, 6), np.int64)
    assert not agreement_logit(nothing, nothing > 0, (1.0, 1.0, 1.0)).any()
    seen = np.zeros(nothing.shape, bool)
    seen[1, 1, 1] = True
    assert not agreement_logit(nothing, seen, (1.0, 1.0, 1.0)).any()


def test_a_label_that_fills_its_image_has_no_outline():
    everything = np.ones((4, 5), np.int64)
    assert (agreement_logit(everything, everything > 1, (1.0, 1.0)) == LARGEST).all()
    assert (agreement_logit(everything, everything > 0, (1.0, 1.0)) == 0).all()


def test_a_part_of_an_image_may_hold_none_of_its_objects():
    nothing = np.zeros((4, 5), np.int64)
    assert (agreement_logit(nothing, nothing > 0, (1.0, 1.0), radius=3.0) == LARGEST).all()


def test_a_part_with_enough_around_it_is_as_in_the_whole():
    rng = np.random.default_rng(1)
    label = (rng.random((40, 40)) < 0.01).astype(np.int64)
    contradicted = rng.random(label.shape) < 0.01
    radius = 5.0
    whole = agreement_logit(label, contradicted, (1.0, 1.0), radius)
    part = agreement_logit(label[8:32, 8:32], contradicted[8:32, 8:32], (1.0, 1.0), radius)
    np.testing.assert_allclose(part[6:-6, 6:-6], whole[14:26, 14:26])
