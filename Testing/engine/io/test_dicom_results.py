"""DICOM objects made of results, read back by other programs, to the voxel, and held against the standard."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from grids import grid, turned
from pydicom.dataset import Dataset
from source_series import write_series

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.case import CaseSource
from DALESegmentLib.engine.io.dicom_objects import (
    Provenance,
    class_segments,
    fractional,
    parametric_map,
    region_segments,
    save,
    segmentation,
)
from DALESegmentLib.engine.io.dicom_report import Finding, review_report
from DALESegmentLib.engine.io.dicom_source import source_images
from DALESegmentLib.engine.io.images import read_image

GRIDS = {
    "axial CT": ("CT", grid((12, 10, 7), (0.7, 0.7, 2.5), (-40.0, 12.0, -300.0))),
    "oblique MR": ("MR", grid((9, 11, 5), (0.9, 0.8, 3.1), (5.0, -6.0, 7.0), turned((0.4, -0.3, 0.7)))),
    "sagittal MR": ("MR", grid((8, 9, 6), (1.1, 1.0, 4.0), (-30.0, 2.0, 50.0), [[0, 0, -1], [1, 0, 0], [0, -1, 0]])),
    "tilted CT": (
        "CT",
        grid((12, 10, 6), (0.7, 0.7, 2.5), (-40.0, 12.0, -300.0), [[1, 0, 0], [0, 1, 0.3], [0, 0, 0.91**0.5]]),
    ),
    "one slice": ("CT", grid((6, 5, 1), (0.5, 0.5, 5.0), (1.0, 2.0, 3.0))),
}
MADE = Provenance("lung", "00112233aabbccdd", "0.1.0")
REVIEWED = Provenance("lung", "00112233aabbccdd", "0.1.0", "Dr. Ärztin")
NAMES = {1: "lesion", 4: "Läsion \\ 病変", 9: "left kidney"}


class Made:
    """A series, as it was read, and what was made of it."""

    def __init__(self, folder: Path, kind: str) -> None:
        modality, written = GRIDS[kind]
        rng = np.random.default_rng(0)
        write_series(folder / "image", written, rng.integers(0, 2000, written.array_shape), modality)
        self.folder = folder
        self.geometry = read_image(folder / "image")[1]
        self.tilted = kind.startswith("tilted")
        assert self.tilted == (self.geometry.difference(written) is not None)
        self.images = source_images(CaseSource("case", (folder / "image",)), self.geometry)
        self.label = rng.choice([0, 0, 1, 4, 9], self.geometry.array_shape)
        self.label[: len(self.label) // 3] = 0  # slices without anything
        self.label[-1, 0, 0] = 4
        self.share = rng.random(self.geometry.array_shape).astype(np.float32)
        self.segmentation = segmentation(self.label, self.geometry, class_segments(NAMES), self.images, MADE)

    def saved(self, dataset: Dataset, name: str) -> Path:
        save(dataset, self.folder / name)
        return self.folder / name


@pytest.fixture(scope="module", params=list(GRIDS))
def made(request, tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("series"), request.param)


@pytest.fixture(scope="module")
def ct(tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("ct"), "axial CT")


def places(inside: np.ndarray, geometry: Geometry) -> np.ndarray:
    """LPS mm of the voxels of a (k, j, i) mask, in a fixed order."""
    axes = np.array(geometry.direction).reshape(3, 3) * geometry.spacing
    return in_order(np.argwhere(inside)[:, ::-1] @ axes.T + geometry.origin)


def in_order(points: np.ndarray) -> np.ndarray:
    rounded = np.round(points, 2)
    return rounded[np.lexsort(rounded.T)]


def clean(path: Path) -> None:
    """Raises AssertionError where the validator of dicom3tools finds an error."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian: apt-get install dicom3tools)")
    said = subprocess.run([program, "-new", str(path)], capture_output=True, text=True, check=False).stderr
    assert [line for line in said.splitlines() if line.startswith("Error")] == []


