"""Arrays of the work survive in the saved scene, and nobody is bothered with them."""

from __future__ import annotations

import numpy as np
import pytest
from scene_helpers import node_counts

from DALESegmentLib.mrml.hidden_volumes import hiddenArray, hiddenGeometry, setHiddenArray
from DALESegmentLib.mrml.scene_file import loadScene, saveScene
from DALESegmentLib.mrml.volumes import imageOnScreen


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float16, np.float32, bool])
def test_an_array_comes_back_from_a_saved_scene(a_scene, a_geometry, a_label, tmp_path, kind):
    import slicer

    node = setHiddenArray(a_label.astype(kind), a_geometry, "regions")
    saved = saveScene(tmp_path / "work.mrb")
    a_scene.Clear(0)
    loadScene(saved)
    (node,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    np.testing.assert_array_equal(hiddenArray(node), a_label.astype(kind))
    assert hiddenGeometry(node).difference(a_geometry) is None
    assert node.GetHideFromEditors()


def test_it_is_no_image_to_work_on_and_is_not_shown(a_scene, a_geometry, a_label):
    node = setHiddenArray(a_label, a_geometry, "regions")
    assert imageOnScreen() is None
    assert node.GetDisplayNode() is None


def test_keeping_again_takes_the_same_place(a_scene, a_geometry, a_label):
    node = setHiddenArray(a_label, a_geometry, "regions")
    before = node_counts(a_scene)
    assert setHiddenArray(a_label[:, ::-1], a_geometry, "regions", node) is node
    assert node_counts(a_scene) == before
    np.testing.assert_array_equal(hiddenArray(node), a_label[:, ::-1])
