"""TIFF of every kind that programs write: read right, or refused by its true name."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from DALESegmentLib.engine.core.notes import noting
from DALESegmentLib.engine.io.images import read_image, read_label

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 250, (24, 32)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
def test_tiff_of_every_kind_of_number(tmp_path, kind):
    array = RANDOM.integers(0, 100, (24, 32)).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", array)
    assert np.array_equal(read_image(tmp_path / "a.tif")[0][0], array)
    tifffile.imwrite(tmp_path / "m.tif", array > 50)
    assert np.array_equal(read_label(tmp_path / "m.tif")[0], array > 50)


def test_indexed_colours_are_colours_of_an_image_and_numbers_of_a_label(tmp_path):
    index = GREY % 4
    table = np.zeros((3, 256), np.uint16)
    table[:, :4] = np.array([[0, 255, 0, 0], [0, 0, 255, 0], [0, 0, 0, 255]]) * 257
    tifffile.imwrite(tmp_path / "a.tif", index, photometric="palette", colormap=table)
    picture = Image.fromarray(index, "P")
    picture.putpalette((table[:, :4].T // 257).astype(np.uint8).tobytes())
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "a.bmp")
    for name in ("a.tif", "a.png", "a.bmp"):
        image = read_image(tmp_path / name)[0]
        assert image.shape == (3, 24, 32)
        assert np.array_equal(image[1] > 0, index == 2)
        assert np.array_equal(read_label(tmp_path / name)[0], index)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    ("samples", "extra"), [(2, ["unspecified"]), (4, ["unspecified"] * 3), (5, ["unspecified"] * 4)]
)
def test_tiff_samples_are_channels(tmp_path, planar, samples, extra):
    array = RANDOM.integers(0, 999, (samples, 24, 32)).astype(np.uint16)
    stored = array if planar == "separate" else np.moveaxis(array, 0, -1)
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar, extrasamples=extra, tile=(16, 16)
    )
    assert np.array_equal(read_image(tmp_path / "a.tif")[0], array)


def test_tiff_transparency_is_dropped(tmp_path):
    colours = RANDOM.integers(0, 255, (24, 32, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", extrasamples=["unassalpha"])
    assert np.array_equal(read_image(tmp_path / "a.tif")[0], np.moveaxis(colours, -1, 0)[:3])


@pytest.mark.parametrize("program", [{"imagej": True}, {"ome": True}])
def test_channels_and_slices_by_the_names_of_the_axes(tmp_path, refused, program):
    def written(array, axes):
        if "imagej" in program:  # which has an order of its own
            order = [axes.index(axis) for axis in "TZCYX" if axis in axes]
            array, axes = array.transpose(order), "".join(axes[n] for n in order)
        tifffile.imwrite(tmp_path / "a.tif", array, metadata={"axes": axes}, **program)
        return tmp_path / "a.tif"

    array = RANDOM.integers(0, 999, (3, 5, 24, 32)).astype(np.uint16)  # channels, slices
    assert np.array_equal(read_image(written(array, "CZYX"))[0], array)
    assert np.array_equal(read_image(written(array[:, 0], "CYX"))[0], array[:, 0])
    assert np.array_equal(read_image(written(array[0], "ZYX"))[0][0], array[0])
    assert np.array_equal(read_image(written(array[:1, :, None].transpose(2, 1, 0, 3, 4), "TZCYX"))[0][0], array[0])
    with refused("tiff-axes", "a.tif", "5 time points"):
        read_image(written(array[0], "TYX"))


def test_pages_whose_meaning_nobody_knows(tmp_path, refused):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 3, 24, 32), np.uint16), photometric="minisblack")
    with refused("tiff-axes", "a.tif", "5 × 3"):
        read_image(tmp_path / "a.tif")
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(GREY)
        file.write(GREY[:, :20])
    with refused("tiff-pages", "b.tif", "different sizes"):
        read_image(tmp_path / "b.tif")


@pytest.mark.parametrize("sub", [True, False])
def test_a_pyramid_gives_its_largest_level(tmp_path, sub):
    levels = [np.tile(GREY, (4, 4)), np.tile(GREY, (2, 2)), GREY]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(levels[0], subifds=2 if sub else 0)
        for level in levels[1:]:
            file.write(level, subfiletype=1)
    with noting() as notes:
        assert np.array_equal(read_image(tmp_path / "a.tif")[0][0], levels[0])
    assert "largest level" in notes[0]


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "jpeg", "zstd", "jpeg2000"])
def test_compressed_tiff(tmp_path, compression):
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression=compression)
    assert np.array_equal(read_image(tmp_path / "a.tif")[0][0], tifffile.imread(tmp_path / "a.tif"))


def test_without_a_codec_another_library_or_a_sentence(tmp_path, refused, monkeypatch):
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "lzw.tif", GREY, compression="lzw")
    tifffile.imwrite(tmp_path / "jxl.tif", GREY, compression="jpegxl")

    def missing(self, **options):
        raise ValueError("requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", missing)
    assert np.array_equal(read_image(tmp_path / "lzw.tif")[0][0], GREY)
    with refused("missing-codec", "jxl.tif", "pip install imagecodecs"):
        read_image(tmp_path / "jxl.tif")


def test_kinds_of_tiff_that_are_refused(tmp_path, refused):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((24, 32, 4), np.uint8), photometric="separated")
    with refused("picture-colours", "a.tif", "CMYK"):
        read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((24, 32), np.complex64))
    with refused("voxel-kind", "b.tif", "complex64"):
        read_image(tmp_path / "b.tif")


def test_ome_that_names_other_files(tmp_path, refused):
    """Its other half lies in a second file."""
    array = RANDOM.integers(0, 999, (2, 24, 32)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "b.ome.tif", array[1], ome=True)
    tifffile.imwrite(tmp_path / "a.ome.tif", array[0], ome=True)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        other = tifffile.TiffFile(tmp_path / "b.ome.tif")
        uuid = other.ome_metadata.split('UUID="urn:uuid:')[1].split('"')[0]
        text = file.ome_metadata.replace('SizeZ="1"', 'SizeZ="2"')
        second = (
            f'<TiffData IFD="0" FirstZ="1" PlaneCount="1"><UUID FileName="b.ome.tif">urn:uuid:{uuid}</UUID></TiffData>'
        )
        text = text.replace("</Pixels>", second + "</Pixels>")
        other.close()
    tifffile.tiffcomment(tmp_path / "a.ome.tif", text.encode())
    with refused("leads-out", "a.ome.tif"):
        read_image(tmp_path / "a.ome.tif")
