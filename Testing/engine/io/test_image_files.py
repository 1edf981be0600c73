"""Writing and reading back: values, channels and geometry, in every format."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from grids import blob, grid, grids, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from DALESegmentLib.engine.io.images import read_image, read_label, write_image

MEDICAL = (".nii", ".nii.gz", ".nrrd", ".mha")


def same_place(a, b) -> bool:
    corners = [(0,) * a.dims, tuple(n - 1 for n in a.size)]
    return (
        a.size == b.size
        and a.difference(b) is None
        and np.allclose(a.spacing, b.spacing, rtol=1e-5)
        and np.allclose(a.direction, b.direction, atol=1e-5)
        and all(np.allclose(a.index_to_ras(c), b.index_to_ras(c), rtol=1e-6, atol=1e-4) for c in corners)
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 3).flatmap(grids), st.sampled_from(MEDICAL), st.integers(1, 3))
def test_geometry_and_values_survive(geometry, extension, channels):
    image = noise(geometry, channels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{extension}"
        write_image(path, image, geometry)
        back, place = read_image(path)
    assert back.dtype == np.float32
    assert np.array_equal(back, image)
    assert same_place(place, geometry)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 3).flatmap(grids), st.sampled_from(MEDICAL))
def test_labels_survive(geometry, extension):
    label = blob(geometry, 3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{extension}"
        write_image(path, label, geometry)
        back, place = read_label(path)
    assert back.dtype == np.int16
    assert np.array_equal(back, label)
    assert same_place(place, geometry)


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ((0, 255), "8-bit unsigned integer"),
        ((0, 256), "16-bit unsigned integer"),
        ((-1, 3), "16-bit signed integer"),
    ],
)
def test_whole_numbers_take_the_smallest_type(tmp_path, values, stored):
    geometry = grid((2, 2, 2))
    array = np.array(values, np.int64).repeat(4).reshape(2, 2, 2)
    write_image(tmp_path / "a.nrrd", array, geometry)
    image = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    assert image.GetPixelIDTypeAsString() == stored
    assert np.array_equal(sitk.GetArrayFromImage(image), array)


def test_fourth_axis_is_channels_in_3d_nifti(tmp_path):
    geometry = grid((4, 5, 6), (1, 2, 3))
    image = noise(geometry, 3)
    write_image(tmp_path / "a.nii.gz", image, geometry)
    assert sitk.ReadImage(str(tmp_path / "a.nii.gz")).GetSize() == (4, 5, 6, 3)
    assert np.array_equal(read_image(tmp_path / "a.nii.gz")[0], image)


def test_a_single_slice_stays_3d(tmp_path):
    geometry = grid((5, 4, 1), (1, 1, 6))
    image = noise(geometry)
    for extension in MEDICAL:
        write_image(tmp_path / f"a{extension}", image[0], geometry)
        back, place = read_image(tmp_path / f"a{extension}")
        assert np.array_equal(back, image)
        assert same_place(place, geometry)


@pytest.mark.parametrize("extension", [".png", ".tif", ".tiff"])
def test_picture_labels_survive(tmp_path, extension):
    geometry = grid((9, 7))
    write_image(tmp_path / f"a{extension}", blob(geometry, 2), geometry)
    back, place = read_label(tmp_path / f"a{extension}")
    assert np.array_equal(back, blob(geometry, 2))
    assert place == geometry


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_tiff_keeps_float_maps_with_any_number_of_channels(tmp_path, channels):
    geometry = grid((9, 7))
    write_image(tmp_path / "a.tiff", noise(geometry, channels), geometry)
    assert np.array_equal(read_image(tmp_path / "a.tiff")[0], noise(geometry, channels))


def test_tiff_pages_are_slices(tmp_path):
    geometry = grid((9, 7, 4))
    write_image(tmp_path / "a.tif", noise(geometry), geometry)
    back, place = read_image(tmp_path / "a.tif")
    assert np.array_equal(back, noise(geometry))
    assert place == geometry


def picture(path, array, spacing=None) -> None:
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 3)
    if spacing:
        image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))


@pytest.mark.parametrize("extension", [".png", ".tif", ".jpg"])
def test_printing_resolution_is_no_geometry(tmp_path, extension):
    path = tmp_path / f"a{extension}"
    picture(path, np.arange(42, dtype=np.uint8).reshape(6, 7), (0.35, 0.35))
    assert read_image(path)[1] == grid((7, 6))


@pytest.mark.parametrize(
    ("extension", "stored", "read"),
    [(".png", 3, 3), (".png", 4, 3), (".tif", 3, 3), (".tif", 4, 3)],
)
def test_transparency_is_dropped(tmp_path, extension, stored, read):
    pixels = np.random.default_rng(0).integers(0, 255, (6, 7, stored)).astype(np.uint8)
    picture(tmp_path / f"a{extension}", pixels)
    image, _ = read_image(tmp_path / f"a{extension}")
    assert np.array_equal(image, np.moveaxis(pixels, -1, 0)[:read])


@pytest.mark.parametrize("extension", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("colours", [1, 3])
def test_black_and_white_mask_means_0_and_1(tmp_path, extension, colours):
    mask = np.zeros((32, 40), np.uint8)
    mask[8:24, 10:30] = 255
    picture(tmp_path / f"m{extension}", mask if colours == 1 else np.stack([mask] * 3, -1))
    assert np.array_equal(read_label(tmp_path / f"m{extension}")[0], mask // 255)


def test_255_stays_beside_other_values_and_in_volumes(tmp_path):
    pixels = np.array([[0, 1], [255, 255]], np.uint8)
    picture(tmp_path / "m.png", pixels)
    assert set(np.unique(read_label(tmp_path / "m.png")[0])) == {0, 1, 255}
    write_image(tmp_path / "m.nii.gz", np.full((2, 2, 2), 255), grid((2, 2, 2)))
    assert set(np.unique(read_label(tmp_path / "m.nii.gz")[0])) == {255}


def test_large_values_are_kept(tmp_path):
    geometry = grid((2, 2, 2))
    label = np.arange(8).reshape(2, 2, 2) * 20000
    write_image(tmp_path / "m.nrrd", label, geometry)
    assert np.array_equal(read_label(tmp_path / "m.nrrd")[0], label)


def test_a_failed_write_leaves_the_old_file(tmp_path, refused, monkeypatch):
    geometry = grid((3, 3, 3))
    write_image(tmp_path / "a.nii.gz", np.ones((3, 3, 3)), geometry)
    before = (tmp_path / "a.nii.gz").read_bytes()
    real = sitk.WriteImage

    def half(image, name, **options):
        real(image, name, **options)
        raise RuntimeError("disk full")

    monkeypatch.setattr(sitk, "WriteImage", half)
    with refused("cannot-write", "a.nii.gz"):
        write_image(tmp_path / "a.nii.gz", np.zeros((3, 3, 3)), geometry)
    assert (tmp_path / "a.nii.gz").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_what_a_format_cannot_hold_is_refused(tmp_path, refused):
    flat, deep = grid((3, 4)), grid((3, 4, 5))
    with refused("geometry-lost", "a.png"):
        write_image(tmp_path / "a.png", np.zeros((4, 3), np.uint8), grid((3, 4), (0.5, 0.5)))
    with refused("format-limits", "a.png"):
        write_image(tmp_path / "a.png", np.zeros((4, 3), np.float32), flat)
    with refused("format-limits"):
        write_image(tmp_path / "a.png", np.zeros((5, 4, 3), np.uint8), deep)
    with refused("unknown-format", "a.jpg"):
        write_image(tmp_path / "a.jpg", np.zeros((4, 3), np.uint8), flat)
    with refused("array-shape"):
        write_image(tmp_path / "a.nrrd", np.zeros((4, 4)), flat)
    assert not list(tmp_path.iterdir())
