from __future__ import annotations

import numpy as np
import pytest
from scene_helpers import linear_transform

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.mrml.cases import caseFromNodes
from DALESegmentLib.mrml.volumes import addVolume, geometryFromVolume, imageFromVolumes


def test_the_geometry_is_the_one_given(a_volume_node, a_geometry):
    assert geometryFromVolume(a_volume_node).difference(a_geometry) is None


def test_several_volumes_are_channels(a_volume_node, an_image, a_geometry):
    pet = addVolume(an_image * 2, a_geometry, "PET")
    image = imageFromVolumes([a_volume_node, pet])
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, np.stack([an_image, an_image * 2]))


def test_a_colour_photograph_has_three_channels(a_scene):
    import slicer

    photograph = np.random.default_rng(0).integers(0, 255, (1, 20, 30, 4)).astype(np.uint8)  # with opacity
    node = slicer.util.addVolumeFromArray(photograph, nodeClassName="vtkMRMLVectorVolumeNode")
    case = caseFromNodes(node, name="mole")
    assert (case.name, case.image.shape, case.geometry.size) == ("mole", (3, 1, 20, 30), (30, 20, 1))
    np.testing.assert_array_equal(case.image[2, 0], photograph[0, ..., 2])


def test_a_2d_result_becomes_a_volume_of_one_slice(a_scene):
    flat = Geometry((30, 20), (0.5, 0.7), (1.0, 2.0), (1, 0, 0, 1))
    array = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    node = addVolume(array, flat, "photograph")
    np.testing.assert_array_equal(imageFromVolumes(node)[0, 0], array)
    np.testing.assert_allclose(geometryFromVolume(node).ijk_to_ras(), flat.ijk_to_ras())


def test_trusted_voxels_come_along(a_volume_node, a_segmentation_node, a_label):
    case = caseFromNodes(a_volume_node, a_segmentation_node, trusted=a_label == 1)
    np.testing.assert_array_equal(case.trusted, a_label == 1)
    with pytest.raises(EngineError):
        caseFromNodes(a_volume_node, trusted=a_label[1:] == 1)


def sheared() -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 1] = 0.2
    return matrix


def test_shear_is_refused(a_volume_node, a_scene):
    a_volume_node.SetAndObserveTransformNodeID(linear_transform(a_scene, sheared()).GetID())
    with pytest.raises(EngineError) as error:
        geometryFromVolume(a_volume_node)
    assert error.value.code == "sheared-volume"


def test_a_non_linear_transform_is_refused(a_volume_node, a_scene):
    import vtk

    bend = vtk.vtkThinPlateSplineTransform()
    points, moved = vtk.vtkPoints(), vtk.vtkPoints()
    for p in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (50, 50, 50)):
        points.InsertNextPoint(p)
        moved.InsertNextPoint(p[0] + (p[1] * p[2]) * 0.01, p[1], p[2])
    bend.SetSourceLandmarks(points)
    bend.SetTargetLandmarks(moved)
    bend.SetBasisToR()
    node = a_scene.AddNewNodeByClass("vtkMRMLTransformNode", "warp")
    node.SetAndObserveTransformToParent(bend)
    a_volume_node.SetAndObserveTransformNodeID(node.GetID())
    with pytest.raises(EngineError) as error:
        geometryFromVolume(a_volume_node)
    assert error.value.code == "nonlinear-transform"
    assert "warp" in error.value.sentence


def test_volumes_on_other_grids_are_refused(a_volume_node, an_image, a_geometry):
    shifted = Geometry(a_geometry.size, a_geometry.spacing, (0, 0, 0), a_geometry.direction)
    with pytest.raises(EngineError) as error:
        imageFromVolumes([a_volume_node, addVolume(an_image, shifted, "PET")])
    assert error.value.code == "geometry-mismatch"
    assert "PET" in error.value.sentence


def test_nothing_chosen_and_nothing_loaded(a_scene):
    with pytest.raises(EngineError, match="No volume"):
        imageFromVolumes([])
    empty = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    with pytest.raises(EngineError, match="no image"):
        geometryFromVolume(empty)


def test_the_image_on_screen_comes_first_and_maps_never(a_scene, an_image, a_geometry):
    from DALESegmentLib.mrml.heat_map import heatMapIds, showConfidence
    from DALESegmentLib.mrml.volumes import imageOnScreen

    assert imageOnScreen() is None
    a_scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    heat_map = showConfidence(np.ones(a_geometry.array_shape, np.float32), a_geometry, "heat map")
    assert imageOnScreen() is None
    assert heatMapIds() == [heat_map.GetID()]
    first, second = (addVolume(an_image, a_geometry, name) for name in ("first", "second"))
    assert imageOnScreen().GetID() == first.GetID()
    view = a_scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    view.SetBackgroundVolumeID(second.GetID())
    assert imageOnScreen().GetID() == second.GetID()
    a_scene.RemoveNode(view)
