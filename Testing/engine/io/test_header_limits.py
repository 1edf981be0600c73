"""Headers that ITK would believe: refused before room is made for what they say."""

from __future__ import annotations

import gzip
import os
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from grids import blob, grid

from DALESegmentLib.engine.io.images import read_image, read_label, write_image

META = (
    "ObjectType = Image\nNDims = {axes}\nBinaryData = True\nCompressedData = False\n"
    "DimSize = {sizes}\nElementType = MET_UCHAR\nElementDataFile = {file}\n"
)
NRRD = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: {file}\n\n"


@pytest.mark.parametrize("axes", ["-3", "0", "50", "three", ""])
def test_axes_that_would_crash_the_reader(tmp_path, refused, axes):
    (tmp_path / "a.mha").write_bytes(META.format(axes=axes, sizes="2 2 2", file="LOCAL").encode() + bytes(8))
    with refused("unreadable-file", "a.mha"):
        read_image(tmp_path / "a.mha")


def test_a_size_of_nothing(tmp_path, refused):
    (tmp_path / "a.mha").write_bytes(META.format(axes=3, sizes="0 2 2", file="LOCAL").encode() + bytes(8))
    with refused("image-empty", "a.mha"):
        read_image(tmp_path / "a.mha")


@pytest.mark.parametrize("elsewhere", ["/etc/hostname", "../secret.raw", "sub/../../secret.raw", "C:\\secret.raw"])
@pytest.mark.parametrize(("name", "header"), [("a.mha", META), ("a.mhd", META), ("a.nrrd", NRRD), ("a.nhdr", NRRD)])
def test_voxels_are_never_taken_from_elsewhere(tmp_path, refused, name, header, elsewhere):
    (tmp_path / "secret.raw").write_bytes(bytes(range(8)))
    (tmp_path / "case").mkdir()
    path = tmp_path / "case" / name
    path.write_text(header.format(axes=3, sizes="2 2 2", file=elsewhere))
    with refused("leads-out", name):
        read_image(path)


@pytest.mark.parametrize(
    "several", ["%s%s%s", "%n%n", "a%d.raw 1 8 0", "a%03d.raw 1 2 1", "LIST", "LIST 2\n/etc/hostname"]
)
@pytest.mark.parametrize(("name", "header"), [("a.mha", META), ("a.mhd", META), ("a.nrrd", NRRD), ("a.nhdr", NRRD)])
def test_no_pattern_of_files_gets_to_the_reader(tmp_path, refused, name, header, several):
    """MetaIO takes it for a format of printf: the whole process goes."""
    (tmp_path / name).write_text(header.format(axes=3, sizes="2 2 2", file=several))
    with refused("voxels-in-parts", name):
        read_image(tmp_path / name)


def test_only_the_header_counts_and_its_names_in_capitals_too(tmp_path, refused):
    header = META.format(axes=3, sizes="2 2 2", file="%s%s%s")
    (tmp_path / "a.mha").write_bytes(header.encode() + b"\nElementDataFile = LOCAL\n" + bytes(8))
    with refused("voxels-in-parts", "a.mha"):
        read_image(tmp_path / "a.mha")
    (tmp_path / "b.mha").write_bytes(header.replace("ElementDataFile =", "ElementDataFile:").encode() + header.encode())
    with refused("unreadable-file", "b.mha"):
        read_image(tmp_path / "b.mha")
    (tmp_path / "c.nrrd").write_text(NRRD.format(file="../secret.raw").replace("data file", "Data File"))
    with refused("leads-out", "c.nrrd"):
        read_image(tmp_path / "c.nrrd")


@pytest.mark.parametrize(("name", "header"), [("a.mhd", META), ("a.nhdr", NRRD)])
def test_voxels_beside_the_header_are_read(tmp_path, name, header):
    (tmp_path / "a.raw").write_bytes(bytes(range(8)))
    (tmp_path / name).write_text(header.format(axes=3, sizes="2 2 2", file="a.raw"))
    assert np.array_equal(read_image(tmp_path / name)[0].ravel(), np.arange(8))


def nifti(size: tuple[int, int, int], offset: float = 352.0) -> bytes:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *size, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)
    struct.pack_into("<8f", header, 76, *(1.0,) * 8)
    struct.pack_into("<f", header, 108, offset)
    header[344:348] = b"n+1\0"
    return bytes(header)


def test_gigabytes_out_of_kilobytes(tmp_path, refused):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(nifti((2000, 2000, 2000)) + bytes(1000)))
    with refused("file-too-large", "a.nii.gz", "8.0 GB"):
        read_image(tmp_path / "a.nii.gz")


def test_more_than_the_header_says(tmp_path, refused):
    rest = gzip.compress(bytes(1 << 24)) * 5
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(nifti((4, 4, 4)) + bytes(range(64))) + rest)
    with refused("unreadable-file", "a.nii.gz"):
        read_image(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("offset", [-1.0, 1e30, float("nan"), float("inf")])
def test_a_place_of_the_voxels_that_cannot_be(tmp_path, refused, offset):
    (tmp_path / "a.nii").write_bytes(nifti((4, 4, 4), offset) + bytes(range(64)))
    with refused("unreadable-file", "a.nii"):
        read_image(tmp_path / "a.nii")


def test_an_empty_mask_of_a_real_size_is_no_bomb(tmp_path):
    """It packs to a thousandth; a mask that holds something, on as many voxels, less so."""
    geometry = grid((300, 300, 200))
    write_image(tmp_path / "a.nii.gz", np.zeros(geometry.array_shape, np.uint8), geometry)
    assert read_label(tmp_path / "a.nii.gz")[0].shape == geometry.array_shape


def test_what_is_no_file(tmp_path, refused):
    os.mkfifo(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to("/dev/zero")
    (tmp_path / "c.nii.gz").symlink_to("c.nii.gz")
    for name in ("a.nii.gz", "b.nii.gz"):
        with refused("not-a-file", name):
            read_image(tmp_path / name)
    with refused("missing-file", "c.nii.gz"):
        read_image(tmp_path / "c.nii.gz")
    with refused("missing-file"):
        read_image(tmp_path / ("x" * 5000 + ".nii.gz"))


def test_a_class_of_billions(tmp_path, refused):
    label = blob(grid((4, 4, 4))).astype(np.int32) * 2_000_000_000
    sitk.WriteImage(sitk.GetImageFromArray(label), str(tmp_path / "a.nrrd"))
    with refused("label-large-value", "a.nrrd"):
        read_label(tmp_path / "a.nrrd")