def dcmqi(name: str, *arguments: str) -> None:
    pytest.importorskip("dcmqi", reason="dcmqi is not installed (pip install dcmqi)")
    beside = Path(sys.executable).parent / name
    program = str(beside) if beside.is_file() else shutil.which(name) or pytest.skip(f"{name} is not on the path")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_segments_lie_where_the_label_does_as_highdicom_reads_them(made):
    read = highdicom.seg.segread(made.saved(made.segmentation, "seg.dcm"))
    volume = read.get_volume(combine_segments=True)
    for number, value in enumerate(NAMES, 1):
        points = np.argwhere(volume.array == number) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        assert np.allclose(in_order(points), places(made.label == value, made.geometry), atol=0.02)


def test_segments_lie_where_the_label_does_as_dcmqi_reads_them(made):
    path, out = made.saved(made.segmentation, "seg.dcm"), made.folder / "dcmqi"
    out.mkdir(exist_ok=True)
    options = ("--outputType", "nrrd", "--mergeSegments")
    dcmqi("segimage2itkimage", "--inputDICOM", str(path), "--outputDirectory", str(out), *options)
    image = sitk.ReadImage(str(out / "1.nrrd"))
    read = Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    array = sitk.GetArrayFromImage(image)
    for number, value in enumerate(NAMES, 1):
        there = places(made.label == value, made.geometry)
        assert np.allclose(places(array == number, read), there, atol=0.02)
    (told,) = json.loads((out / "meta.json").read_text())["segmentAttributes"]
    assert [segment["SegmentLabel"] for segment in told][::2] == ["lesion", "left kidney"]


def test_frames_are_those_of_their_slices_as_pydicom_reads_them(made):
    """The packed bits, without anybody's help."""
    read = pydicom.dcmread(made.saved(made.segmentation, "seg.dcm"))
    frames = read.pixel_array.reshape(-1, read.Rows, read.Columns)
    by_uid = {str(image.SOPInstanceUID): image for image in made.images}
    step = np.array(made.geometry.direction).reshape(3, 3)[:, 2] * made.geometry.spacing[2]
    seen = np.zeros_like(made.label)
    for pixels, about in zip(frames, read.PerFrameFunctionalGroupsSequence, strict=True):
        number = about.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        place = np.array(about.PlanePositionSequence[0].ImagePositionPatient, float)
        k = round(float((place - made.geometry.origin) @ step / (step @ step)))
        seen[k][pixels > 0] = list(NAMES)[number - 1]
        source = about.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        aside = np.array(by_uid[source].ImagePositionPatient, float) - place  # of the same slice
        assert np.allclose(aside @ step if made.tilted else aside, 0, atol=2e-3)
    assert np.array_equal(seen, made.label)


