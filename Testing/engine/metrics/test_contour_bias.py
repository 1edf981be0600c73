"""The signed offset of outlines: right to the voxel where it is known, and told apart from chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from DALESegmentLib.engine.metrics.segmentation import Offset, bias_report, contour_offset


def box(margin: int = 0, shape=(20, 24, 28)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[8 - margin : 12 + margin, 8 - margin : 16 + margin, 8 - margin : 20 + margin] = True
    return mask


def test_identical_masks_have_none():
    assert contour_offset(box(), box(), (1.0, 1.0, 1.0)) == 0


@pytest.mark.parametrize("margin", [1, 2, 3])
@pytest.mark.parametrize("edge", [0.7, 2.0])
def test_so_many_voxels_more_all_round_are_so_many_edges(margin, edge):
    larger = contour_offset(box(margin), box(), (edge,) * 3)
    assert larger == pytest.approx(margin * edge, rel=0.15)
    assert contour_offset(box(), box(margin), (edge,) * 3) == pytest.approx(-larger)


def test_thick_slices_are_measured_in_mm():
    shifted = np.roll(box(), 1, axis=0)
    assert contour_offset(shifted, box(), (5.0, 1.0, 1.0)) == pytest.approx(0, abs=0.15)
    grown = ndimage.binary_dilation(box(), np.ones((1, 3, 3)))
    # 1 mm at the sides, nothing above and below
    assert 0.5 < contour_offset(grown, box(), (5.0, 1.0, 1.0)) < 1.0


def test_in_2d_and_at_nothing():
    disc = np.hypot(*(np.indices((40, 40)) - 20)) < 10
    larger = np.hypot(*(np.indices((40, 40)) - 20)) < 12
    assert contour_offset(larger, disc, (0.5, 0.5)) == pytest.approx(1.0, rel=0.15)
    assert contour_offset(disc, np.zeros_like(disc), (1.0, 1.0)) is None


def test_a_systematic_bias_is_told_from_chance():
    random = np.random.default_rng(0)
    offsets = [Offset("lesion", "reader 1", 1.0 + x) for x in random.normal(0, 0.5, 20)]
    offsets += [Offset("lesion", "reader 2", x) for x in random.normal(0, 0.5, 20)]
    offsets += [Offset("liver", "reader 1", -3.0)]
    rows = {(row["class"], row["annotator"]): row for row in bias_report(offsets)}
    assert rows["lesion", "reader 1"]["systematic"]
    assert rows["lesion", "reader 1"]["low_mm"] < 1.0 < rows["lesion", "reader 1"]["high_mm"]
    assert not rows["lesion", "reader 2"]["systematic"]
    assert rows["liver", "reader 1"]["low_mm"] is None
    assert not rows["liver", "reader 1"]["systematic"]


def test_the_interval_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        (row,) = bias_report(Offset("a", "b", x) for x in random.normal(0.3, 1.0, 8))
        held += row["low_mm"] <= 0.3 <= row["high_mm"]
    assert held / 400 == pytest.approx(0.95, abs=0.03)
