"""Objects that labels left out: when the network is believed, and what is added then."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.dale.left_out import Found, found, objects_left_out, smallest_believed


def squares(*places, size=4, value=1, grid=(20, 20, 1)):
    label = np.zeros(grid, np.int16)
    for i, j in places:
        label[i : i + size, j : j + size] = value
    return label


def test_objects_are_told_apart_by_whether_the_label_has_a_part_of_them():
    label = squares((0, 0)) + squares((10, 10))
    network = squares((1, 1)) + squares((10, 14), size=2) + squares((0, 12), size=3)
    # the second only touches a labelled one, the third is nowhere near
    assert found(label, network, 1) == Found(1, (16, 16), (16,), (9, 4))


def test_what_lies_on_another_class_is_no_object():
    label = squares((0, 0), value=2)
    assert found(label, squares((0, 0)), 1) == Found(1, (), (), ())
    assert found(label, squares((0, 2)), 1) == Found(1, (), (), (8,))


def test_objects_that_touch_at_a_corner_are_one():
    assert found(squares(), squares((0, 0)) + squares((4, 4)), 1).alone == (32,)


def labelled(met=(100,), alone=()):
    return Found(1, (100,), met, alone)


def empty(*alone):
    return Found(1, (), (), alone)


def test_the_network_is_believed_where_it_is_right_and_mostly_finds_something():
    assert smallest_believed([labelled()] * 8 + [empty(90), empty(60, 2), empty()]) == pytest.approx(50.0)


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param([labelled()] * 8, id="nothing is missing"),
        pytest.param([labelled()] * 4 + [empty(90)] * 3, id="too few are labelled to tell"),
        pytest.param([labelled(alone=(80,))] * 2 + [labelled()] * 8 + [empty(90)] * 3, id="it invents objects"),
        pytest.param([labelled()] * 8 + [empty(90), empty(), empty()], id="most have nothing to be found"),
        pytest.param([labelled()] * 8 + [empty(30), empty(30, 30)], id="what it finds is too small"),
        pytest.param([labelled(met=())] * 8 + [empty(90)] * 3, id="it finds nothing that is labelled"),
    ],
)
def test_otherwise_it_is_not(cases):
    assert smallest_believed(cases) is None


def test_small_inventions_count_for_nothing():
    assert smallest_believed([labelled(alone=(40, 3))] * 8 + [empty(90)] * 3) == pytest.approx(50.0)


def test_large_objects_are_added_where_nothing_is_labelled():
    label = squares((0, 0), value=2)
    network = squares((0, 2)) + squares((10, 10)) + squares((0, 16), size=2)
    added = objects_left_out(label, network, 1, smallest=8)
    assert np.array_equal(added, ((network == 1) & (label == 0) & (np.arange(20)[None, :, None] < 16)))
    assert not objects_left_out(label, network * 0, 1, smallest=8).any()