def test_a_fractional_segmentation_and_a_parametric_map_hold_the_confidence(made):
    names = list(class_segments({1: "confidence"}).values())
    share = fractional(made.share[None], made.geometry, names, made.images, MADE)
    read = highdicom.seg.segread(made.saved(share, "share.dcm"))
    assert (read.SegmentationType, read.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    volume = read.get_volume(rescale_fractional=True)
    assert placed(volume, made) == pytest.approx(made.share, abs=0.51 / 255)
    exact = highdicom.imread(made.saved(mapped(made), "map.dcm"))
    assert np.array_equal(placed(exact.get_volume(), made), made.share)


def mapped(made: Made) -> Dataset:
    return parametric_map(made.share, made.geometry, "label confidence", made.images, MADE)


def placed(volume: highdicom.Volume, made: Made) -> np.ndarray:
    """The values of a volume at the places of the label's voxels."""
    k, j, i = (index.ravel() for index in np.indices(made.label.shape))
    axes = np.array(made.geometry.direction).reshape(3, 3) * made.geometry.spacing
    points = np.stack([i, j, k], -1) @ axes.T + made.geometry.origin
    index = np.rint(np.linalg.solve(volume.affine[:3, :3], (points - volume.affine[:3, 3]).T)).astype(int)
    values = np.asarray(volume.array).reshape(volume.spatial_shape)
    return values[tuple(index)].reshape(made.label.shape)


def test_dcmqi_which_slicer_reads_with_takes_the_parametric_map(made):
    path, out = made.saved(mapped(made), "map.dcm"), made.folder / "dcmqi map"
    out.mkdir(exist_ok=True)
    dcmqi("paramap2itkimage", "--inputDICOM", str(path), "--outputDirectory", str(out), "--outputType", "nrrd")
    image = sitk.ReadImage(str(out / "pmap.nrrd"))
    for k, j, i in ((0, 0, 0), (len(made.label) - 1, 2, 3)):
        axes = np.array(made.geometry.direction).reshape(3, 3) * made.geometry.spacing
        point = axes @ [i, j, k] + made.geometry.origin
        index = image.TransformPhysicalPointToIndex([float(x) for x in point])
        assert image.GetPixel(index) == pytest.approx(float(made.share[k, j, i]))


@pytest.mark.parametrize("kind", ["segmentation", "reviewed", "map", "share", "regions", "report"])
def test_the_validator_finds_no_error(made, kind):
    regions = np.where(made.label == 9, 7, 0)
    named = region_segments({7: "1 lesion extra"})
    found = segmentation(regions, made.geometry, named, made.images, REVIEWED, "regions")
    names = list(class_segments({1: "confidence"}).values())
    objects = {
        "segmentation": lambda: made.segmentation,
        "reviewed": lambda: segmentation(made.label, made.geometry, class_segments(NAMES), made.images, REVIEWED),
        "map": lambda: mapped(made),
        "share": lambda: fractional(made.share[None], made.geometry, names, made.images, MADE),
        "regions": lambda: found,
        "report": lambda: review_report(findings(), found, made.images, REVIEWED),
    }
    clean(made.saved(objects[kind](), f"{kind}.dcm"))


def findings() -> list[Finding]:
    decided = ("confirmed", "Dr. Ärztin", "2026-05-01T09:30:00+02:00")
    words = "Label: lesion. Model: background (96 %)"
    return [
        Finding(1, "lesion extra at 3 3 2", "lesion", "extra", 123.4, 0.31, words, *decided),
        Finding(1, "lesion missing at 9 9 9", "lesion", "missing", 12.0, 0.5, ""),
    ]


def test_an_object_says_whose_it_is_and_what_made_it(ct):
    read = pydicom.dcmread(ct.saved(ct.segmentation, "seg.dcm"))
    first = ct.images[0]
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientBirthDate", "AccessionNumber"):
        assert read[keyword].value == first[keyword].value
    assert str(read.PatientName) == "Müller^Jürgen"
    assert read.SeriesInstanceUID != first.SeriesInstanceUID
    assert {read.Manufacturer, read.ManufacturerModelName} == {"DALESegment"}
    assert read.SoftwareVersions == "0.1.0"
    assert read.DeviceSerialNumber == MADE.serial
    assert "AI-generated" in read.SeriesDescription
    segments = [(s.SegmentNumber, s.SegmentLabel, s.SegmentAlgorithmType) for s in read.SegmentSequence]
    assert segments == [(1, "lesion", "AUTOMATIC"), (2, "Läsion 病変", "AUTOMATIC"), (3, "left kidney", "AUTOMATIC")]
    codes = [
        (s.SegmentedPropertyCategoryCodeSequence[0].CodeValue, s.SegmentedPropertyTypeCodeSequence[0].CodeMeaning)
        for s in read.SegmentSequence
    ]
    assert codes == [("49755003", "Lesion"), ("85756007", "Tissue"), ("123037004", "Kidney")]
    listed = read.ReferencedSeriesSequence[0]
    assert listed.SeriesInstanceUID == first.SeriesInstanceUID
    assert {i.ReferencedSOPInstanceUID for i in listed.ReferencedInstanceSequence} == {
        image.SOPInstanceUID for image in ct.images
    }


def test_after_review_it_says_by_whom(ct):
    read = segmentation(ct.label, ct.geometry, class_segments(NAMES), ct.images, REVIEWED)
    assert "AI-generated, reviewed by Dr. Ärztin" in read.SeriesDescription
    assert {s.SegmentAlgorithmType for s in read.SegmentSequence} == {"SEMIAUTOMATIC"}
    long = Provenance("lung", "0", "0.1.0", "Professor " * 20)
    assert len(segmentation(ct.label, ct.geometry, class_segments(NAMES), ct.images, long).SeriesDescription) <= 64


def test_each_writing_has_new_uids_but_what_is_tracked_stays(ct):
    one, other = (segmentation(ct.label, ct.geometry, class_segments(NAMES), ct.images, MADE) for _ in range(2))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert one[keyword].value != other[keyword].value
    tracked = [[s.TrackingUID for s in each.SegmentSequence] for each in (one, other)]
    assert tracked[0] == tracked[1]
    assert len(set(tracked[0])) == len(NAMES)


def test_an_empty_label_and_an_unnamed_value_are_written(ct, tmp_path):
    empty = segmentation(np.zeros_like(ct.label), ct.geometry, class_segments(NAMES), ct.images, MADE)
    save(empty, tmp_path / "empty.dcm")
    clean(tmp_path / "empty.dcm")
    assert not highdicom.seg.segread(tmp_path / "empty.dcm").get_volume(combine_segments=True).array.any()
    unnamed = segmentation(np.where(ct.label == 4, 5, ct.label), ct.geometry, class_segments(NAMES), ct.images, MADE)
    assert [s.SegmentLabel for s in unnamed.SegmentSequence][2] == "class 5"


def test_the_report_refers_to_the_regions_and_tells_the_verdicts(ct, tmp_path):
    regions = np.where(ct.label == 9, 3, 0)
    found = segmentation(regions, ct.geometry, region_segments({3: "1 lesion extra"}), ct.images, REVIEWED, "regions")
    save(review_report(findings(), found, ct.images, REVIEWED), tmp_path / "report.dcm")
    read = highdicom.sr.srread(tmp_path / "report.dcm")
    assert (read.CompletionFlag, read.VerificationFlag) == ("PARTIAL", "UNVERIFIED")
    first, second = read.content.get_volumetric_roi_measurement_groups()
    assert first.referenced_segment.referenced_sop_instance_uid == found.SOPInstanceUID
    assert list(first.referenced_segment.referenced_segment_numbers) == [1]
    assert {m.name.meaning: m.value for m in first.get_measurements()}["Volume"] == pytest.approx(123.4)
    told = [
        {q.name.meaning: q.value.meaning for q in group.get_qualitative_evaluations()}["Verdict of the review"]
        for group in (first, second)
    ]
    assert told == ["Label confirmed as it is", "Not yet reviewed"]
    text = str(read)
    assert text.count("Dr. Ärztin^") == 2  # of the report, and of the region
    assert "20260501073000+0000" in text
    assert first.tracking_uid != second.tracking_uid


def test_what_scanners_write_otherwise_than_the_standard_is_left_out(tmp_path):
    _, written = GRIDS["axial CT"]
    odd = {
        "PatientSex": "male",
        "PatientBirthDate": None,
        "StudyID": None,
        "StudyTime": "10:15",
        "AccessionNumber": None,
    }
    with pydicom.config.disable_value_validation():
        write_series(tmp_path / "image", written, np.zeros(written.array_shape, int), **odd)
        images = source_images(CaseSource("case", (tmp_path / "image",)), written)
        made = segmentation(np.ones(written.array_shape, int), written, class_segments({1: "x"}), images, MADE)
    save(made, tmp_path / "seg.dcm")
    assert (made.PatientSex, made.StudyID) == ("", "")
    clean(tmp_path / "seg.dcm")


def test_only_the_images_of_the_series_that_was_read_are_referred_to(tmp_path):
    """Beside it a scout, a segmentation and a text."""
    _, written = GRIDS["axial CT"]
    write_series(tmp_path / "image", written, np.zeros(written.array_shape, int))
    scout = grid((12, 10, 1), (2.0, 2.0, 1.0), (-90.0, 1.0, 2.0))
    write_series(tmp_path / "scout", scout, np.zeros(scout.array_shape, int))
    shutil.move(tmp_path / "scout" / "000.dcm", tmp_path / "image" / "scout.dcm")
    (tmp_path / "image" / "notes.txt").write_text("x")
    images = source_images(CaseSource("case", (tmp_path / "image",)), written)
    assert [float(image.ImagePositionPatient[2]) for image in images] == [-300 + 2.5 * k for k in range(7)]
    made = segmentation(np.ones(written.array_shape, int), written, class_segments({1: "x"}), images, MADE)
    save(made, tmp_path / "image" / "seg.dcm")
    assert len(source_images(CaseSource("case", (tmp_path / "image",)), written)) == 7


def test_a_case_that_was_not_read_from_dicom_is_refused_with_what_to_type(tmp_path, refused):
    with refused("dicom-source", "case7", "--format nifti"):
        source_images(CaseSource("case7", (tmp_path / "image.nii.gz",)), GRIDS["axial CT"][1])
    _, written = GRIDS["axial CT"]
    write_series(tmp_path / "image", written, np.zeros(written.array_shape, int), FrameOfReferenceUID=None)
    with refused("dicom-source", "frame of reference"):
        source_images(CaseSource("case7", (tmp_path / "image",)), written)


def test_results_of_a_straightened_tilted_series_refer_to_all_of_its_images(tmp_path):
    axes = np.eye(3)
    axes[:, 2] = (0, np.sin(0.3), np.cos(0.3))
    tilted = grid((12, 10, 6), (0.7, 0.7, 2.5), (1.0, 2.0, 3.0), axes)
    write_series(tmp_path / "image", tilted, np.zeros(tilted.array_shape, int))
    straight = grid((12, 13, 6), (0.7, 0.7, 2.5 * np.cos(0.3)), (1.0, 2.0, 3.0))
    images = source_images(CaseSource("case", (tmp_path / "image",)), straight)
    assert len(images) == 6
    label = np.zeros(straight.array_shape, int)
    label[2:4, 3:6, 5:7] = 1
    save(segmentation(label, straight, class_segments({1: "lesion"}), images, MADE), tmp_path / "seg.dcm")
    clean(tmp_path / "seg.dcm")
    volume = highdicom.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True)
    points = np.argwhere(volume.array == 1) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert np.allclose(in_order(points), places(label == 1, straight), atol=0.02)


