"""Agreement of two readers, against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.metrics.reader_agreement import figure, kappa, mean, outlines_around

BOX = (slice(8, 12), slice(8, 16), slice(8, 20))


def block(*edges: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((24, 28, 32), bool)
    mask[tuple(slice(*edge) for edge in edges)] = True
    return mask


def test_kappa_of_a_worked_example():
    """Cohen 1960: 20 of 50 both yes, 15 both no, 5 and 10 split: observed .7, by chance .5, kappa .4."""
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert kappa(pairs) == pytest.approx(0.4)


def test_kappa_where_it_is_not_defined():
    assert kappa([]) is None
    assert kappa([("yes", "yes")] * 5) is None


def test_scores_that_are_near_count_as_nearly_equal():
    near, far = [(1, 2), (3, 4), (5, 4), (2, 2)], [(1, 5), (3, 1), (5, 2), (2, 2)]
    assert kappa(near, weights="quadratic") > 0.7 > kappa(far, weights="quadratic")


def test_equal_outlines_are_at_no_distance():
    mask = block((6, 14), (6, 18), (6, 22))
    assert outlines_around(mask, mask, BOX, (2.0, 1.0, 1.0)) == (1.0, 0.0)
    nothing = np.zeros_like(mask)
    assert outlines_around(nothing, nothing, BOX, (2.0, 1.0, 1.0)) == (1.0, 0.0)


@pytest.mark.parametrize(("spacing", "mm"), [((1.0, 1.0, 1.0), 2.0), ((2.0, 1.0, 1.0), 4.0)])
def test_a_plane_that_is_two_voxels_off_is_at_two_voxels(spacing, mm):
    """Half spaces, so that the plane is all there is of an outline near the region."""
    first, second = block((0, 10), (0, 28), (0, 32)), block((0, 12), (0, 28), (0, 32))
    _, distance = outlines_around(first, second, BOX, spacing)
    assert distance == pytest.approx(mm)


def test_what_one_alone_has_is_at_no_known_distance():
    mask = block((8, 12), (8, 16), (8, 20))
    assert outlines_around(mask, np.zeros_like(mask), BOX, (1.0, 1.0, 1.0)) == (0.0, None)


def test_what_is_far_from_the_region_counts_nothing():
    first = block((8, 12), (8, 16), (8, 12))
    second = first.copy()
    second[:, :, -2:] = True
    box = (slice(8, 12), slice(8, 16), slice(8, 12))
    assert outlines_around(first, second, box, (1.0, 1.0, 1.0)) == (1.0, 0.0)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """Means of correlated values: 20 cases of 4 values around a level of the case's own."""
    random, held = np.random.default_rng(3), 0
    for n in range(40):
        levels = random.normal(0, 1, 20)
        told = figure({str(c): list(level + random.normal(0, 0.2, 4)) for c, level in enumerate(levels)}, mean, seed=n)
        held += told.low <= 0 <= told.high
    assert 33 <= held <= 40


def test_one_case_has_no_interval():
    told = figure({"a": [1.0, 2.0], "b": []}, mean)
    assert (told.value, told.low, told.high, told.cases, told.count) == (1.5, None, None, 1, 2)
