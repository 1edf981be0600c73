"""Files of many frames: each frame counts for itself, as the slices of a series do."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_files import (
    CAPTURE,
    DISTANCE,
    ENHANCED_CT,
    NUCLEAR,
    SPACING,
    STORAGE,
    ULTRASOUND,
    dataset,
    items,
    multiframe,
    save,
    series,
    voxels,
    with_pixels,
)

from DALESegmentLib.engine.io.images import read_image

V = voxels(kind=np.uint16)
Z = DISTANCE * np.arange(len(V))


def test_shuffled_frames_are_sorted_and_placed(tmp_path):
    order = np.random.default_rng(1).permutation(len(V))
    image, geometry = read_image(multiframe(tmp_path / "a.dcm", V[order], Z[order]))
    assert np.array_equal(image[0], V)
    assert geometry.origin == (-10.0, 20.0, 0.0)
    assert np.allclose(geometry.spacing, (SPACING[1], SPACING[0], DISTANCE))


def test_frames_the_other_way_round_are_the_same_volume_as_the_series(tmp_path):
    series(tmp_path / "ct", V.astype(np.int16))
    one, place = read_image(tmp_path / "ct")
    other, there = read_image(multiframe(tmp_path / "a.dcm", V[::-1], Z[::-1], ENHANCED_CT))
    assert np.array_equal(one, other)
    assert place == there


def test_slope_intercept_and_orientation_of_every_frame(tmp_path, refused):
    slopes = [1.0, 0.5, 3.25, 10.0, 0.001, 7.0]
    groups = [
        {"PixelValueTransformationSequence": items({"RescaleSlope": str(s), "RescaleIntercept": str(-n)})}
        for n, s in enumerate(slopes)
    ]
    image, _ = read_image(multiframe(tmp_path / "a.dcm", V, Z, frames=groups))
    wanted = V * np.array(slopes)[:, None, None] - np.arange(6)[:, None, None]
    assert np.allclose(image[0], wanted, rtol=1e-6)
    sagittal = {"PlaneOrientationSequence": items({"ImageOrientationPatient": [0.0, 1, 0, 0, 0, -1]})}
    with refused("dicom-spacing", "b.dcm", "face the same way", "3, 3"):
        read_image(multiframe(tmp_path / "b.dcm", V, Z, frames=[{}, {}, {}, sagittal, sagittal, sagittal]))


@pytest.mark.parametrize(
    ("sequence", "tag", "values", "words"),
    [
        ("FrameContentSequence", "TemporalPositionIndex", (1, 2), "2 time points"),
        ("FrameContentSequence", "StackID", ("1", "2"), "2 stacks"),
        ("MREchoSequence", "EffectiveEchoTime", (10.0, 80.0), "2 echo times (ms) (10.0, 80.0)"),
        ("MRDiffusionSequence", "DiffusionBValue", (0.0, 800.0), "2 b-values"),
        ("MRImageFrameTypeSequence", "ComplexImageComponent", ("MAGNITUDE", "PHASE"), "2 components"),
        ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", (0.0, 400.0), "2 cardiac phases"),
    ],
)
def test_several_frames_at_one_place_say_why(tmp_path, refused, sequence, tag, values, words):
    groups = [{sequence: items({tag: value})} for value in values for _ in V]
    with refused("dicom-spacing", "a.dcm", "12 slices at 6 positions", words):
        read_image(multiframe(tmp_path / "a.dcm", np.concatenate([V, V]), [*Z, *Z], frames=groups))


def test_a_missing_frame(tmp_path, refused):
    keep = [0, 1, 3, 4, 5]
    with refused("dicom-spacing", "a.dcm", "2.5 to 5 mm"):
        read_image(multiframe(tmp_path / "a.dcm", V[keep], Z[keep]))


def test_a_volume_in_two_files(tmp_path):
    """A concatenation, or each half of the patient in a file of its own."""
    multiframe(tmp_path / "two" / "b", V[:3], Z[:3])
    multiframe(tmp_path / "two" / "a", V[3:], Z[3:])
    assert np.array_equal(read_image(tmp_path / "two")[0][0], V)


def test_a_folder_of_one_file_with_a_report_beside_it(tmp_path):
    multiframe(tmp_path / "mr" / "x", V, Z)
    save(dataset(STORAGE + "88.11", "SR"), tmp_path / "mr" / "a")
    assert np.array_equal(read_image(tmp_path / "mr")[0][0], V)


def test_films_and_slides_are_no_volumes(tmp_path, refused):
    film = with_pixels(dataset(ULTRASOUND, "US", NumberOfFrames=6, FrameTime="33"), V.astype(np.uint8))
    film.FrameIncrementPointer = 0x00181063
    with refused("dicom-cine", "film.dcm", "6 frames"):
        read_image(save(film, tmp_path / "film.dcm"))
    slide = with_pixels(dataset(STORAGE + "77.1.6", "SM", NumberOfFrames=6), voxels(6, 8, 8, kind=np.uint8))
    slide.TotalPixelMatrixColumns, slide.TotalPixelMatrixRows = 24, 16
    with refused("dicom-tiles", "slide.dcm", "6 tiles"):
        read_image(save(slide, tmp_path / "slide.dcm"))
    pages = with_pixels(dataset(CAPTURE + ".2", "OT", NumberOfFrames=6), V.astype(np.uint8))
    with refused("dicom-spacing", "pages.dcm", "where they lie"):
        read_image(save(pages, tmp_path / "pages.dcm"))


def test_a_film_beside_a_series_is_left_over(tmp_path):
    folder = series(tmp_path / "ct", V.astype(np.int16))
    film = with_pixels(dataset(ULTRASOUND, "US", NumberOfFrames=6, FrameTime="33"), V.astype(np.uint8))
    save(film, folder / "film")
    assert np.array_equal(read_image(folder)[0][0], V)


def nuclear(stack: np.ndarray, **tags) -> pydicom.Dataset:
    data = with_pixels(dataset(NUCLEAR, "NM", NumberOfFrames=len(stack), **tags), stack)
    data.PixelSpacing, data.SpacingBetweenSlices = [4.0, 4.0], "-5"
    data.DetectorInformationSequence = items(
        {"ImagePositionPatient": [-10.0, 20.0, 30.0], "ImageOrientationPatient": [1.0, 0, 0, 0, 1, 0]}
    )
    return data


def test_slices_of_nuclear_medicine(tmp_path, refused):
    """SPECT counts its slices, here downwards; several energy windows are named."""
    data = nuclear(V, SliceVector=[1, 2, 3, 4, 5, 6])
    image, geometry = read_image(save(data, tmp_path / "a.dcm"))
    assert np.array_equal(image[0], V[::-1])
    assert geometry.origin == (-10.0, 20.0, 5.0)
    assert geometry.spacing == (4.0, 4.0, 5.0)
    both = nuclear(V, SliceVector=[1, 2, 3, 1, 2, 3], EnergyWindowVector=[1, 1, 1, 2, 2, 2])
    with refused("dicom-spacing", "2 energy windows"):
        read_image(save(both, tmp_path / "b.dcm"))


def test_header_and_frames_that_do_not_fit(tmp_path, refused):
    path = multiframe(tmp_path / "a.dcm", V, Z)
    data = pydicom.dcmread(path)
    data.NumberOfFrames = 9
    data.save_as(path)
    with refused("unreadable-file", "a.dcm"):
        read_image(path)
    data = pydicom.dcmread(multiframe(path, V, Z))
    data.PixelData = data.PixelData[:-100]
    data.save_as(path)
    with refused("unreadable-file", "a.dcm"):
        read_image(path)


def test_a_map_of_fractions(tmp_path):
    """A parametric map in four bytes."""
    values = np.random.default_rng(0).random((6, 10, 12)).astype(np.float32)
    path = multiframe(tmp_path / "a.dcm", V, Z, STORAGE + "30")
    data = pydicom.dcmread(path)
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    data.BitsAllocated, data.FloatPixelData = 32, values.tobytes()
    data.save_as(path)
    assert np.array_equal(read_image(path)[0][0], values)
