"""Masks as runs of voxels, and back."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.geometry.runs import mask_of, runs_of


def test_runs_are_of_the_whole_mask():
    mask = np.array([[1, 1, 0], [1, 0, 1]], bool)
    assert runs_of(mask) == [[0, 2], [3, 1], [5, 1]]
    assert runs_of(np.zeros((2, 2), bool)) == []


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mask_comes_back(share):
    mask = np.random.default_rng(0).random((3, 4, 5)) < share
    assert np.array_equal(mask_of(runs_of(mask), mask.shape), mask)
