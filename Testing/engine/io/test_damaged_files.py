"""Files that are missing, cut short, damaged or of another kind."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import SimpleITK as sitk
from grids import blob, grid, noise

from DALESegmentLib.engine.io.images import read_image, read_label, write_image


def write_any(path, compressed=True) -> None:
    """A small file of any kind, with content that does not compress to nothing."""
    if path.suffix in (".jpg", ".png"):
        pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(path))
    else:
        voxels = np.random.default_rng(0).integers(0, 1000, (8, 30, 40)).astype(np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path), useCompression=compressed)


KINDS = [
    ("a.nii", False),
    ("a.nii.gz", True),
    ("a.nrrd", False),
    ("a.nrrd", True),
    ("a.mha", False),
    ("a.mha", True),
    ("a.tif", False),
    ("a.tif", True),
    ("a.png", True),
    ("a.jpg", True),
]


@pytest.mark.parametrize(("name", "compressed"), KINDS)
@pytest.mark.parametrize("kept", [0.98, 0.5, 0.02, 0.0])
def test_cut_short(tmp_path, refused, name, compressed, kept):
    path = tmp_path / name
    write_any(path, compressed)
    read_image(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with refused("unreadable-file", name):
        read_image(path)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("missing", [1, 2, 3, 4001])
def test_nifti_cut_inside_a_voxel(tmp_path, refused, kind, missing):
    path = tmp_path / "a.nii"
    sitk.WriteImage(sitk.GetImageFromArray(np.random.default_rng(0).random((8, 30, 40)).astype(kind)), str(path))
    path.write_bytes(path.read_bytes()[:-missing])
    with refused("unreadable-file", "a.nii", "incomplete"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr"])
def test_pair_with_a_short_or_missing_second_file(tmp_path, refused, name):
    write_any(tmp_path / name, compressed=False)
    read_image(tmp_path / name)
    (voxels,) = [p for p in tmp_path.iterdir() if p.name != name]
    voxels.write_bytes(voxels.read_bytes()[:100])
    with refused("unreadable-file", name):
        read_image(tmp_path / name)
    voxels.unlink()
    with refused("unreadable-file", name):
        read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.png"])
def test_damaged_in_the_middle(tmp_path, refused, name):
    path = tmp_path / name
    write_any(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(255 - b for b in content[middle : middle + 40])
    path.write_bytes(content)
    with refused("unreadable-file", name):
        read_image(path)


def test_jpeg_with_bytes_after_its_end_is_fine(tmp_path):
    write_any(tmp_path / "a.jpg")
    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(b"camera notes")
    assert read_image(tmp_path / "a.jpg")[0].shape == (3, 40, 50)


def test_unzipped_content_under_a_zipped_name_is_fine(tmp_path):
    write_any(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    assert np.array_equal(read_image(tmp_path / "a.nii.gz")[0], read_image(tmp_path / "b.nii.gz")[0])


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.tif", "a.png", "a.jpg", "a.dcm"])
def test_foreign_content(tmp_path, refused, name):
    (tmp_path / name).write_text("this is a letter\n" * 100)
    with refused("unreadable-file", name):
        read_image(tmp_path / name)


def test_missing_and_unknown(tmp_path, refused):
    with refused("missing-file", "gone.nii.gz"):
        read_image(tmp_path / "gone.nii.gz")
    (tmp_path / "notes.docx").write_text("x")
    with refused("unknown-format", "notes.docx"):
        read_image(tmp_path / "notes.docx")


def test_sheared_nifti(tmp_path, refused):
    nibabel = pytest.importorskip("nibabel")
    affine = np.array([[1, 0.4, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.float32), None)
    image.set_sform(affine, 1)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    with refused("file-axes", "a.nii.gz"):
        read_image(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_of_other_programs(tmp_path, refused, order):
    nibabel = pytest.importorskip("nibabel")
    voxels = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    kind = nibabel.Nifti1Image
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(np.int16).newbyteorder(order))
    nibabel.save(kind(voxels, np.diag([2.0, 3, 4, 1]), header), tmp_path / "a.nii")
    image, geometry = read_image(tmp_path / "a.nii")
    assert np.array_equal(image[0], voxels.T)
    assert np.allclose(geometry.ijk_to_ras(), np.diag([2.0, 3, 4, 1]))
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:-20])
    with refused("unreadable-file"):
        read_image(tmp_path / "a.nii")


def test_labels_that_are_none(tmp_path, refused):
    geometry = grid((4, 4, 4))
    write_image(tmp_path / "half.nii.gz", noise(geometry)[0], geometry)
    with refused("label-not-whole", "half.nii.gz", "64"):
        read_label(tmp_path / "half.nii.gz")
    nan = blob(geometry).astype(np.float32)
    nan[0, 0, 0] = np.nan
    write_image(tmp_path / "nan.nrrd", nan, geometry)
    with refused("label-not-whole", "nan.nrrd"):
        read_label(tmp_path / "nan.nrrd")
    write_image(tmp_path / "ct.nii.gz", blob(geometry).astype(int) - 1000, geometry)
    with refused("label-negative", "-1000"):
        read_label(tmp_path / "ct.nii.gz")
    write_image(tmp_path / "mr.nii.gz", np.arange(7**3).reshape(7, 7, 7), grid((7, 7, 7)))
    with refused("label-many-values", "343"):
        read_label(tmp_path / "mr.nii.gz")
    write_image(tmp_path / "two.nii.gz", np.stack([blob(geometry), 1 - blob(geometry)]), geometry)
    with refused("label-channels", "2 channels"):
        read_label(tmp_path / "two.nii.gz")


def test_picture_masks_that_are_none(tmp_path, refused):
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[2:4, 2:4, 0] = 255
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "m.png"))
    with refused("label-colours", "m.png"):
        read_label(tmp_path / "m.png")
    grey = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))
    sitk.WriteImage(sitk.GetImageFromArray(grey), str(tmp_path / "m.jpg"))
    with refused("label-lossy", "m.jpg"):
        read_label(tmp_path / "m.jpg")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_with_nan_is_not_taken_for_zeros(tmp_path, refused, name):
    geometry = grid((6, 6, 6))
    image = noise(geometry)[0]
    image[1, 1, :3] = np.nan
    image[2, 2, 0] = np.inf
    write_image(tmp_path / name, image, geometry)
    with refused("image-not-finite", name, "4 voxels"):
        read_image(tmp_path / name)
