"""DICOM folders as scanners and archives leave them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from grids import grid, turned

from DALESegmentLib.engine.io.images import read_image

GEOMETRY = grid((12, 10, 6), (0.7, 0.9, 2.5), (-40.0, 12.0, 100.0), turned((0.2, 0.3, 0.1)))
VOXELS = np.random.default_rng(0).integers(-1000, 1000, GEOMETRY.array_shape).astype(np.int16)


def write_slices(folder, positions=None, series="1", geometry=GEOMETRY, voxels=VOXELS) -> None:
    """One file a slice, in shuffled names, at the given fractional slice positions."""
    folder.mkdir(exist_ok=True)
    direction = np.array(geometry.direction).reshape(3, 3)
    positions = range(len(voxels)) if positions is None else positions
    for n, (where, pixels) in enumerate(zip(positions, voxels, strict=False)):
        slice_ = sitk.GetImageFromArray(pixels)
        slice_.SetSpacing(geometry.spacing[:2])
        place = geometry.origin + direction[:, 2] * geometry.spacing[2] * where
        tags = {
            "0008|0060": "CT",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.1",
            "0020|000e": f"1.2.826.0.1.3680043.2.1125.1.{series}",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.1.{series}.{n + 1}",
            "0020|0013": str(n + 1),
            "0020|0032": "\\".join(f"{x:.8f}" for x in place),
            "0020|0037": "\\".join(f"{x:.8f}" for x in np.concatenate([direction[:, 0], direction[:, 1]])),
            "0018|0050": str(geometry.spacing[2]),
        }
        for key, value in tags.items():
            slice_.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{series}_{(7 * n) % 11:02}.dcm"))
        writer.Execute(slice_)


@pytest.fixture
def series(tmp_path):
    write_slices(tmp_path / "ct")
    return tmp_path / "ct"


def test_a_series_is_one_volume(series):
    image, geometry = read_image(series)
    assert np.array_equal(image[0], VOXELS)
    assert geometry.difference(GEOMETRY) is None
    assert np.allclose(geometry.spacing, GEOMETRY.spacing, rtol=1e-5)
    assert np.allclose(geometry.direction, GEOMETRY.direction, atol=1e-5)


def test_names_need_no_ending_and_other_files_do_no_harm(series):
    for path in list(series.iterdir()):
        path.rename(series / path.stem)
    (series / "notes.txt").write_text("x")
    assert np.array_equal(read_image(series)[0][0], VOXELS)


def test_one_file(series):
    image, _ = read_image(sorted(series.iterdir())[0])
    assert np.array_equal(image[0, 0], VOXELS[0])


def test_missing_slice(series, refused):
    order = sorted(series.iterdir(), key=lambda p: sitk.ReadImage(str(p)).GetOrigin()[2])
    order[3].unlink()
    with refused("dicom-spacing", "ct", "2.5 to 5 mm"):
        read_image(series)


def test_uneven_and_double_slices(tmp_path, refused):
    write_slices(tmp_path / "uneven", [0, 1, 2, 3.2, 4, 5])
    with refused("dicom-spacing", "uneven"):
        read_image(tmp_path / "uneven")
    write_slices(tmp_path / "echoes", [0, 1, 2, 2, 3, 4])
    with refused("dicom-spacing", "same position"):
        read_image(tmp_path / "echoes")


def test_several_series(series, tmp_path, refused):
    write_slices(series, [0], series="2")
    assert np.array_equal(read_image(series)[0][0], VOXELS)  # a scout does not matter
    write_slices(series, range(5), series="3")
    with refused("dicom-several", "3 DICOM series", "6, 5, 1 slices"):
        read_image(series)


def test_no_dicom_and_damaged_dicom(series, tmp_path, refused):
    (tmp_path / "empty").mkdir()
    with refused("dicom-none", "empty"):
        read_image(tmp_path / "empty")
    path = max(series.iterdir(), key=lambda p: sitk.ReadImage(str(p)).GetOrigin()[2])
    path.write_bytes(path.read_bytes()[:-60])
    with refused("unreadable-file", path.name):
        read_image(series)
    shutil.copy(path, tmp_path / "one.dcm")
    with refused("unreadable-file", "one.dcm"):
        read_image(tmp_path / "one.dcm")
