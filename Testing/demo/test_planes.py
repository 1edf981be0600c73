"""Patient right on the left, anterior on top, whatever way the voxels are stored."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.demo.planes import AxialPlane
from DALESegmentLib.engine.geometry.grid import Geometry

STORED = {
    "LPS": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "RAS": (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    "turned": (0, 1, 0, 1, 0, 0, 0, 0, -1),
}


@pytest.mark.parametrize("direction", STORED.values(), ids=STORED)
def test_a_point_at_the_right_front_is_drawn_left_on_top(direction):
    geometry = Geometry((10, 12, 5), (2.0, 2.0, 3.0), (0.0, 0.0, 0.0), direction)
    middle = geometry.index_to_ras((4.5, 5.5, 2.0))
    point = np.add(middle, (6.0, 6.0, 3.0))  # to the right, to the front, up
    i, j, k = (round(n) for n in geometry.ras_to_index(tuple(point)))
    mask = np.zeros(geometry.array_shape, bool)
    mask[k, j, i] = True
    plane = AxialPlane.through(geometry, mask)
    row, column = np.argwhere(plane.cut(mask))[0]
    x, y = plane.centres()
    assert x[column] < plane.width / 2
    assert y[row] < plane.height / 2


def test_a_window_stays_in_the_slice():
    geometry = Geometry((40, 30, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), STORED["LPS"])
    mask = np.zeros(geometry.array_shape, bool)
    mask[1, 0:3, 35:40] = True
    plane = AxialPlane.through(geometry, mask)
    left, top, edge = plane.window(mask, least=20.0)
    assert edge == 20
    assert (left, top) == (20.0, 0.0)


def test_a_picture_is_drawn_as_it_is():
    geometry = Geometry((6, 4), (1.0, 1.0), (0.0, 0.0), (1, 0, 0, 1))
    picture = np.arange(24).reshape(4, 6)
    assert (AxialPlane(geometry, 0).cut(picture) == picture).all()
