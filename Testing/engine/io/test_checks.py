"""The refusals that concern several cases, and those no file reaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from grids import grid

from DALESegmentLib.engine.io.checks import check_geometry, check_image, check_same_channels, check_same_classes


def test_mixed_channel_counts(refused):
    check_same_channels({})
    check_same_channels({"a": 3, "b": 3})
    with refused("channel-count", "a has 3", "c has 1"):
        check_same_channels({"a": 3, "b": 3, "c": 1, "d": 1})


def test_one_value_with_two_names(refused):
    check_same_classes({"a": {1: "liver"}, "b": {1: "liver", 2: "tumour"}, "c": {}})
    with refused("class-mismatch", "Label 1", "liver in a", "tumour in c"):
        check_same_classes({"a": {1: "liver"}, "b": {1: "liver"}, "c": {1: "tumour"}})


def test_an_image_without_voxels(refused):
    with refused("image-empty", "x.nrrd"):
        check_image(np.zeros((1, 0, 4)), "x.nrrd")


def test_one_bad_voxel_is_one_voxel(refused):
    with refused("image-not-finite", "1 voxel without"):
        check_image(np.array([[0, 1, np.nan]]), "x.nrrd")


@pytest.mark.parametrize(
    "change",
    [
        {"size": (3, 0, 3)},
        {"spacing": (1.0, 1.0, 0.0)},
        {"spacing": (1.0, 1.0)},
        {"spacing": (1.0, float("nan"), 1.0)},
        {"origin": (float("inf"), 0.0, 0.0)},
        {"direction": (1.0, 0.2, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)},
        {"direction": (0.0,) * 9},
        {"size": ()},
    ],
)
def test_places_that_make_no_sense(refused, change):
    good = grid((3, 3, 3))
    check_geometry(good, "x")
    with refused("bad-geometry", "x"):
        check_geometry(replace(good, **change), "x")
