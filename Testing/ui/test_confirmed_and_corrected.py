"""Which voxels count as trusted, computed by hand on one line of voxels."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.case import Case

LINE = Geometry((16, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def case(label, names=None, trusted=None, geometry=LINE) -> Case:
    label = np.array(label, np.uint8).reshape(geometry.array_shape)
    return Case("line", np.zeros((1, *label.shape), np.float32), geometry, label, trusted, None, names or {1: "ball"})


@pytest.fixture
def trusted(desktop):
    from DALESegmentLib.ui.reviewed_regions import trustedVoxels

    return trustedVoxels


def voxels(mask) -> list[int]:
    return np.flatnonzero(mask).tolist()


def test_a_changed_voxel_is_trusted_and_its_neighbours_are_not(trusted):
    now = case([0] * 7 + [1] + [0] * 8)
    assert voxels(trusted(case([0] * 16), now, np.zeros(LINE.array_shape, int), [])) == [7]


def test_a_confirmed_region_is_trusted_with_its_margin_and_another_is_not(trusted):
    regions = np.zeros(LINE.array_shape, int)
    regions[0, 0, 4], regions[0, 0, 12] = 1, 2
    same = case([0] * 16)
    assert voxels(trusted(same, same, regions, [1])) == [2, 3, 4, 5, 6]


def test_the_margin_of_a_confirmed_region_stays_within_its_thick_slice(trusted):
    thick = Geometry((7, 1, 3), (1.0, 1.0, 5.0), LINE.origin, LINE.direction)
    regions = np.zeros(thick.array_shape, int)
    regions[1, 0, 3] = 1
    same = case([0] * 21, geometry=thick)
    assert np.argwhere(trusted(same, same, regions, [1])).tolist() == [[1, 0, i] for i in range(1, 6)]


def test_what_was_trusted_before_stays_so(trusted):
    before = np.zeros(LINE.array_shape, bool)
    before[0, 0, 15] = True
    same = case([0] * 16, trusted=before)
    assert voxels(trusted(same, same, np.zeros(LINE.array_shape, int), [])) == [15]


@pytest.mark.parametrize(
    "now",
    [
        case([0] * 16, names={1: "ball", 2: "more"}),
        case([0] * 16, geometry=Geometry((16, 1, 1), (2.0, 1.0, 1.0), LINE.origin, LINE.direction)),
    ],
    ids=["other segments", "other image"],
)
def test_another_image_or_other_segments_are_refused(trusted, now):
    with pytest.raises(EngineError) as caught:
        trusted(case([0] * 16), now, np.zeros(LINE.array_shape, int), [])
    assert caught.value.code == "review-outdated"
