"""What is chosen is said in words, and what is wrong with it with what to do."""

from __future__ import annotations

import numpy as np

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.mrml.input_summary import describe
from DALESegmentLib.mrml.segmentations import addSegmentation
from DALESegmentLib.mrml.volumes import addVolume


def test_a_sound_choice_is_described_without_a_problem(a_volume_node, a_segmentation_node):
    facts = describe([a_volume_node, None], a_segmentation_node)
    assert facts.lines == ["64 × 60 × 20 voxels of 0.8 × 0.8 × 2.5 mm.", "Segments: 2 (lesion, oedema)."]
    assert facts.problems == []


def test_channels_add_up(a_volume_node, a_segmentation_node, an_image, a_geometry):
    second = addVolume(an_image, a_geometry, "PET")
    assert "Channels: 2." in describe([a_volume_node, second], a_segmentation_node).lines


def test_nothing_chosen(a_scene):
    assert "Choose the image" in describe([None, None]).problems[0]


def test_an_image_alone(a_volume_node):
    assert "Choose a segmentation" in describe([a_volume_node]).problems[0]


def test_images_on_different_voxels(a_volume_node, a_segmentation_node):
    other = addVolume(np.zeros((4, 5, 6), np.float32), a_geometry_of(6, 5, 4), "PET")
    (problem,) = describe([a_volume_node, other], a_segmentation_node).problems
    assert problem.startswith("“PET” does not lie on the voxels of “CT” (size")
    assert "resample" in problem


def a_geometry_of(*size) -> Geometry:
    return Geometry(size, (1.0, 1.0, 1.0), (500.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def test_a_segmentation_that_lies_elsewhere(a_volume_node):
    label = np.ones((4, 5, 6), np.uint8)
    far = addSegmentation(label, a_geometry_of(6, 5, 4), {1: "x"}, a_volume_node, "Other patient")
    assert "lies outside" in describe([a_volume_node], far).problems[0]


def test_no_segments_and_two_of_one_name(a_volume_node, a_segmentation_node, a_scene):
    empty = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Empty")
    assert "holds no segments" in describe([a_volume_node], empty).problems[0]
    a_segmentation_node.GetSegmentation().GetNthSegment(1).SetName("lesion")
    assert "Several segments are called “lesion”" in describe([a_volume_node], a_segmentation_node).problems[0]


def test_a_volume_without_an_image(a_scene, a_segmentation_node):
    empty = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
    assert "holds no image" in describe([empty], a_segmentation_node).problems[0]
