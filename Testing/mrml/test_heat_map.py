from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scene_helpers import node_counts

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.mrml.heat_map import (
    confidenceAround,
    hideHeatMap,
    removeHeatMap,
    setHeatMapOpacity,
    setHeatMapThreshold,
    showConfidence,
)
from DALESegmentLib.mrml.pictures import renderSlices, sliceView
from DALESegmentLib.mrml.volumes import addVolume, geometryFromVolume, imageFromVolumes

SIZE = 200


@pytest.fixture
def a_distance(a_label, a_geometry) -> np.ndarray:
    """mm from the outer boundary of the label."""
    mask = sitk.GetImageFromArray((a_label > 0).astype(np.uint8))
    mask.SetSpacing(a_geometry.spacing)
    signed = sitk.SignedMaurerDistanceMap(mask, squaredDistance=False, useImageSpacing=True)
    return np.abs(sitk.GetArrayFromImage(signed))


@pytest.fixture
def a_confidence(a_distance) -> np.ndarray:
    """Doubtful at the boundary, sure from 4 mm on."""
    return np.clip(0.2 + a_distance / 5, 0, 1)


@pytest.fixture
def a_heat_map(a_volume_node, a_confidence, a_geometry):
    return showConfidence(a_confidence, a_geometry, "confidence")


def composites(scene) -> list:
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene)


@pytest.mark.slow
@pytest.mark.usefixtures("the_views")
def test_it_is_seen_at_the_boundary_and_nowhere_else(a_volume_node, a_heat_map, a_distance):
    centre = geometryFromVolume(a_volume_node).index_to_ras((30, 30, 10))
    bare = renderSlices(a_volume_node, ras=centre, size=SIZE).astype(int)
    warm = renderSlices(a_volume_node, heatMapNode=a_heat_map, ras=centre, size=SIZE).astype(int)
    changed = np.abs(warm - bare).max(axis=-1)[:, :SIZE] > 8
    distance = distance_at_pixels(a_volume_node, a_distance)
    assert changed[distance < 2].mean() > 0.98
    assert not changed[distance > 5].any()


def distance_at_pixels(volume, distance) -> np.ndarray:
    """Distance of each pixel of the axial view, first row on top, by the view's own matrix."""
    matrix = sliceView("Axial", SIZE).get_view_node().GetXYToRAS()
    geometry = geometryFromVolume(volume)
    result = np.full((SIZE, SIZE), 99.0)
    for row, column in np.ndindex(SIZE, SIZE):
        ras = matrix.MultiplyPoint((column, SIZE - 1 - row, 0, 1))[:3]
        i, j, k = np.round(geometry.ras_to_index(ras)).astype(int)
        if 0 <= i < geometry.size[0] and 0 <= j < geometry.size[1]:
            result[row, column] = distance[k, j, i]
    return result


@pytest.mark.usefixtures("the_views")
def test_patient_right_is_left_and_anterior_is_up(a_scene, a_geometry):
    """One bright block at the patient's right front: low i and low j on this LPS grid."""
    image = np.zeros(a_geometry.array_shape, np.float32)
    image[:, :20, :20] = 100
    axial = renderSlices(addVolume(image, a_geometry, "block"), size=SIZE)[:, :SIZE, 0]
    rows, columns = np.nonzero(axial > 128)
    assert rows.mean() < SIZE / 2
    assert columns.mean() < SIZE / 2


@pytest.mark.usefixtures("the_views")
def test_the_threshold_chooses_what_is_coloured(a_volume_node, a_heat_map, a_scene):
    shares = []
    bare = renderSlices(a_volume_node, size=SIZE)
    for threshold in (0.0, 0.4, 0.9):
        setHeatMapThreshold(a_heat_map, threshold)
        shares.append(np.mean(renderSlices(a_volume_node, heatMapNode=a_heat_map, size=SIZE) != bare))
    assert shares[0] == 0 < shares[1] < shares[2]


def test_doubt_is_drawn_darker_than_near_certainty(a_heat_map):
    """Lightness rises with confidence, for any colour vision."""
    colours = a_heat_map.GetDisplayNode().GetColorNode().GetLookupTable()
    lightness = []
    for value in np.linspace(0, 1, 20):
        rgb = [0.0, 0.0, 0.0]
        colours.GetColor(value, rgb)
        lightness.append(np.dot(rgb, (0.2126, 0.7152, 0.0722)))
    assert np.all(np.diff(lightness) > 0)


