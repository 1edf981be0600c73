"""NIfTI, Analyze and FreeSurfer files of every kind that programs write: read right, or refused by their true name."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from DALESegmentLib.engine.core.notes import noting
from DALESegmentLib.engine.io.images import read_image, read_label

RANDOM = np.random.default_rng(0)
VOLUME = RANDOM.integers(0, 1000, (5, 6, 7)).astype(np.int16)  # k, j, i
LABEL = np.zeros(VOLUME.shape, np.uint8)
LABEL[1:4, 2:5, 2:6] = 1
LABEL[2, 3:5, 3:5] = 2


def nifti(path, array, affine=None, kind=nibabel.Nifti1Image, change=None):
    """array: k, j, i. affine None: no place."""
    image = kind(array.T, affine)
    if change is not None:
        change(image)
    nibabel.save(image, path)
    return path


def turned(degrees: float, spacing=(1.0, 2.0, 3.0)) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:2, :2] = [[c, -s], [s, c]]
    affine[:3, :3] = affine[:3, :3] @ np.diag(spacing)
    affine[:3, 3] = 4, 5, 6
    return affine


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_both_versions_of_nifti(tmp_path, refused, kind, ending):
    path = nifti(tmp_path / f"a{ending}", VOLUME, turned(20), kind)
    image, geometry = read_image(path)
    assert np.array_equal(image[0], VOLUME)
    assert np.allclose(geometry.ijk_to_ras(), turned(20), atol=1e-5)
    path.write_bytes(path.read_bytes()[:-30])
    with refused("unreadable-file"):
        read_image(path)


@pytest.mark.parametrize(
    ("codes", "taken"), [((0, 2), "s"), ((1, 0), "q"), ((1, 1), "s"), ((1, 2), "q"), ((2, 1), "s"), ((4, 4), "q")]
)
def test_sform_and_qform_count_as_in_itk(tmp_path, codes, taken):
    def both(image):
        image.set_qform(turned(10), codes[0])
        image.set_sform(turned(-25), codes[1])

    path = nifti(tmp_path / "a.nii", VOLUME, None, change=both)
    with noting() as notes:
        geometry = read_image(path)[1]
    assert np.allclose(geometry.ijk_to_ras(), turned(10 if taken == "q" else -25), atol=1e-5)
    assert np.allclose(geometry.direction, sitk.ReadImage(str(path)).GetDirection(), atol=1e-5)
    assert len(notes) == (min(codes) > 0)


def test_the_spacing_of_the_sform_counts(tmp_path):
    def sform(image):
        image.set_qform(None, 0)
        image.set_sform(np.diag([0.8, 0.8, 5, 1]), 1)
        image.header["pixdim"][1:4] = 1

    assert read_image(nifti(tmp_path / "a.nii.gz", VOLUME, None, change=sform))[1].spacing == pytest.approx(
        (0.8, 0.8, 5)
    )


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000), ("mm", 1), ("micron", 0.001)])
def test_units(tmp_path, unit, factor):
    path = nifti(tmp_path / "a.nii", VOLUME, turned(0), change=lambda i: i.header.set_xyzt_units(unit))
    geometry = read_image(path)[1]
    assert np.allclose(geometry.spacing, np.array((1, 2, 3)) * factor)
    assert np.allclose(geometry.origin, np.array((-4, -5, 6)) * factor)


def test_no_place_and_no_spacing(tmp_path, refused):
    with noting() as notes:
        geometry = read_image(nifti(tmp_path / "a.nii", VOLUME))[1]
    assert geometry.direction == tuple(np.eye(3).ravel())
    assert len(notes) == 1

    def nothing(image):
        image.header["pixdim"][1:4] = 1, 0, 1

    with refused("bad-geometry", "b.nii", "size 0"):
        read_image(nifti(tmp_path / "b.nii", VOLUME, change=nothing))


def test_a_sheared_sform_beside_a_good_qform(tmp_path, refused):
    sheared = np.eye(4)
    sheared[0, 1] = 0.4

    def both(image):
        image.set_sform(sheared, 1)
        image.set_qform(turned(10), 1)

    geometry = read_image(nifti(tmp_path / "a.nii", VOLUME, None, change=both))[1]
    assert np.allclose(geometry.ijk_to_ras(), turned(10), atol=1e-5)

    def alone(image):
        image.set_sform(sheared, 1)
        image.set_qform(None, 0)

    with refused("file-axes", "b.nii"):
        read_image(nifti(tmp_path / "b.nii", VOLUME, None, change=alone))


@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.int8])
def test_labels_that_are_whole_but_for_rounding(tmp_path, kind):
    """nibabel spreads fractions over whole numbers, with a slope."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(kind)
    for most in (2, 7):
        array = LABEL * (most / 2)
        array = np.rint(array)
        nibabel.save(nibabel.Nifti1Image(array.T.astype(float), np.eye(4), header), tmp_path / "a.nii.gz")
        assert np.array_equal(read_label(tmp_path / "a.nii.gz")[0], array)


