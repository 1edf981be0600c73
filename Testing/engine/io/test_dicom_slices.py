"""Series of single slices: what each slice says counts for itself, and what does not belong together is named."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import (
    CAPTURE,
    DISTANCE,
    MR,
    PET,
    SPACING,
    STORAGE,
    dataset,
    items,
    save,
    series,
    slice_at,
    voxels,
    with_pixels,
)
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from DALESegmentLib.engine.core.notes import noting
from DALESegmentLib.engine.io.dicom_pixels import _decodes
from DALESegmentLib.engine.io.images import read_image, read_label

V = voxels()


def by_itk(folder) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_place_and_values_are_those_of_itk(tmp_path, angle):
    row, column = [np.cos(angle), np.sin(angle), 0], [-np.sin(angle) * 0.8, np.cos(angle) * 0.8, -0.6]
    normal = np.cross(row, column)
    places = [[float(x) for x in np.array([3, -7, 11]) + normal * DISTANCE * k] for k in range(len(V))]
    tags = [{"ImagePositionPatient": [f"{x:.6f}" for x in place]} for place in places]
    series(tmp_path / "ct", V, tags=tags, ImageOrientationPatient=[f"{x:.8f}" for x in (*row, *column)])
    image, geometry = read_image(tmp_path / "ct")
    theirs = by_itk(tmp_path / "ct")
    assert np.array_equal(image[0], sitk.GetArrayFromImage(theirs))
    assert np.allclose(geometry.origin, theirs.GetOrigin(), atol=1e-5)
    assert np.allclose(geometry.direction, theirs.GetDirection(), atol=1e-6)
    assert np.allclose(geometry.spacing, theirs.GetSpacing(), atol=1e-5)
    assert geometry.spacing[:2] == (SPACING[1], SPACING[0])


def test_slopes_and_intercepts_of_every_slice(tmp_path):
    slopes, intercepts = [1, 3.7, 3.7, 0.01, 120.5, 2], [0, -1024, 5, 0, 7.25, -3]
    tags = [{"RescaleSlope": str(a), "RescaleIntercept": str(b)} for a, b in zip(slopes, intercepts, strict=True)]
    series(tmp_path / "pet", V, tags=tags, SOPClassUID=PET, Modality="PT")
    wanted = V * np.array(slopes)[:, None, None] + np.array(intercepts)[:, None, None]
    assert np.allclose(read_image(tmp_path / "pet")[0][0], wanted, rtol=1e-6)


def test_signed_and_unsigned_slices_side_by_side(tmp_path):
    folder = tmp_path / "ct"
    for k, kind in enumerate((np.int16, np.uint16, np.int16)):
        pixels = np.full((8, 9), -5 if kind == np.int16 else 60000, kind)
        pixels[0, 0] = 1
        save(slice_at(pixels, k * DISTANCE), folder / f"{k}")
    image = read_image(folder)[0][0]
    assert [float(image[k, 4, 4]) for k in range(3)] == [-5, 60000, -5]


def test_a_table_of_values(tmp_path):
    """A modality LUT in place of slope and intercept."""
    table = np.array([n * n for n in range(256)], np.uint16).tobytes()
    lut = items({"LUTDescriptor": [256, 0, 16], "LUTData": table, "ModalityLUTType": "US"})
    pixels = V[0].astype(np.uint8)
    data = slice_at(pixels, 0, ModalityLUTSequence=lut)
    del data.RescaleSlope, data.RescaleIntercept
    assert np.array_equal(read_image(save(data, tmp_path / "a.dcm"))[0][0, 0], pixels.astype(int) ** 2)


def doubled(folder, **tags) -> None:
    """The stack twice at the same places; tags: pairs of values."""
    for n in range(2):
        own = {name: pair[n] for name, pair in tags.items()}
        data = [{"SOPInstanceUID": generate_uid(), **own} for _ in V]
        series(folder, V + n, f"{n}_", tags=data)


REASONS = [
    ({"TemporalPositionIdentifier": (1, 2)}, "2 time points (1, 2)"),
    ({"EchoTime": ("4.6", "2.3"), "EchoNumbers": (2, 1)}, "2 echo times (ms) (2.3, 4.6)"),
    ({"DiffusionBValue": (0.0, 1000.0)}, "2 b-values"),
    ({"ImageType": (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])}, "2 kinds of image (M, P)"),
    ({"ImageType": (["DERIVED", "PRIMARY", "WATER"], ["DERIVED", "PRIMARY", "FAT"])}, "kinds of image (FAT, WATER)"),
    ({"TriggerTime": ("0", "400")}, "2 cardiac phases"),
    ({"InversionTime": ("100", "900")}, "2 inversion times"),
    ({"StackID": ("1", "2")}, "2 stacks"),
    ({"AcquisitionNumber": (1, 2)}, "2 acquisitions"),
    ({"ConvolutionKernel": ("B30f", "B70f")}, "2 kernels (B30f, B70f)"),
    ({"FrameReferenceTime": ("0", "60000")}, "2 time points"),
    ({"AcquisitionTime": ("101500", "101730")}, "2 acquisition times"),
    ({}, "12 slices at 6 positions"),
]


@pytest.mark.parametrize(("tags", "words"), REASONS)
def test_several_slices_at_one_place_say_why(tmp_path, refused, tags, words):
    doubled(tmp_path / "mr", SOPClassUID=(MR, MR), **tags)
    with refused("dicom-spacing", "same position", words):
        read_image(tmp_path / "mr")


def test_times_that_differ_from_slice_to_slice_are_one_volume(tmp_path):
    series(tmp_path / "ct", V, tags=[{"AcquisitionTime": f"10150{k}", "AcquisitionNumber": k} for k in range(len(V))])
    assert np.array_equal(read_image(tmp_path / "ct")[0][0], V)


@pytest.mark.parametrize(
    ("tag", "words"), [("EchoTime", "2 echo times (ms) (10, 20)"), ("ConvolutionKernel", "2 kernels (B30f, B70f)")]
)
def test_slices_taken_in_different_ways_are_told_of(tmp_path, tag, words):
    first, second = {"EchoTime": ("10", "20"), "ConvolutionKernel": ("B30f", "B70f")}[tag]
    for n, pixels in enumerate(voxels()):
        save(slice_at(pixels, 2.0 * n, **{tag: second if n % 2 else first}), tmp_path / "s" / f"{n}.dcm")
    with noting() as notes:
        read_image(tmp_path / "s")
    assert notes == [f"s: its slices have {words}; they may be parts of several series."]


def test_what_lies_beside_the_slices_is_left_over(tmp_path):
    folder = series(tmp_path / "ct", V)
    for name in ("A1.json", "A2.txt", "A3", "LOCKFILE", ".hidden", "DICOMDIR"):
        (folder / name).write_text("{}")
    for sop in ("66.4", "481.3", "481.2", "88.11", "88.59", "11.1"):
        save(dataset(STORAGE + sop, "OT"), folder / f"A{sop}.dcm")
    (folder / "sub").mkdir()
    assert np.array_equal(read_image(folder)[0][0], V)


def test_scouts_and_screenshots_are_left_over_and_said(tmp_path):
    folder = series(tmp_path / "ct", V)
    series(folder, V[:3], "L", SeriesInstanceUID="1.2.9", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    capture = with_pixels(dataset(CAPTURE, "OT", SeriesInstanceUID="1.2.8"), np.zeros((20, 20, 3), np.uint8))
    save(capture, folder / "capture")
    with noting() as notes:
        assert np.array_equal(read_image(folder)[0][0], V)
    assert notes == ["ct: 4 of 10 DICOM slices are of other series, scouts or screenshots and left over."]


def test_a_scout_within_the_series_is_left_over(tmp_path):
    folder = series(tmp_path / "ct", V)
    save(slice_at(V[0], 0, ImageOrientationPatient=[0.0, 1, 0, 0, 0, -1], SOPInstanceUID="1.9"), folder / "scout")
    with noting() as notes:
        assert np.array_equal(read_image(folder)[0][0], V)
    assert len(notes) == 1


def test_mixed_series_are_refused_by_name(tmp_path, refused):
    folder = series(tmp_path / "sizes", V)
    series(folder, voxels(6, 20, 20), "B", tags=[{"SOPInstanceUID": generate_uid()} for _ in V])
    with refused("dicom-mixed", "different sizes", "6, 6"):
        read_image(folder)
    folder = tmp_path / "patients"
    series(folder, V[:3])
    for k in range(3, 6):
        save(slice_at(V[k], k * DISTANCE, PatientID="y"), folder / f"y{k}")
    with refused("dicom-mixed", "different patients"):
        read_image(folder)
    folder = series(tmp_path / "shown", V)
    save(slice_at(V[0], DISTANCE * 6, PhotometricInterpretation="MONOCHROME1"), folder / "inverse")
    with refused("dicom-mixed", "shown differently"):
        read_image(folder)


def test_copies_of_files_count_once(tmp_path):
    folder = series(tmp_path / "ct", V)
    for path in list(folder.iterdir()):
        shutil.copy(path, folder / f"{path.stem} (1).dcm")
    assert np.array_equal(read_image(folder)[0][0], V)


def test_slices_without_a_place(tmp_path, refused):
    folder = tmp_path / "photos"
    for k in range(3):
        save(with_pixels(dataset(CAPTURE, "OT"), V[k]), folder / f"{k}")
    with refused("dicom-spacing", "photos", "where they lie"):
        read_image(folder)
    only = save(with_pixels(dataset(STORAGE + "1", "CR", ImagerPixelSpacing=[0.1, 0.2]), V[0]), tmp_path / "x.dcm")
    image, geometry = read_image(only)
    assert np.array_equal(image[0, 0], V[0])
    assert geometry.spacing == (0.2, 0.1, 1.0)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_other_ways_to_store(tmp_path, syntax):
    folder = tmp_path / "ct"
    for k, pixels in enumerate(V):
        data = slice_at(pixels, k * DISTANCE)
        data.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            data.PixelData = pixels.byteswap().tobytes()
        (folder).mkdir(exist_ok=True)
        pydicom.dcmwrite(
            folder / f"{k}",
            data,
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=syntax != ExplicitVRBigEndian,
            enforce_file_format=True,
        )
    assert np.array_equal(read_image(folder)[0][0], V)


def test_compressed_slices_beside_plain_ones(tmp_path):
    folder = series(tmp_path / "ct", V)
    for path in sorted(folder.iterdir())[::2]:
        data = pydicom.dcmread(path)
        data.compress(RLELossless, generate_instance_uid=False)
        data.save_as(path)
    assert np.array_equal(read_image(folder)[0][0], V)


def test_a_way_to_compress_that_nothing_here_knows(tmp_path, refused):
    data = slice_at(V[0], 0)
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.203"  # High-Throughput JPEG 2000
    if _decodes(data.file_meta.TransferSyntaxUID):
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.94"  # JPIP
    data.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f" + bytes(60)])
    with refused("dicom-compression", "a.dcm", "gdcmconv"):
        read_image(save(data, tmp_path / "a.dcm"))
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    with refused("dicom-video", "MPEG-4"):
        read_image(save(data, tmp_path / "film.dcm"))


def test_colours_and_indexed_colours(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (9, 8, 3)).astype(np.uint8)
    save(with_pixels(dataset(CAPTURE, "OT"), pixels), tmp_path / "rgb.dcm")
    assert np.array_equal(read_image(tmp_path / "rgb.dcm")[0][:, 0], np.moveaxis(pixels, -1, 0))
    index = np.arange(72, dtype=np.uint8).reshape(9, 8) % 4
    data = with_pixels(dataset(CAPTURE, "OT"), index)
    data.PhotometricInterpretation = "PALETTE COLOR"
    for n, colour in enumerate(("Red", "Green", "Blue")):
        table = (np.arange(256) * 256 * (n + 1) % 65536).astype(np.uint16)
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(data, f"{colour}PaletteColorLookupTableData", table.tobytes())
    save(data, tmp_path / "palette.dcm")
    image, _ = read_image(tmp_path / "palette.dcm")
    assert image.shape == (3, 1, 9, 8)
    assert np.array_equal(image[1, 0], index.astype(int) * 512)
    assert np.array_equal(read_label(tmp_path / "palette.dcm")[0][0], index)


def test_drawings_in_the_upper_bits_are_no_pixels(tmp_path):
    pixels = (V[0].astype(np.uint16) & 0x0FFF) | 0x4000
    data = slice_at(pixels, 0)
    data.BitsStored, data.HighBit = 12, 11
    data.add_new((0x6000, 0x0100), "US", 16)
    data.add_new((0x6000, 0x0102), "US", 14)
    assert np.array_equal(read_image(save(data, tmp_path / "a.dcm"))[0][0, 0], V[0] & 0x0FFF)


def test_other_kinds_of_dicom_are_called_by_their_names(tmp_path, refused):
    for sop, words in (
        ("66.4", "a DICOM segmentation"),
        ("481.3", "an RTSTRUCT"),
        ("481.2", "an RTDOSE"),
        ("481.5", "an RTPLAN"),
        ("88.33", "a DICOM report"),
        ("88.59", "key images"),
        ("11.1", "presentation state"),
        ("104.1", "a DICOM document"),
    ):
        with refused("not-an-image", "a.dcm", words):
            read_image(save(dataset(STORAGE + sop, "OT"), tmp_path / "a.dcm"))
    with refused("dicom-no-pixels", "b.dcm"):
        read_image(save(slice_at_without_pixels(), tmp_path / "b.dcm"))


def slice_at_without_pixels():
    data = slice_at(V[0], 0)
    del data.PixelData
    return data


def test_many_slices_in_one_picture(tmp_path, refused):
    data = slice_at(V[0], 0, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    with refused("dicom-mosaic", "a.dcm", "dcm2niix"):
        read_image(save(data, tmp_path / "a.dcm"))


def test_a_folder_of_reports_alone(tmp_path, refused):
    save(dataset(STORAGE + "88.11", "SR"), tmp_path / "sr" / "a")
    with refused("dicom-none", "sr"):
        read_image(tmp_path / "sr")


def test_very_fine_slices(tmp_path):
    """Of a microscope: thousandths of a millimetre."""
    tags = [{"ImagePositionPatient": [0.0, 0.0, 0.0005 * k]} for k in range(len(V))]
    series(tmp_path / "fine", V, tags=tags, PixelSpacing=[0.001, 0.001])
    assert np.allclose(read_image(tmp_path / "fine")[1].spacing, (0.001, 0.001, 0.0005))


def test_what_pydicom_warns_of_is_not_printed(tmp_path, recwarn):
    series(tmp_path / "ct", V, PatientAge="seven")
    recwarn.clear()
    read_image(tmp_path / "ct")
    assert not recwarn.list


@pytest.mark.slow
def test_a_large_series_is_read_about_as_fast_as_by_itk(tmp_path):
    """Processor time for 97 slices of 512 × 512; about the same where nothing else runs."""
    pixels = np.random.default_rng(0).integers(0, 2000, (512, 512)).astype(np.int16)
    folder = series(tmp_path / "ct", np.broadcast_to(pixels, (97, 512, 512)), RescaleIntercept="-1024")

    def best(read) -> float:
        def once() -> float:
            started = time.process_time()
            read(folder)
            return time.process_time() - started

        return min(once() for _ in range(3))

    assert best(read_image) < 2 * best(by_itk)


def test_slices_that_all_have_one_uid_are_no_copies(tmp_path):
    folder = series(tmp_path / "ct", V, SOPInstanceUID="1.2.9")
    assert np.array_equal(read_image(folder)[0][0], V)


@pytest.mark.parametrize("kind", [np.int16, np.uint16])
def test_what_stands_above_the_bits_of_a_pixel_is_none_of_it(tmp_path, kind):
    values = V - 500 if kind == np.int16 else V
    stored = values & 0x0FFF if kind == np.int16 else values.astype(kind) | 0x8000
    folder = series(tmp_path / "ct", stored, BitsStored=12, HighBit=11)
    image = read_image(folder)[0][0]
    assert np.array_equal(image, values)
    assert np.array_equal(image, sitk.GetArrayFromImage(by_itk(folder)))


def test_a_slope_of_nothing_is_refused(tmp_path, refused):
    with refused("unreadable-file"):
        read_image(series(tmp_path / "ct", V, RescaleSlope="0"))


def test_a_film_beside_the_slices_is_said_to_be_left_over(tmp_path):
    folder = series(tmp_path / "ct", V)
    film = with_pixels(dataset(STORAGE + "3.1", "US", NumberOfFrames=6, SeriesInstanceUID="1.9"), V)
    save(film, folder / "film.dcm")
    with noting() as notes:
        assert np.array_equal(read_image(folder)[0][0], V)
    assert "film.dcm" in notes[0]