@pytest.mark.parametrize("digits", [6, 17])
def test_results_of_an_image_of_many_frames_refer_to_its_frames(tmp_path, digits):
    """The frames in another order than the slices; with numbers longer than the standard has them."""
    modality, written = GRIDS["oblique MR"]
    write_series(tmp_path / "slices", written, np.zeros(written.array_shape, int), modality)
    order = [3, 0, 4, 1, 2]
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(tmp_path / "image.dcm", enhanced(tmp_path / "slices" / "000.dcm", written, order, digits))
        images = source_images(CaseSource("case", (tmp_path / "image.dcm",)), written)
        label = np.zeros(written.array_shape, int)
        label[1, 3:6, 3:6] = label[4, 1, 1] = 1
        made = segmentation(label, written, class_segments({1: "lesion"}), images, MADE)
        share = parametric_map(label / 2.0, written, "label confidence", images, MADE)
        report = review_report(findings()[:1], made, images, MADE)
        for name, dataset in {"seg": made, "map": share, "report": report}.items():
            save(dataset, tmp_path / f"{name}.dcm")
            clean(tmp_path / f"{name}.dcm")
    shown = {}
    for frame, pixels in zip(made.PerFrameFunctionalGroupsSequence, made.pixel_array, strict=True):
        number = int(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        shown[order[number - 1]] = pixels
    assert sorted(shown) == [1, 4]
    assert all(np.array_equal(shown[k], label[k]) for k in shown)


def enhanced(path: Path, written: Geometry, order: list[int], digits: int) -> Dataset:
    """Headers of an enhanced MR image: frame n shows the slice order[n]."""
    image = pydicom.dcmread(path)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedMRImageStorage
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(image, keyword)
    axes = np.array(written.direction).reshape(3, 3)

    def numbers(values: np.ndarray) -> list[str]:
        return [f"{value:.{digits}f}" for value in values]

    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = numbers(axes[:, :2].T.ravel())
    measures.PixelSpacing = [written.spacing[1], written.spacing[0]]
    measures.SliceThickness = measures.SpacingBetweenSlices = written.spacing[2]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    image.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in order:
        frame, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = numbers(written.origin + k * written.spacing[2] * axes[:, 2])
        content.DimensionIndexValues = [k + 1]
        frame.PlanePositionSequence, frame.FrameContentSequence = [place], [content]
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence, image.NumberOfFrames = frames, len(frames)
    image.PixelData = bytes(2 * int(np.prod(written.size)))
    return image
