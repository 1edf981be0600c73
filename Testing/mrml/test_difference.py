"""Before and after: what came, what went, and how much of it."""

from __future__ import annotations

import numpy as np
import pytest
from scene_helpers import node_counts

from DALESegmentLib.mrml.difference import changes, removeDifference, showDifference
from DALESegmentLib.mrml.segmentations import labelFromSegmentation

NAMES = {1: "lesion", 2: "oedema"}


@pytest.fixture
def after(a_label) -> np.ndarray:
    after = a_label.copy()
    after[6:8][after[6:8] == 1] = 0  # two slices of the lesion go
    after[10, 40:42, 15:35] = 1  # 40 voxels come
    after[8, 20:40, 35:37] = 1  # 40 voxels go over from the oedema
    return after


def test_volumes_are_counted_in_millilitres(a_label, after, a_geometry):
    lesion, oedema = changes(a_label, after, NAMES, a_geometry.voxel_volume)
    voxel = 0.8 * 0.8 * 2.5 / 1000
    assert (lesion.added, lesion.removed) == (pytest.approx(80 * voxel), pytest.approx(800 * voxel))
    assert lesion.before - lesion.removed + lesion.added == pytest.approx(lesion.after)
    assert (oedema.added, oedema.removed) == (0, pytest.approx(40 * voxel))
    assert lesion.sentence() == "lesion 5.12 → 3.97 ml (0.13 added, 1.28 removed)"


def test_the_segments_show_what_came_and_what_went(a_volume_node, a_label, after, a_geometry):
    node = showDifference(a_label, after, a_geometry, NAMES, a_volume_node)
    label, names, *_ = labelFromSegmentation(node, a_volume_node)
    value = {name: value for value, name in names.items()}
    np.testing.assert_array_equal(label == value["lesion: added"], (after == 1) & (a_label != 1))
    np.testing.assert_array_equal(label == value["lesion: removed"], (a_label == 1) & (after == 0))
    assert not (label == value["oedema: removed"]).any()  # those voxels are the lesion's now


def test_there_is_one_difference_at_a_time_and_it_can_go(a_scene, a_volume_node, a_label, after, a_geometry):
    before = node_counts(a_scene)
    for _ in range(2):
        showDifference(a_label, after, a_geometry, NAMES, a_volume_node)
    removeDifference()
    assert node_counts(a_scene) == before