def test_far_from_the_label_only_what_is_more_likely_wrong_shows(a_volume_node, a_label, a_geometry):
    confidence = np.full(a_label.shape, 0.7, np.float32)  # unsure everywhere
    confidence[0, :5, :5] = 0.2  # a missed object in a corner
    shown = imageFromVolumes(showConfidence(confidence, a_geometry, "confidence", a_label))[0]
    np.testing.assert_allclose(shown[0, :5, :5], 0.2)
    assert shown[0, 55, 60] == 1
    np.testing.assert_allclose(shown[10, 30, 14:17], 0.7)


THICK = Geometry((40, 24, 20), (0.8, 1.5, 2.5), (5.0, -7.0, 30.0), (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, -1.0))


@pytest.fixture
def a_thick_label() -> np.ndarray:
    """One object whose outlines lie between the voxels 18 and 19, 11 and 12, 8 and 9 of the axes i, j, k."""
    label = np.zeros(THICK.array_shape, np.uint8)
    label[9:11, 12:14, 19:21] = 1
    return label


def drawn_from(shown: np.ndarray) -> tuple[int, int, int]:
    """The first voxel along i, j and k that has a colour, on the lines through the middle of the object."""
    lines = shown[9, 12, :], shown[9, :, 19], shown[:, 12, 19]
    return tuple(int(np.flatnonzero(line < 1)[0]) for line in lines)


def test_uncertainty_is_drawn_up_to_10_mm_from_the_outline_along_each_axis(a_scene, a_thick_label):
    confidence = np.full(THICK.array_shape, 0.7, np.float32)
    shown = imageFromVolumes(showConfidence(confidence, THICK, "confidence", a_thick_label))[0]
    # 12.5 * 0.8 mm is 10 mm, and not drawn any more; 11.5 * 0.8 = 9.2; 6.5 * 1.5 = 9.75; 3.5 * 2.5 = 8.75
    assert drawn_from(shown) == (7, 5, 5)


def test_a_segment_alone_is_drawn_with_10_mm_around_its_box_along_each_axis(a_thick_label):
    shown = confidenceAround(np.full(THICK.array_shape, 0.2, np.float32), THICK, a_thick_label == 1)
    assert drawn_from(shown) == (19 - 13, 12 - 7, 9 - 4)  # whole voxels that hold 10 mm


@pytest.mark.usefixtures("the_views")
def test_opacity(a_heat_map, a_scene):
    setHeatMapOpacity(a_heat_map, 0.3)
    assert [view.GetForegroundOpacity() for view in composites(a_scene)] == [0.3] * 3


@pytest.mark.usefixtures("the_views")
def test_hiding_gives_back_what_was_covered(a_volume_node, an_image, a_confidence, a_geometry, a_scene):
    pet = addVolume(an_image, a_geometry, "PET")
    for view in composites(a_scene):
        view.SetForegroundVolumeID(pet.GetID())
        view.SetForegroundOpacity(0.37)
    first = showConfidence(a_confidence, a_geometry, "before")
    second = showConfidence(a_confidence, a_geometry, "after")
    assert {view.GetForegroundVolumeID() for view in composites(a_scene)} == {second.GetID()}
    hideHeatMap(first)  # not on screen: nothing happens
    hideHeatMap(second)
    assert {view.GetForegroundVolumeID() for view in composites(a_scene)} == {pet.GetID()}
    assert {view.GetForegroundOpacity() for view in composites(a_scene)} == {0.37}


@pytest.mark.usefixtures("the_views")
def test_nothing_is_left_when_the_last_one_goes(a_volume_node, a_confidence, a_geometry, a_scene):
    before = node_counts(a_scene)
    first = showConfidence(a_confidence, a_geometry, "before")
    second = showConfidence(a_confidence, a_geometry, "after")
    colours = first.GetDisplayNode().GetColorNodeID()
    assert second.GetDisplayNode().GetColorNodeID() == colours
    removeHeatMap(second)
    assert a_scene.GetNodeByID(colours) is not None
    removeHeatMap(first)
    assert node_counts(a_scene) == before
    assert {view.GetForegroundVolumeID() for view in composites(a_scene)} == {None}


def test_one_segment_alone_can_be_drawn(a_label, a_geometry):
    confidence = np.full(a_label.shape, 0.2, np.float32)
    shown = confidenceAround(confidence, a_geometry, a_label == 2)
    assert shown[10, 30, 45] == pytest.approx(0.2)  # inside it
    assert shown[10, 30, 28] == pytest.approx(0.2)  # 5.6 mm from it
    assert shown[10, 30, 17] == 1.0  # in the other segment, 14 mm away
    assert (confidenceAround(confidence, a_geometry, a_label == 3) == 1.0).all()
