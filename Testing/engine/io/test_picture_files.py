"""PNG, JPEG and BMP of every kind that programs write: read right, or refused by their true name."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image, ImageOps

from DALESegmentLib.engine.core.notes import noting
from DALESegmentLib.engine.io.case import CaseSource
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.images import read_image, read_label

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 250, (24, 32)).astype(np.uint8)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_a_picture_is_turned_as_it_is_shown(tmp_path, turn, ending):
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / f"a{ending}"
    Image.fromarray(np.kron(GREY, np.ones((8, 8), np.uint8))).save(path, exif=exif)
    with Image.open(path) as picture:
        shown = np.asarray(ImageOps.exif_transpose(picture))
    with noting() as notes:
        assert np.array_equal(read_image(path)[0][0], shown)
    assert len(notes) == (turn > 1)


@pytest.mark.parametrize("ending", [".png", ".bmp"])
def test_one_bit_and_few_bits(tmp_path, ending):
    mask = GREY > 120
    Image.fromarray(mask).save(tmp_path / f"m{ending}")
    assert np.array_equal(read_label(tmp_path / f"m{ending}")[0], mask)
    assert np.array_equal(read_image(tmp_path / f"m{ending}")[0][0] > 0, mask)


def test_grey_of_two_bits_means_0_to_3_in_a_label(tmp_path):
    values = GREY % 4
    rows = b"".join(
        b"\0" + np.packbits(np.unpackbits(row[:, None], axis=1)[:, -2:].ravel()).tobytes() for row in values
    )

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">2I5B", 32, 24, 2, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "m.png").write_bytes(content)
    assert np.array_equal(read_label(tmp_path / "m.png")[0], values)
    assert np.array_equal(read_image(tmp_path / "m.png")[0][0], values.astype(int) * 85)


def test_transparency_and_sixteen_bits(tmp_path):
    Image.fromarray(np.stack([GREY, GREY], -1), "LA").save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png")[0][0], GREY)
    deep = GREY.astype(np.uint16) * 200
    Image.fromarray(deep).save(tmp_path / "b.png")
    assert np.array_equal(read_image(tmp_path / "b.png")[0][0], deep)
    colours = np.stack([deep, deep // 2, deep // 3], -1)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "c.png"))
    assert np.array_equal(read_image(tmp_path / "c.png")[0], np.moveaxis(colours, -1, 0))


def test_pictures_that_are_refused(tmp_path, refused):
    Image.new("CMYK", (32, 24), (10, 20, 30, 40)).save(tmp_path / "a.jpg")
    with refused("picture-colours", "a.jpg", "CMYK"):
        read_image(tmp_path / "a.jpg")
    frames = [Image.fromarray(GREY + n) for n in range(3)]
    frames[0].save(tmp_path / "b.png", save_all=True, append_images=frames[1:])
    with refused("picture-film", "b.png", "3 pictures"):
        read_image(tmp_path / "b.png")
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:])
    with refused("unknown-format", "c.gif", "PNG"):
        read_image(tmp_path / "c.gif")
    black = np.zeros_like(GREY)
    Image.fromarray(np.stack([black, black, black, GREY], -1), "RGBA").save(tmp_path / "d.png")
    with refused("picture-colours", "d.png", "transparency"):
        read_label(tmp_path / "d.png")


@pytest.mark.parametrize(("made", "called"), [("JPEG", ".png"), ("PNG", ".jpg"), ("TIFF", ".png"), ("PNG", ".tif")])
def test_the_content_counts_and_not_the_ending(tmp_path, refused, made, called):
    path = tmp_path / f"a{called}"
    Image.fromarray(GREY).save(path, format=made)
    with Image.open(path) as picture:
        assert np.array_equal(read_image(path)[0][0], np.asarray(picture))
    path.write_bytes(path.read_bytes()[:-40])
    with refused("unreadable-file", path.name):
        read_image(path)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_tiff_is_turned_as_it_is_shown(tmp_path, turn):
    tifffile.imwrite(tmp_path / "a.tif", GREY, extratags=[(274, "H", 1, turn, True)])
    stored = Image.fromarray(GREY)
    stored.getexif()[0x0112] = turn
    assert np.array_equal(read_image(tmp_path / "a.tif")[0][0], np.asarray(ImageOps.exif_transpose(stored)))


def test_a_mask_that_shows_0_as_white_is_told_of(tmp_path):
    numbers = (GREY > 100).astype(np.uint8)
    picture = Image.fromarray(numbers).convert("P")
    picture.putpalette([255, 255, 255, 0, 0, 0])
    picture.save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", numbers, photometric="miniswhite")
    for name in ("a.png", "b.tif"):
        with noting() as notes:
            assert np.array_equal(read_label(tmp_path / name)[0], numbers)
        assert "as white" in notes[0]


@pytest.mark.parametrize("turned", ["image.jpg", "image_mask.png"])
def test_a_picture_that_was_turned_without_its_mask(tmp_path, refused, turned):
    rng = np.random.default_rng(0)
    pixels = {"image.jpg": rng.integers(0, 255, (20, 30)), "image_mask.png": rng.integers(0, 2, (20, 30))}
    for name, values in pixels.items():
        exif = Image.Exif()
        exif[0x0112] = 6 if name == turned else 1
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / name, exif=exif)
    source = CaseSource("case", (tmp_path / "image.jpg",), tmp_path / "image_mask.png")
    other = next(name for name in pixels if name != turned)
    with refused("geometry-mismatch", f"{turned} was turned", f"turn {other} in the same way"):
        read_case(source)


def test_a_mask_of_another_size_that_nobody_turned(tmp_path, refused):
    for name, shape in (("image.png", (20, 30)), ("image_mask.png", (30, 20))):
        Image.fromarray(np.arange(600, dtype=np.uint8).reshape(shape) % 2).save(tmp_path / name)
    with refused("geometry-mismatch", "do not lie on the same voxels"):
        read_case(CaseSource("case", (tmp_path / "image.png",), tmp_path / "image_mask.png"))
