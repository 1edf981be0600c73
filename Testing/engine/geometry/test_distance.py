"""Distances to outlines against every pair of voxels and every face, and against shapes whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DALESegmentLib.engine.geometry.distance import boundary_distance, bounding_box, grow_mm, signed_distance


def faces(mask):
    """Pairs of indices of voxels inside and outside that share a face."""
    for voxel in np.argwhere(mask):
        for axis in range(mask.ndim):
            for way in (-1, 1):
                other = voxel.copy()
                other[axis] += way
                if 0 <= other[axis] < mask.shape[axis] and not mask[tuple(other)]:
                    yield voxel, other


def half_way(mask, spacing):
    """The definition, read out."""
    pairs = list(faces(mask))
    out = np.full(mask.shape, np.inf)
    for voxel in np.ndindex(mask.shape):
        if pairs:
            both = [min(np.linalg.norm((at - voxel) * spacing) for at in layer) for layer in zip(*pairs, strict=True)]
            out[voxel] = np.mean(both)
    return np.where(mask, -out, out)


def to_the_nearest_face(mask, spacing):
    out = np.full(mask.shape, np.inf)
    for voxel in np.ndindex(mask.shape):
        for inside, outside in faces(mask):
            halves = (inside == outside) * spacing / 2  # a face has an extent along all axes but one
            gaps = np.maximum(np.abs(((inside + outside) / 2 - voxel) * spacing) - halves, 0)
            out[voxel] = min(out[voxel], np.linalg.norm(gaps))
    return out


IN_2D_AND_3D = st.integers(2, 3)


@st.composite
def masks(draw, dims=IN_2D_AND_3D):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = rng.integers(1, 7, draw(dims))
    return rng.random(shape) < draw(st.sampled_from([0.03, 0.3, 0.7, 0.97])), rng.uniform(0.3, 6.0, len(shape))


@settings(max_examples=60, deadline=None)
@given(masks())
def test_it_is_half_way_between_the_voxels_on_either_side(case):
    mask, spacing = case
    np.testing.assert_allclose(signed_distance(mask, spacing), half_way(mask, spacing), rtol=1e-5)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(masks())
def test_the_nearest_face_is_within_the_documented_bounds(case):
    mask, spacing = case
    distance, face = np.abs(signed_distance(mask, spacing)), to_the_nearest_face(mask, spacing)
    if np.isfinite(face).all():
        assert (distance - face).max() <= np.linalg.norm(spacing) / 2 + 1e-4
        assert (face - distance).max() <= max(spacing) / 4 + 1e-4


@settings(max_examples=40, deadline=None)
@given(masks(st.just(3)), st.integers(0, 2))
def test_slices_are_outlined_one_by_one(case, axis):
    mask, spacing = case
    within = np.delete(spacing, axis)
    found = np.moveaxis(signed_distance(mask, spacing, axis), axis, 0)
    for one, plane in zip(found, np.moveaxis(mask, axis, 0), strict=True):
        np.testing.assert_allclose(one, half_way(plane, within), rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(masks())
def test_the_complement_has_the_negative_distance(case):
    mask, spacing = case
    np.testing.assert_array_equal(signed_distance(~mask, spacing), -signed_distance(mask, spacing))


@settings(max_examples=40, deadline=None)
@given(masks(), st.integers(0, 10**6))
def test_a_mask_that_moves_takes_its_distances_with_it(case, seed):
    mask, spacing = case
    left = np.random.default_rng(seed).integers(1, 5, mask.ndim)
    parts = []
    for before in (left, np.ones_like(left)):
        whole = np.pad(mask, [(n, 6 - n) for n in before])
        there = tuple(slice(n, n + size) for n, size in zip(before, mask.shape, strict=True))
        parts.append(signed_distance(whole, spacing)[there])
    np.testing.assert_allclose(*parts, rtol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_lies_half_a_voxel_from_both_its_neighbours(axis):
    spacing, mask = (5.0, 0.7, 1.3), np.zeros((9, 9, 9), bool)
    np.moveaxis(mask, axis, 0)[:4] = True
    expected = (np.arange(9) - 3.5) * spacing[axis]
    found = np.moveaxis(signed_distance(mask, spacing), axis, -1)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-5)


@pytest.mark.parametrize("mm", [-3.0, 3.0])
def test_three_mm_move_an_outline_across_slices_of_5_mm(mm):
    mask = np.zeros((12, 30, 30), bool)
    mask[4:8] = True
    moved = signed_distance(mask, (5.0, 1.0, 1.0)) < mm
    assert np.flatnonzero(moved.any((1, 2))).tolist() == ([3, 4, 5, 6, 7, 8] if mm > 0 else [5, 6])


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.5, 0.8, 0.8)])
def test_a_ball_is_as_far_as_its_radius_says(spacing):
    shape, radius = [int(40 / s) for s in spacing], 12.0
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    far = np.sqrt(sum(((a - n / 2) * s) ** 2 for a, n, s in zip(axes, shape, spacing, strict=True)))
    gap = signed_distance(far < radius, spacing) - (far - radius)
    assert np.abs(gap).max() < np.linalg.norm(spacing) / 2
    assert np.sqrt((gap**2).mean()) < 0.3 * max(spacing)
    assert np.abs(gap.mean()) < 0.2 * max(spacing)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_plane_along_a_diagonal_is_where_it_is(dims):
    along = sum(np.ogrid[(slice(20),) * dims])
    away = (along - 19.5) / np.sqrt(dims)
    middle = (slice(5, 15),) * dims
    found = signed_distance(along < 20, (1.0,) * dims)[middle]
    near = np.abs(away[middle]) < 3
    gap = (found - away[middle])[near]
    assert np.abs(gap).max() < 0.35
    assert np.sqrt((gap**2).mean()) < 0.25


def test_without_an_outline_there_is_no_distance():
    assert (signed_distance(np.zeros((3, 4), bool), (1, 1)) == np.inf).all()
    assert (signed_distance(np.ones((3, 4), bool), (1, 1)) == -np.inf).all()


def outlines_of_classes(label, spacing, reach):
    out = np.full(label.shape, reach)
    for value in range(1, int(label.max()) + 1):
        signed = half_way(label == value, spacing)
        out = np.where(label == value, signed, np.where(label == 0, np.minimum(out, signed), out))
    return np.clip(out, -reach, reach)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 3), st.floats(1, 12))
def test_the_distance_to_classes_is_that_to_the_nearest_outline(seed, dims, reach):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, rng.integers(1, 7, dims)) * (rng.random() < 0.9)
    spacing = rng.uniform(0.5, 3, dims)
    distance, nearest = boundary_distance(label, spacing, reach)
    np.testing.assert_allclose(distance, outlines_of_classes(label, spacing, reach), rtol=1e-5)
    assert (nearest[label > 0] == label[label > 0]).all()
    assert ((nearest == 0) == ((label == 0) & (distance >= np.float32(reach)))).all()


def test_the_nearest_class_is_known_outside():
    label = np.zeros((1, 9), int)
    label[0, 1], label[0, 8] = 1, 2
    distance, nearest = boundary_distance(label, (1.0, 2.0), 100.0)
    np.testing.assert_array_equal(nearest[0], [1, 1, 1, 1, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(distance[0], [1, -1, 1, 3, 5, 5, 3, 1, -1])


def test_bounding_box_stops_at_the_edge():
    mask = np.zeros((5, 6), bool)
    assert bounding_box(mask) is None
    mask[0, 4] = True
    assert bounding_box(mask, (2, 3)) == (slice(0, 3), slice(1, 6))


def test_growing_is_measured_in_mm():
    mask = np.zeros((5, 9), bool)
    mask[2, 4] = True
    grown = grow_mm(mask, (3.0, 1.0), 2.0)
    np.testing.assert_array_equal(np.argwhere(grown), [[2, i] for i in range(2, 7)])
    assert grow_mm(np.ones((2, 2), bool), (1, 1), 1).all()
    assert not grow_mm(np.zeros((2, 2), bool), (1, 1), 1).any()


@pytest.mark.parametrize(
    ("shape", "spacing"), [((9, 14, 11), (2.5, 0.8, 0.8)), ((20, 25), (1.0, 0.3)), ((6, 9, 9), (1, 1, 1))]
)
@pytest.mark.parametrize("reach", [0.0, 1.0, 2.0, 5.0, 14.0])
def test_a_mask_grows_by_a_ball(shape, spacing, reach):
    """Against the distances between all centres; the largest reach takes another way."""
    random = np.random.default_rng(int(reach))
    for share in (0.01, 0.3, 1.0):
        mask = random.random(shape) < share
        centres = np.argwhere(np.ones(shape, bool)) * spacing
        own = centres[mask.ravel()]
        wanted = np.zeros(mask.size, bool)
        if len(own):
            far = np.sqrt(((centres[:, None] - own[None]) ** 2).sum(axis=2)).min(axis=1)
            wanted = far <= reach * (1 + 1e-6)
        np.testing.assert_array_equal(grow_mm(mask, spacing, reach).ravel(), wanted)
