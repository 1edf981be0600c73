"""A disk that takes only half of a file: said in a sentence, and nothing half is left behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from grids import blob, grid, noise

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.array_cases import load_array_case, save_array_case
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.io.images import read_image, write_image
from DALESegmentLib.engine.io.integrity import is_complete
from DALESegmentLib.engine.io.segmentations import Segment, from_masks, write_segmentation

MEDICAL = (".nii", ".nii.gz", ".nrrd", ".mha")
ROOM = 200  # kB


@pytest.fixture
def small_disk(tmp_path):
    """A real file system with room for ROOM."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, encoding="utf-8")
    except OSError as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_files():
    """The system's own limit on a file's size, for where nothing can be mounted."""
    resource = pytest.importorskip("resource", reason="limits are POSIX")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM * 1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("extension", [*MEDICAL, ".tiff"])
def test_a_full_disk_is_told_and_leaves_no_half_file(small_disk, refused, extension):
    geometry = grid((40, 40, 40))
    with refused("disk-full", f"a{extension}"):
        write_image(small_disk / f"a{extension}", noise(geometry)[0], geometry)
    assert not list(small_disk.iterdir())


def test_a_picture_too(small_disk, refused):
    geometry = grid((400, 600))
    picture = np.random.default_rng(0).integers(0, 255, geometry.array_shape).astype(np.uint8)
    with refused("disk-full", "a.png"):
        write_image(small_disk / "a.png", picture, geometry)
    assert not list(small_disk.iterdir())


def test_a_segmentation_too(small_disk, refused):
    geometry = grid((120, 120, 120))
    mask = np.random.default_rng(0).random(geometry.array_shape) > 0.5
    with refused("disk-full", "a.seg.nrrd"):
        write_segmentation(small_disk / "a.seg.nrrd", from_masks([mask], [Segment("a", "a")], geometry))
    assert not list(small_disk.iterdir())


def test_an_array_case_too(small_disk, refused):
    geometry = grid((40, 40, 40))
    with refused("disk-full", "image.npy"):
        save_array_case(Case("a", noise(geometry), geometry, blob(geometry)), small_disk / "case")
    assert not list((small_disk / "case").iterdir())


def written(target: Path, image: np.ndarray, geometry: Geometry) -> str:
    """The code of what is said, or "whole" for a file that reads back as it was."""
    try:
        if target.name == "image.npy":
            save_array_case(Case("a", image, geometry), target.parent)
            back = load_array_case(target.parent).image
        else:
            write_image(target, image[0], geometry)
            back = read_image(target)[0]
    except EngineError as error:
        return error.code
    return "whole" if np.array_equal(back, image) else "spoiled"


@pytest.mark.parametrize("name", [*(f"a{extension}" for extension in (*MEDICAL, ".tiff")), "image.npy"])
def test_wherever_it_ends_a_file_is_whole_or_not_there(small_disk, name):
    """With room for 0, 1, 2, ... blocks, until it fits."""
    geometry = grid((20, 20, 20))
    image = noise(geometry)
    blocks, outcomes = 0, []
    while "whole" not in outcomes and blocks < 20:
        (small_disk / "filler").write_bytes(bytes((ROOM // 4 - blocks) * 4096))
        outcomes.append(written(small_disk / name, image, geometry))
        assert not [path for path in small_disk.iterdir() if path.name.startswith(".")]
        assert outcomes[-1] == "whole" or name == "image.npy" or not (small_disk / name).exists()
        for path in small_disk.iterdir():
            path.unlink()
        blocks += 1
    assert len(outcomes) > 5
    assert outcomes == ["disk-full"] * (len(outcomes) - 1) + ["whole"]


def test_the_old_file_outlives_a_full_disk(small_disk, refused):
    old, large = grid((20, 20, 20)), grid((40, 40, 40))
    write_image(small_disk / "a.nii.gz", noise(old)[0], old)
    before = (small_disk / "a.nii.gz").read_bytes()
    with refused("disk-full", "a.nii.gz"):
        write_image(small_disk / "a.nii.gz", noise(large)[0], large)
    assert (small_disk / "a.nii.gz").read_bytes() == before
    assert os.listdir(small_disk) == ["a.nii.gz"]


@pytest.mark.parametrize("extension", [*MEDICAL, ".tiff"])
def test_so_is_a_limit_on_the_size_of_files(small_files, tmp_path, refused, extension):
    geometry = grid((40, 40, 40))
    with refused("cannot-write", f"a{extension}"):
        write_image(tmp_path / f"a{extension}", noise(geometry)[0], geometry)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("extension", [*MEDICAL, ".tiff"])
def test_voxels_without_a_number_are_no_half_file(tmp_path, extension):
    geometry = grid((5, 4, 3))
    image = noise(geometry)[0]
    image[0, 0, :2] = np.nan, np.inf
    write_image(tmp_path / f"a{extension}", image, geometry)
    assert is_complete(tmp_path / f"a{extension}")


def test_an_impossible_place_is_told_in_a_sentence(tmp_path: Path, refused):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / ("x" * 300)):
        with refused("cannot-write", "a.nii.gz"):
            write_image(folder / "a.nii.gz", np.zeros((3, 3, 3), np.uint8), grid((3, 3, 3)))
