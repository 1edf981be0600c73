"""Volume and segmentation -> case -> new segmentation: no voxel moves, wherever the grid lies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scene_helpers import linear_transform

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.mrml.cases import caseFromNodes
from DALESegmentLib.mrml.segmentations import addSegmentation, labelFromSegmentation, updateSegments
from DALESegmentLib.mrml.volumes import addVolume, geometryFromVolume

PLANES = {"axial": (0, 1, 2), "sagittal": (1, 2, 0), "coronal": (0, 2, 1)}


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        a, b = [i for i in range(3) if i != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


angles = st.tuples(*[st.floats(-3, 3)] * 3)
shifts = st.tuples(*[st.floats(-200, 200)] * 3)


@st.composite
def geometries(draw) -> Geometry:
    axes = np.eye(3)[:, PLANES[draw(st.sampled_from(list(PLANES)))]]
    axes = axes @ np.diag([draw(st.sampled_from((-1.0, 1.0))) for _ in range(3)])
    if draw(st.booleans()):
        axes = rotation(draw(angles)) @ axes
    return Geometry(
        tuple(draw(st.integers(1, 9)) for _ in range(3)),
        tuple(draw(st.floats(0.3, 6)) for _ in range(3)),
        draw(shifts),
        tuple(axes.ravel()),
    )


@st.composite
def rigid(draw) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(draw(angles)), draw(shifts)
    return matrix


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(geometries(), st.lists(rigid(), max_size=2), st.integers(0, 2**32 - 1))
def test_no_voxel_moves(a_scene, geometry, transforms, seed):
    a_scene.Clear(0)
    random = np.random.default_rng(seed)
    image = random.normal(size=geometry.array_shape).astype(np.float32)
    label = random.integers(0, 4, geometry.array_shape).astype(np.uint8)
    volume = addVolume(image, geometry, "MR")
    parent = None
    for matrix in transforms:
        parent = linear_transform(a_scene, matrix, parent)
    volume.SetAndObserveTransformNodeID(parent.GetID() if parent else None)
    names = {1: "a", 2: "b", 3: "c"}
    drawn = addSegmentation(label, geometryFromVolume(volume), names, volume, "drawn")

    case = caseFromNodes(volume, drawn)
    np.testing.assert_array_equal(case.image, image[None])
    np.testing.assert_array_equal(case.label, label)
    assert case.class_names == names
    moved = np.linalg.multi_dot([np.eye(4), *transforms, geometry.ijk_to_ras()])
    np.testing.assert_allclose(case.geometry.ijk_to_ras(), moved, atol=1e-6)

    again = addSegmentation(case.label, case.geometry, case.class_names, volume, "proposed", drawn)
    np.testing.assert_array_equal(labelFromSegmentation(again, volume)[0], label)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(geometries(), rigid(), st.integers(0, 2**32 - 1))
def test_the_segmentation_alone_lies_under_a_transform(a_scene, geometry, matrix, seed):
    a_scene.Clear(0)
    volume = addVolume(np.zeros(geometry.array_shape, np.float32), geometry, "MR")
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    node.SetAndObserveTransformNodeID(linear_transform(a_scene, matrix).GetID())
    segment = node.GetSegmentation().AddEmptySegment("lesion")
    label = np.random.default_rng(seed).integers(0, 2, geometry.array_shape).astype(np.uint8)
    updateSegments(node, label, geometry, {1: segment})
    np.testing.assert_array_equal(labelFromSegmentation(node, volume)[0], label)


def test_a_segmentation_on_a_finer_grid_is_resampled_in_place(a_volume_node, a_label, a_geometry):
    fine = Geometry(
        tuple(3 * n for n in a_geometry.size),
        tuple(s / 3 for s in a_geometry.spacing),
        # the first fine voxel's centre lies a third of a coarse voxel before the coarse one's
        tuple(o - s / 3 for o, s in zip(a_geometry.origin, a_geometry.spacing, strict=True)),
        a_geometry.direction,
    )
    finely = a_label.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    fineVolume = addVolume(finely.astype(np.float32), fine, "fine")
    node = addSegmentation(finely, fine, {1: "lesion", 2: "oedema"}, fineVolume, "drawn finely")
    np.testing.assert_array_equal(labelFromSegmentation(node, a_volume_node)[0], a_label)


def test_a_segmentation_of_surfaces_is_read_and_left_as_it_is(a_segmentation_node, a_volume_node, a_label):
    node = a_segmentation_node
    node.CreateClosedSurfaceRepresentation()
    node.SetSourceRepresentationToClosedSurface()
    node.RemoveBinaryLabelmapRepresentation()
    scene = node.GetScene()
    before = scene.GetNumberOfNodes()
    label, *_ = labelFromSegmentation(node, a_volume_node)
    agreement = 2 * np.sum((label > 0) & (a_label > 0)) / (np.sum(label > 0) + np.sum(a_label > 0))
    assert agreement > 0.9  # a smoothed surface cuts corners
    assert scene.GetNumberOfNodes() == before
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")
    first = node.GetSegmentation().GetNthSegmentID(0)
    with pytest.raises(EngineError, match="surfaces"):
        updateSegments(node, a_label, geometryFromVolume(a_volume_node), {1: first})
