"""Long doubtful parts are cut into pieces a person can look at, also where half the image is doubtful."""

from __future__ import annotations

import time

import numpy as np
import pytest

from DALESegmentLib.engine.dale.candidates import split_region


def test_pieces_cover_the_part_once_and_stay_compact():
    k, j, i = np.indices((10, 60, 60))
    distance = np.sqrt(((k - 5) * 3.0) ** 2 + (j - 30) ** 2 + (i - 30) ** 2)
    part = (distance > 18) & (distance < 22)
    excess = np.random.default_rng(0).random(part.shape)
    count = np.zeros(part.shape, int)
    for box, piece in split_region(part, excess, (3.0, 1.0, 1.0), 8.0):
        count[box] += piece
        points = np.argwhere(piece) * (3.0, 1.0, 1.0)
        assert np.ptp(points, axis=0).max() <= 16  # nobody is further than 8 mm from the piece's centre
    np.testing.assert_array_equal(count, part)


@pytest.mark.slow
def test_half_an_image_in_doubt_is_cut_in_seconds():
    """A model after two epochs doubts whole volumes; a distance from every voxel to every piece took minutes."""
    part = np.ones((40, 130, 130), bool)
    excess = np.random.default_rng(0).random(part.shape)
    started = time.monotonic()
    pieces = split_region(part, excess, (1.0, 1.0, 1.0), 4.0)
    assert time.monotonic() - started < 20
    assert sum(int(piece.sum()) for _, piece in pieces) == part.size
