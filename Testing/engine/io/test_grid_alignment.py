"""Same voxels, other order: found exactly, and nothing else."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from grids import grid, grids, turned
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from DALESegmentLib.engine.geometry.grid import Geometry, onto_grid, same_voxels
from DALESegmentLib.engine.io.images import geometry_of


def numbered(geometry: Geometry) -> np.ndarray:
    return np.arange(np.prod(geometry.size)).reshape(geometry.array_shape) + 1


def as_itk(array: np.ndarray, geometry: Geometry) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    return image


@settings(max_examples=40, deadline=None)
@given(grids(3), st.permutations(range(3)), st.lists(st.booleans(), min_size=3, max_size=3))
def test_permuted_and_flipped_as_itk_does_it(geometry, order, flips):
    assume(max(geometry.spacing) < 100 * min(geometry.spacing))
    image = as_itk(numbered(geometry), geometry)
    other = sitk.Flip(sitk.PermuteAxes(image, [int(n) for n in order]), flips)
    target = geometry_of(other)
    assert same_voxels(geometry, target)
    assert np.array_equal(onto_grid(numbered(geometry), geometry, target), sitk.GetArrayFromImage(other))


@settings(max_examples=40, deadline=None)
@given(grids(3), st.lists(st.integers(0, 1), min_size=3, max_size=3))
def test_cropped_and_padded_again(geometry, starts):
    image = as_itk(numbered(geometry), geometry)
    cropped = sitk.Crop(image, starts, [0, 0, 0])
    target = geometry_of(cropped)
    part = onto_grid(numbered(geometry), geometry, target)
    assert np.array_equal(part, sitk.GetArrayFromImage(cropped))
    back = onto_grid(part, target, geometry)
    assert np.array_equal(back[back > 0], part.ravel())
    assert (back.shape, same_voxels(target, geometry)) == (geometry.array_shape, not any(starts))


def test_channels_travel_along():
    geometry = grid((4, 3, 2))
    target = grid((4, 3, 2), origin=(3.0, 0, 0), direction=np.diag([-1.0, 1, 1]))
    both = np.stack([numbered(geometry), -numbered(geometry)])
    assert np.array_equal(onto_grid(both, geometry, target), both[..., ::-1])


def test_2d_and_its_single_slice():
    flat = grid((4, 3), (0.5, 0.5))
    slice_ = grid((4, 3, 1), (0.5, 0.5, 1.0))
    assert np.array_equal(onto_grid(numbered(slice_), slice_, flat), numbered(flat))
    assert np.array_equal(onto_grid(numbered(flat), flat, slice_)[0], numbered(flat))


def test_other_lattices_are_refused():
    geometry = grid((6, 6, 6), (1.0, 1.0, 2.0))
    array = numbered(geometry)
    for other in (
        grid((6, 6, 6), (1.0, 1.0, 2.1)),
        grid((6, 6, 6), (1.0, 2.0, 1.0)),
        grid((6, 6, 6), (1.0, 1.0, 2.0), origin=(0.3, 0, 0)),
        grid((6, 6, 6), (1.0, 1.0, 2.0), direction=turned((0.02, 0.0, 0.0))),
        grid((6, 6, 6), (2.0, 2.0, 4.0)),
        grid((6, 6, 6), (0.5, 0.5, 1.0)),
    ):
        assert onto_grid(array, geometry, other) is None
        assert not same_voxels(geometry, other)


def test_nothing_in_common_is_all_zero():
    geometry = grid((3, 3, 3))
    far = grid((3, 3, 3), origin=(50.0, 0, 0))
    assert not onto_grid(numbered(geometry), geometry, far).any()
    assert not same_voxels(geometry, far)
