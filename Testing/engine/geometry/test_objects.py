"""Sizes of objects in mm, of shapes whose size is known."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.geometry.objects import components, equivalent_diameter, longest_diameter, object_radius


def test_the_diameter_is_measured_within_slices():
    mask = np.zeros((30, 10, 10), bool)
    mask[:, 5, 2:6] = True
    assert longest_diameter(mask, (1.0, 1.0, 2.0)) == pytest.approx(3 * 2.0 + 1.5)
    assert longest_diameter(mask[0], (1.0, 2.0)) == pytest.approx(3 * 2.0 + 1.5)
    assert longest_diameter(mask & False, (1.0, 1.0, 1.0)) == 0


def test_objects_that_touch_at_a_corner_are_one():
    mask = np.zeros((5, 6), bool)
    mask[0, 0] = mask[1, 1] = mask[4, 5] = True
    found = [(box, part.tolist()) for box, part in components(mask)]
    assert found == [
        ((slice(0, 2), slice(0, 2)), [[True, False], [False, True]]),
        ((slice(4, 5), slice(5, 6)), [[True]]),
    ]


def test_the_diameter_is_that_of_a_ball_as_large():
    assert equivalent_diameter(100, (2.0, 0.5)) == pytest.approx((400 / np.pi) ** 0.5)
    assert equivalent_diameter(100, (5.0, 2.0, 0.5)) == pytest.approx((3000 / np.pi) ** (1 / 3))


def test_large_objects_weigh_more_in_the_radius():
    mask = np.zeros((20, 20), bool)
    mask[:10, :10] = mask[15, 15] = True
    assert object_radius(mask, (1.0, 1.0)) == pytest.approx(((100**2 + 1) / 101 / np.pi) ** 0.5)
    assert object_radius(mask & False, (1.0, 1.0)) == 0
    slices = np.stack([mask, mask])
    assert object_radius(slices, (9.0, 1.0, 1.0), slice_axis=0) == object_radius(mask, (1.0, 1.0))