def test_fractions_are_no_label(tmp_path, refused):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(RANDOM.random((7, 6, 5)), np.eye(4), header), tmp_path / "a.nii.gz")
    with refused("label-not-whole", "a.nii.gz"):
        read_label(tmp_path / "a.nii.gz")
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert np.allclose(read_image(tmp_path / "a.nii.gz")[0][0], image.get_fdata().T, rtol=1e-6)
    sitk.WriteImage(sitk.GetImageFromArray(LABEL * np.float32(1.0000001)), str(tmp_path / "b.nrrd"))
    assert np.array_equal(read_label(tmp_path / "b.nrrd")[0], LABEL)


def test_a_fourth_and_fifth_axis(tmp_path, refused):
    four = np.stack([VOLUME, VOLUME + 1])
    assert np.array_equal(read_image(nifti(tmp_path / "a.nii", four, np.eye(4)))[0], four)
    vectors = four[:, None]
    assert np.array_equal(read_image(nifti(tmp_path / "b.nii", vectors, np.eye(4)))[0], four)
    assert np.array_equal(read_image(nifti(tmp_path / "f.nii", VOLUME[None, None, None], np.eye(4)))[0][0], VOLUME)
    with refused("several-times", "c.nii", "7 × 6 × 5 × 2 × 2"):
        read_image(nifti(tmp_path / "c.nii", np.stack([four, four]), np.eye(4)))
    film = np.stack([VOLUME] * 30)

    def timed(image):
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = 2

    with refused("several-times", "d.nii", "30 volumes"):
        read_image(nifti(tmp_path / "d.nii", film, np.eye(4), change=timed))
    with noting() as notes:
        assert read_image(nifti(tmp_path / "e.nii", four, np.eye(4), change=timed))[0].shape == four.shape
    assert "channels" in notes[0]


def test_colours_and_complex_numbers_in_nifti(tmp_path, refused):
    rgb = np.zeros((7, 6, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["G"] = 7
    nibabel.save(nibabel.Nifti1Image(rgb, np.eye(4)), tmp_path / "a.nii")
    image = read_image(tmp_path / "a.nii")[0]
    assert image.shape == (3, 5, 6, 7)
    assert [image[n].max() for n in range(3)] == [0, 7, 0]
    nibabel.save(nibabel.Nifti1Image(np.ones((7, 6, 5), np.complex64), np.eye(4)), tmp_path / "b.nii")
    with refused("voxel-kind", "b.nii", "complex"):
        read_image(tmp_path / "b.nii")


def test_zipped_and_not_under_the_other_name(tmp_path):
    whole = nifti(tmp_path / "a.nii", VOLUME, np.eye(4)).read_bytes()
    (tmp_path / "b.nii").write_bytes(gzip.compress(whole))
    (tmp_path / "c.nii.gz").write_bytes(whole)
    for name in ("b.nii", "c.nii.gz"):
        assert np.array_equal(read_image(tmp_path / name)[0][0], VOLUME)


def test_freesurfer_and_analyze(tmp_path, refused):
    nifti(tmp_path / "a.mgz", VOLUME.astype(np.int32), turned(20), nibabel.MGHImage)
    image, geometry = read_image(tmp_path / "a.mgz")
    assert np.array_equal(image[0], VOLUME)
    assert np.allclose(geometry.ijk_to_ras(), turned(20), atol=1e-4)
    nifti(tmp_path / "b.hdr", VOLUME, None, nibabel.AnalyzeImage)
    with noting() as notes:
        assert np.array_equal(read_image(tmp_path / "b.hdr")[0][0], VOLUME)
    assert "left, posterior" in notes[0]
    nifti(tmp_path / "c.hdr", VOLUME, turned(20), nibabel.Nifti1Pair)
    assert np.allclose(read_image(tmp_path / "c.hdr")[1].ijk_to_ras(), turned(20), atol=1e-5)
    with refused("unknown-format", "c.img", ".hdr"):
        read_image(tmp_path / "c.img")
    (tmp_path / "c.img").unlink()
    with refused("unreadable-file", "c.hdr", "missing"):
        read_image(tmp_path / "c.hdr")


def test_units_that_stand_for_nothing_are_unknown(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([1.0, 2.0, 3.0, 1.0]))
    image.header["xyzt_units"] = 4
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert np.allclose(read_image(tmp_path / "a.nii.gz")[1].spacing, (1.0, 2.0, 3.0))
