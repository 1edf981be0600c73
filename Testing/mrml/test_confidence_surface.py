"""The surface of the segments has the confidence of the place it is at."""

from __future__ import annotations

import numpy as np
import pytest
from scene_helpers import linear_transform, node_counts
from vtk.util.numpy_support import vtk_to_numpy

from DALESegmentLib.mrml.heat_map import showConfidence
from DALESegmentLib.mrml.segmentations import addSegmentation
from DALESegmentLib.mrml.surface import removeSurface, showSurface


@pytest.fixture
def a_heat_map(a_volume_node, a_label, a_geometry):
    """Doubtful on the right half (small i), sure on the left."""
    confidence = np.full(a_label.shape, 0.9, np.float32)
    confidence[:, :, :25] = 0.1
    return showConfidence(confidence, a_geometry, "confidence")


def points_and_values(model) -> tuple[np.ndarray, np.ndarray]:
    surface = model.GetPolyData()
    return vtk_to_numpy(surface.GetPoints().GetData()), vtk_to_numpy(surface.GetPointData().GetScalars())


def test_each_point_has_the_confidence_of_its_place(a_heat_map, a_segmentation_node, a_geometry):
    points, values = points_and_values(showSurface(a_heat_map, a_segmentation_node))
    i = np.array([np.linalg.solve(a_geometry.ijk_to_ras(), [*p, 1])[0] for p in points])
    assert len(points) > 100
    np.testing.assert_allclose(values[i < 25], 0.1, atol=1e-3)
    np.testing.assert_allclose(values[i > 26], 0.9, atol=1e-3)


@pytest.mark.parametrize("doubtful", ["the objects", "what is around them"])
def test_what_is_doubtful_on_one_side_is_doubtful_on_the_surface(doubtful, a_label, a_geometry, a_segmentation_node):
    """An invented object must not look half sure because the background around it is right."""
    inside = a_label > 0
    confidence = np.where(inside == (doubtful == "the objects"), 0.02, 0.98).astype(np.float32)
    heat_map = showConfidence(confidence, a_geometry, "confidence")
    _, values = points_and_values(showSurface(heat_map, a_segmentation_node))
    assert np.mean(values < 0.05) > 0.95  # smoothing draws corners in further


def test_a_surface_at_the_rim_of_the_image_wears_the_voxels_of_the_rim(a_volume_node, a_geometry):
    segmented = np.zeros(a_geometry.array_shape, np.uint8)
    segmented[:, :, :5] = 1
    node = addSegmentation(segmented, a_geometry, {1: "lesion"}, a_volume_node, "drawn")
    heat_map = showConfidence(np.full(segmented.shape, 0.7, np.float32), a_geometry, "confidence")
    _, values = points_and_values(showSurface(heat_map, node))
    np.testing.assert_allclose(values, 0.7, atol=1e-3)


def test_one_segment_alone_can_be_shown(a_heat_map, a_segmentation_node):
    whole = showSurface(a_heat_map, a_segmentation_node).GetPolyData().GetNumberOfPoints()
    second = a_segmentation_node.GetSegmentation().GetNthSegmentID(1)
    part = showSurface(a_heat_map, a_segmentation_node, [second]).GetPolyData().GetNumberOfPoints()
    assert 0 < part < whole


def test_it_lies_where_the_moved_segmentation_lies(a_scene, a_heat_map, a_segmentation_node, a_volume_node):
    still, values = points_and_values(showSurface(a_heat_map, a_segmentation_node))
    still, values = still.copy(), values.copy()
    shift = np.eye(4)
    shift[:3, 3] = (5, -7, 11)
    transform = linear_transform(a_scene, shift)
    for node in (a_heat_map, a_segmentation_node, a_volume_node):
        node.SetAndObserveTransformNodeID(transform.GetID())
    moved, same = points_and_values(showSurface(a_heat_map, a_segmentation_node))
    np.testing.assert_allclose(moved, still + shift[:3, 3], atol=1e-3)
    np.testing.assert_allclose(same, values, atol=1e-3)


def test_the_segmentation_is_not_touched_and_nothing_is_left(a_scene, a_heat_map, a_segmentation_node):
    import slicer

    before = node_counts(a_scene)
    showSurface(a_heat_map, a_segmentation_node)
    showSurface(a_heat_map, a_segmentation_node)
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    assert not a_segmentation_node.GetSegmentation().ContainsRepresentation(name)
    removeSurface()
    assert node_counts(a_scene) == before


def test_the_colours_are_explained_and_the_legend_goes_with_the_surface(a_scene, a_heat_map, a_segmentation_node):
    def legends():
        every = [a_scene.GetNthNode(i) for i in range(a_scene.GetNumberOfNodes())]
        found = [node for node in every if node.GetClassName() == "vtkMRMLColorLegendDisplayNode"]
        return [node for node in found if node.GetDisplayableNode().IsA("vtkMRMLModelNode")]

    for _ in range(2):
        showSurface(a_heat_map, a_segmentation_node)
    (legend,) = legends()
    assert legend.GetTitleText() == "Label confidence"
    assert legend.GetVisibility()
    removeSurface()
    assert not legends()
