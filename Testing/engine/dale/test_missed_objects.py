"""Objects that labels lack: when the network is believed, and what is added then."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.dale.correctors.missed_objects import (
    ObjectMatches,
    credible_objects,
    match_objects,
    min_credible_size,
)


def squares(*places, size=4, value=1, grid=(20, 20, 1)):
    label = np.zeros(grid, np.int16)
    for i, j in places:
        label[i : i + size, j : j + size] = value
    return label


def test_objects_are_told_apart_by_whether_the_label_has_a_part_of_them():
    label = squares((0, 0)) + squares((10, 10))
    network = squares((1, 1)) + squares((10, 14), size=2) + squares((0, 12), size=3)
    # the second only touches a labelled one, the third is nowhere near
    assert match_objects(label, network, 1) == ObjectMatches(1, (16, 16), (16,), (9, 4))


def test_what_lies_on_another_class_is_no_object():
    label = squares((0, 0), value=2)
    assert match_objects(label, squares((0, 0)), 1) == ObjectMatches(1, (), (), ())
    assert match_objects(label, squares((0, 2)), 1) == ObjectMatches(1, (), (), (8,))


def test_objects_that_touch_at_a_corner_are_one():
    assert match_objects(squares(), squares((0, 0)) + squares((4, 4)), 1).unmatched == (32,)


def labelled(matched=(100,), unmatched=()):
    return ObjectMatches(1, (100,), matched, unmatched)


def empty(*unmatched):
    return ObjectMatches(1, (), (), unmatched)


def test_the_network_is_believed_where_it_is_right_and_mostly_finds_something():
    assert min_credible_size([labelled()] * 8 + [empty(90), empty(60, 2), empty()]) == pytest.approx(50.0)


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param([labelled()] * 8, id="nothing is missing"),
        pytest.param([labelled()] * 4 + [empty(90)] * 3, id="too few are labelled to tell"),
        pytest.param([labelled(unmatched=(80,))] * 2 + [labelled()] * 8 + [empty(90)] * 3, id="it invents objects"),
        pytest.param([labelled()] * 8 + [empty(90), empty(), empty()], id="most have nothing to be found"),
        pytest.param([labelled()] * 8 + [empty(30), empty(30, 30)], id="what it finds is too small"),
        pytest.param([labelled(matched=())] * 8 + [empty(90)] * 3, id="it finds nothing that is labelled"),
    ],
)
def test_otherwise_it_is_not(cases):
    assert min_credible_size(cases) is None


def test_small_inventions_count_for_nothing():
    assert min_credible_size([labelled(unmatched=(40, 3))] * 8 + [empty(90)] * 3) == pytest.approx(50.0)


def test_large_objects_are_added_where_nothing_is_labelled():
    label = squares((0, 0), value=2)
    network = squares((0, 2)) + squares((10, 10)) + squares((0, 16), size=2)
    added = credible_objects(label, network, 1, smallest=8)
    assert np.array_equal(added, ((network == 1) & (label == 0) & (np.arange(20)[None, :, None] < 16)))
    assert not credible_objects(label, network * 0, 1, smallest=8).any()
