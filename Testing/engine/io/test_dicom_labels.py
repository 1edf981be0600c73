"""DICOM segmentations and RTSTRUCT as labels on the grid of their image."""

from __future__ import annotations

from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import (
    CT,
    DISTANCE,
    SPACING,
    items,
    multiframe,
    save,
    segmentation,
    series,
    slice_at,
    structures,
    voxels,
)
from grids import grid, turned
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from pydicom.sr.codedict import codes

from DALESegmentLib.engine.core.notes import noting
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.case_files import read_case, read_label_on
from DALESegmentLib.engine.io.class_names import has_segments
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.io.images import read_image
from DALESegmentLib.engine.io.segmentations import read_segmentation, segment_values

V = voxels(8, 16, 18)
GRID = grid((18, 16, 8), (SPACING[1], SPACING[0], DISTANCE), (-10.0, 20.0, 0.0))
LIVER = np.zeros(V.shape, bool)
LIVER[1:6, 3:12, 2:10] = True
TUMOUR = np.zeros(V.shape, bool)
TUMOUR[3:5, 5:8, 8:14] = True
BOTH = np.where(TUMOUR, 2, LIVER)
SEGMENTS = (LIVER, "liver"), (TUMOUR, "tumour")


def planes(*masks: np.ndarray, values=1):
    """Only the frames that hold something, the last slice first."""
    return [
        (n, DISTANCE * k, mask[k] * values)
        for n, mask in enumerate(masks, 1)
        for k in reversed(range(len(mask)))
        if mask[k].any()
    ]


def on_grid(path, geometry: Geometry = GRID, names=None):
    return read_label_on(path, geometry, "the image", names)


def in_order(order: tuple[int, int, int]) -> Geometry:
    """The same voxels with the axes in another order."""
    size, spacing = (tuple(values[n] for n in order) for values in (GRID.size, GRID.spacing))
    return grid(size, spacing, GRID.origin, np.eye(3)[:, list(order)])


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_segments_lie_where_their_frames_say(tmp_path, kind):
    path = segmentation(tmp_path / "a.dcm", planes(LIVER, TUMOUR, values=np.uint8(255)), ["liver", "tumour"], kind)
    assert has_segments(path)
    label, names = on_grid(path)
    assert np.array_equal(label, BOTH)
    assert names == {1: "liver", 2: "tumour"}


def test_fractions_count_from_a_half_on_and_that_is_said(tmp_path):
    values = np.where(LIVER, np.uint8(50), np.where(TUMOUR, np.uint8(49), 0)).astype(np.uint8)
    path = segmentation(
        tmp_path / "a.dcm", [(1, DISTANCE * k, v) for k, v in enumerate(values)], ["x"], "FRACTIONAL", 100
    )
    with noting() as notes:
        assert np.array_equal(on_grid(path)[0], LIVER)
    assert len(notes) == 1


def test_a_label_map_of_dicom(tmp_path):
    path = segmentation(
        tmp_path / "a.dcm",
        [(0, DISTANCE * k, v) for k, v in enumerate(BOTH.astype(np.uint8))],
        ["liver", "tumour"],
        "LABELMAP",
    )
    label, names = on_grid(path)
    assert np.array_equal(label, BOTH)
    assert names == {1: "liver", 2: "tumour"}


def test_one_slice_and_slices_with_gaps(tmp_path):
    for keep in ([4], [1, 4], [0, 7]):
        mask = np.zeros_like(LIVER)
        mask[keep, 3:9, 4:11] = True
        assert np.array_equal(on_grid(segmentation(tmp_path / "a.dcm", planes(mask), ["x"]))[0], mask)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_an_image_with_other_axes(tmp_path, order):
    """Frames are axial; the image is stored with its axes in another order, and flipped."""
    path = segmentation(tmp_path / "a.dcm", planes(LIVER, TUMOUR), ["liver", "tumour"])
    turned = in_order(order)
    label, _ = on_grid(path, turned)
    assert np.array_equal(label.transpose([2 - order.index(2 - n) for n in range(3)]), BOTH)
    flipped = grid(GRID.size, GRID.spacing, (-10.0, 20.0, 7 * DISTANCE), np.diag([1.0, 1.0, -1.0]))
    assert np.array_equal(on_grid(path, flipped)[0], BOTH[::-1])


def test_segments_are_known_by_their_names(tmp_path):
    one = segmentation(tmp_path / "a.dcm", planes(LIVER, TUMOUR), ["liver", "tumour"])
    two = segmentation(tmp_path / "b.dcm", planes(TUMOUR, LIVER), ["tumour", "liver"])
    values = segment_values([one, two])
    assert values == {1: "liver", 2: "tumour"}
    assert np.array_equal(on_grid(two, names=values)[0] == 1, LIVER & True)


def test_fractions_without_their_highest_value_count_to_255(tmp_path):
    values = np.where(LIVER, np.uint8(128), np.uint8(127))
    path = segmentation(tmp_path / "a.dcm", [(1, DISTANCE * k, v) for k, v in enumerate(values)], ["x"], "FRACTIONAL")
    data = pydicom.dcmread(path)
    del data.MaximumFractionalValue
    data.save_as(path)
    assert np.array_equal(on_grid(path)[0], LIVER)


@pytest.mark.parametrize("code", ["unreadable-file", "dicom-spacing"])
def test_frames_of_no_segment_and_of_other_pixels_are_refused(tmp_path, refused, code):
    path = segmentation(tmp_path / "a.dcm", planes(LIVER, TUMOUR), ["liver", "tumour"])
    data = pydicom.dcmread(path)
    last = data.PerFrameFunctionalGroupsSequence[-1]
    if code == "unreadable-file":
        del last.SegmentIdentificationSequence
    else:
        last.PixelMeasuresSequence = items({"PixelSpacing": [2.0, 2.0], "SliceThickness": DISTANCE})
    data.save_as(path)
    with refused(code, "a.dcm"):
        on_grid(path)


def test_frames_outside_the_image_are_said_and_refused_where_all_are(tmp_path, refused):
    beyond = [(1, DISTANCE * (k + 4), mask) for k, mask in enumerate(LIVER)]
    with noting() as notes:
        label = on_grid(segmentation(tmp_path / "a.dcm", beyond, ["x"]))[0]
    assert label.sum() == LIVER[1:4].sum()
    assert f"{LIVER[4:].sum()} of {LIVER.sum()}" in notes[0]
    with refused("segments-outside", "b.dcm", "the image"):
        on_grid(segmentation(tmp_path / "b.dcm", [(1, DISTANCE * 100, LIVER[3])], ["x"]))


def test_an_empty_segment_stays_listed_and_names_twice_are_told_apart(tmp_path):
    path = segmentation(tmp_path / "a.dcm", planes(LIVER), ["liver", "cyst", "liver"])
    assert [s.name for s in read_segmentation(path).segments] == ["liver", "cyst", "liver 3"]
    assert on_grid(path)[1] == {1: "liver", 2: "cyst", 3: "liver 3"}


def nearest(labels: np.ndarray, own: Geometry, other: Geometry) -> np.ndarray:
    """As ITK resamples."""
    image = sitk.GetImageFromArray(np.asarray(labels, np.uint8))
    image.SetSpacing(own.spacing)
    image.SetOrigin(own.origin)
    image.SetDirection(own.direction)
    to = (sitk.Transform(), sitk.sitkNearestNeighbor, other.origin, other.spacing, other.direction)
    return sitk.GetArrayFromImage(sitk.Resample(image, other.size, *to))


OTHER = {
    "finer": grid((30, 25, 17), (0.61, 0.53, 1.23), (-10.2, 20.1, 0.11)),
    "coarser": grid((9, 8, 4), (1.81, 1.39, 5.13), (-10.2, 20.1, 0.11)),
    "moved": grid(GRID.size, GRID.spacing, (-10.3, 20.2, 0.3)),
    "oblique": grid((20, 20, 14), (0.83, 0.71, 1.7), (-11.3, 19.2, -2.1), turned((0.3, 0.2, -0.1))),
    "sagittal": grid((15, 20, 18), (0.83, 1.7, 0.71), (-9.3, 19.2, -2.1), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
}


@pytest.mark.parametrize("other", OTHER)
def test_a_segmentation_drawn_on_other_voxels_comes_onto_those_of_the_image(tmp_path, other):
    path = segmentation(tmp_path / "a.dcm", planes(LIVER, TUMOUR), ["liver", "tumour"])
    image = replace(OTHER[other], frame_of_reference="1.2.3.5")
    with noting() as notes:
        label, names = on_grid(path, image)
    assert np.array_equal(label, nearest(BOTH, GRID, image))
    assert names == {1: "liver", 2: "tumour"}
    (note,) = notes
    assert note.startswith("a.dcm was drawn on other voxels (18×16×5 of 0.9×0.7×2.5 mm); the image has the label of")


def test_how_much_of_each_segment_lies_outside_is_said(tmp_path, refused):
    path = segmentation(tmp_path / "a.dcm", planes(LIVER, TUMOUR), ["liver", "tumour"])
    part = grid((9, 30, 16), (0.91, 0.71, 1.25), (-9.9, 20.1, 0.1))  # 8.2 mm of 16 along i
    with noting() as notes:
        on_grid(path, part)
    beyond = [(np.count_nonzero(mask[:, :, 9:]), mask.sum(), name) for mask, name in SEGMENTS]
    listed = ", ".join(f"{out} of {all_} of {name}" for out, all_, name in beyond)
    assert f"left over: voxels {listed}" in notes[0]
    assert "18×16×5 of" in notes[0]
    assert "does not say its frame of reference" in notes[0]
    with refused("segments-outside", "a.dcm"):
        on_grid(path, grid(GRID.size, (1.0, 1.0, DISTANCE), (200.0, 20.0, 0.0)))


def test_another_frame_of_reference_is_refused_or_said(tmp_path, refused):
    path = segmentation(tmp_path / "a.dcm", planes(LIVER), ["liver"])
    with refused("geometry-mismatch", "a.dcm", "frame of reference"):
        on_grid(path, replace(OTHER["finer"], frame_of_reference="1.2.3.9"))
    with noting() as notes:
        assert np.array_equal(on_grid(path, replace(GRID, frame_of_reference="1.2.3.9"))[0], LIVER)
    assert "names another frame of reference" in notes[0]


def test_thick_slices_of_another_series_are_not_slices_with_gaps(tmp_path):
    """Each lies on one slice of the image in five."""
    path = segmentation(tmp_path / "a.dcm", planes(LIVER), ["liver"])
    thin = grid((18, 16, 36), (SPACING[1], SPACING[0], 0.5), (-10.0, 20.0, 0.0))
    data = pydicom.dcmread(path)
    assert np.array_equal(np.flatnonzero(on_grid(path, thin)[0].any(axis=(1, 2))), 5 * np.arange(1, 6))
    data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = DISTANCE
    data.ReferencedSeriesSequence = items({"SeriesInstanceUID": "1.2.3.4"})
    data.save_as(path)
    filled = np.flatnonzero(on_grid(path, thin)[0].any(axis=(1, 2)))
    assert filled.tolist() == list(range(3, 28))
    own = on_grid(path, replace(thin, series="1.2.3.4"))[0]  # drawn on it, in some of its slices alone
    assert np.array_equal(np.flatnonzero(own.any(axis=(1, 2))), 5 * np.arange(1, 6))


@pytest.mark.parametrize("image", [GRID, OTHER["finer"]])
def test_frames_that_are_unevenly_spaced_are_refused(tmp_path, refused, image):
    uneven = [(1, z, LIVER[3]) for z in (0.0, 2.5, 6.2)]
    with refused("dicom-spacing", "a.dcm"):
        on_grid(segmentation(tmp_path / "a.dcm", uneven, ["x"]), image)


def test_a_file_without_a_list_of_segments(tmp_path):
    path = multiframe(
        tmp_path / "a.dcm", LIVER.astype(np.uint16), DISTANCE * np.arange(8), "1.2.840.10008.5.1.4.1.1.66.4"
    )
    assert np.array_equal(on_grid(path)[0], LIVER)
    assert on_grid(path)[1] == {1: "class 1"}


def test_files_that_highdicom_writes(tmp_path):
    folder = series(
        tmp_path / "ct",
        V,
        PatientBirthDate="",
        PatientSex="",
        StudyID="",
        AccessionNumber="",
        StudyDate="",
        StudyTime="",
        ReferringPhysicianName="",
        ContentDate="20200101",
    )
    sources = sorted((pydicom.dcmread(p) for p in folder.iterdir()), key=lambda d: d.ImagePositionPatient[2])
    described = [
        SegmentDescription(n, name, codes.SCT.Organ, code, SegmentAlgorithmTypeValues.MANUAL)
        for n, (name, code) in enumerate((("liver", codes.SCT.Liver), ("tumour", codes.SCT.Neoplasm)), 1)
    ]
    for kind in (SegmentationTypeValues.BINARY, SegmentationTypeValues.LABELMAP):
        written = highdicom.seg.Segmentation(
            sources, BOTH.astype(np.uint8), kind, described, "1.2.3.77", 5, highdicom.UID(), 1, "x", "y", "1", "z"
        )
        written.save_as(tmp_path / "seg.dcm")
        image, geometry = read_image(folder)
        label, names = read_label_on(tmp_path / "seg.dcm", geometry, "ct", None)
        assert image.shape[1:] == label.shape
        assert np.array_equal(label, BOTH)
        assert names == {1: "liver", 2: "tumour"}
        tags = read_segmentation(tmp_path / "seg.dcm").segments[0].tags
        assert "Liver" in tags["TerminologyEntry"]


def test_a_case_of_dicom_alone(tmp_path):
    """<case>/image/ beside label.dcm."""
    series(tmp_path / "case" / "image", V)
    segmentation(tmp_path / "case" / "label.dcm", planes(LIVER, TUMOUR), ["liver", "tumour"])
    (source,) = find_cases(tmp_path / "case")
    case = read_case(source)
    assert np.array_equal(case.image[0], V)
    assert np.array_equal(case.label, BOTH)
    assert case.class_names == {1: "liver", 2: "tumour"}


def test_a_segmentation_alone_in_a_folder(tmp_path):
    path = segmentation(tmp_path / "label" / "a.dcm", planes(LIVER), ["liver"])
    assert has_segments(path.parent)
    assert np.array_equal(on_grid(path.parent)[0], LIVER)
    segmentation(tmp_path / "label" / "b.dcm", planes(LIVER), ["liver"])
    assert not has_segments(path.parent)


def lps(points, k: float) -> np.ndarray:
    """(i, j) in voxels to mm, in slice k."""
    i, j = np.array(points, float).T
    return np.stack([-10 + SPACING[1] * i, 20 + SPACING[0] * j, np.full(len(i), DISTANCE * k)], axis=1)


def square(first: float, last: float, k: float) -> np.ndarray:
    return lps([(first, first), (last, first), (last, last), (first, last)], k)


def drawn(path, contours, geometry: Geometry = GRID, names=None):
    return on_grid(structures(path, contours), geometry, names)


def test_contours_are_filled_on_their_slices(tmp_path):
    path = structures(
        tmp_path / "a.dcm", {"liver": [square(1.5, 9.5, k) for k in (2, 3)], "cyst": [square(11.5, 13.5, 5)]}
    )
    assert has_segments(path)
    label, names = on_grid(path)
    wanted = np.zeros(V.shape, int)
    wanted[2:4, 2:10, 2:10] = 1
    wanted[5, 12:14, 12:14] = 2
    assert np.array_equal(label, wanted)
    assert names == {1: "liver", 2: "cyst"}


def test_holes_as_contours_and_as_keyholes(tmp_path):
    wanted = np.zeros(V.shape, int)
    wanted[2, 2:12, 2:12] = 1
    wanted[2, 5:9, 5:9] = 0
    ring = {"x": [square(1.5, 11.5, 2), square(4.5, 8.5, 2)]}
    assert np.array_equal(drawn(tmp_path / "a.dcm", ring)[0], wanted)
    island = {"x": [*ring["x"], square(5.5, 7.5, 2)]}
    wanted_island = wanted.copy()
    wanted_island[2, 6:8, 6:8] = 1
    assert np.array_equal(drawn(tmp_path / "b.dcm", island)[0], wanted_island)
    keyhole = [(1.5, 1.5), (11.5, 1.5), (11.5, 11.5), (1.5, 11.5), (1.5, 6.3)]
    keyhole += [(4.5, 6.3), (4.5, 8.5), (8.5, 8.5), (8.5, 4.5), (4.5, 4.5), (4.5, 6.3), (1.5, 6.3)]
    assert np.array_equal(drawn(tmp_path / "c.dcm", {"x": [lps(keyhole, 2)]})[0], wanted)


def test_contours_through_the_centres_of_voxels_are_inside(tmp_path):
    """As programs write them that follow a mask's outermost voxels; round a hole those of the mask, too."""
    wanted = np.zeros(V.shape, int)
    wanted[1, 2:11, 2:11] = 1
    wanted[1, 5:8, 5:8] = 0
    assert np.array_equal(drawn(tmp_path / "a.dcm", {"x": [square(2, 10, 1), square(4, 8, 1)]})[0], wanted)


def test_a_contour_that_is_there_twice_is_no_hole(tmp_path):
    with noting() as notes:
        label = drawn(tmp_path / "a.dcm", {"x": [square(1.5, 5.5, 1)] * 2})[0]
    assert label.sum() == 16
    assert "there twice" in notes[0]


def test_structures_may_overlap_be_empty_or_be_points(tmp_path):
    contours = {"a": [square(1.5, 9.5, 2)], "b": [square(5.5, 12.5, 2)], "nothing": []}
    label, names = drawn(tmp_path / "a.dcm", contours)
    assert names == {1: "a", 2: "b", 3: "nothing"}
    assert (label[2, 6:13, 6:13] == 2).all()
    assert (label == 1).sum() == 64 - 16
    points = structures(tmp_path / "b.dcm", {"isocentre": [square(3, 4, 1)[:1]]}, "POINT")
    with noting() as notes:
        assert not on_grid(points)[0].any()
    assert "isocentre" in notes[0]


def test_contours_of_no_slices_or_outside_are_refused(tmp_path, refused):
    with refused("contours-between-slices", "1 of the 3 contours of liver", "a.dcm"):
        drawn(tmp_path / "a.dcm", {"liver": [square(1, 5, 2), square(1, 5, 3), square(1, 5, 4.4)]})
    with refused("contours-outside", "a.dcm"):
        drawn(tmp_path / "a.dcm", {"liver": [square(1, 5, 40), square(1, 5, 41)]})
    slanted = square(1, 5, 2)
    slanted[:2, 2] += 3
    with refused("contours-between-slices"):
        drawn(tmp_path / "a.dcm", {"liver": [slanted]})
    with refused("file-too-large", "GB of memory"):
        drawn(tmp_path / "a.dcm", {"liver": [square(1, 5, k) for k in (0.4, 1.4, 1e8 + 0.4)]})
    with noting() as notes:
        label, _ = drawn(tmp_path / "a.dcm", {"liver": [square(1.5, 5.5, 2), square(1.5, 5.5, 9)]})
    assert label.sum() == 16
    assert "1 of 2 contours" in notes[0]


@pytest.mark.parametrize("other", OTHER)
def test_contours_drawn_on_other_slices_come_onto_those_of_the_image(tmp_path, other):
    contours = {
        "liver": [square(1.5, 12.5, k) for k in range(1, 7)],
        "hole": [line for k in (3, 4, 5) for line in (square(2.5, 9.5, k), square(4.5, 7.5, k))],
    }
    usual, _ = drawn(tmp_path / "a.dcm", contours)
    image = replace(OTHER[other], frame_of_reference="1.2.3.5")
    with noting() as notes:
        label, names = on_grid(tmp_path / "a.dcm", image)
    assert names == {1: "liver", 2: "hole"}
    wanted = nearest(usual, GRID, image)
    assert dice(label > 0, wanted > 0) > 0.93
    assert dice(label == 2, wanted == 2) > 0.8
    assert "was drawn on other slices" in notes[0]


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_contours_of_another_series_are_not_drawn_on_some_slices_alone(tmp_path, refused):
    """Of thicker slices, each of which lies on one of the image's."""
    path = structures(tmp_path / "a.dcm", {"liver": [square(1.5, 9.5, k) for k in (2, 3, 4)]})
    thin = grid((18, 16, 36), (SPACING[1], SPACING[0], 0.5), (-10.0, 20.0, 0.0))
    data = pydicom.dcmread(path)
    study = items({"RTReferencedSeriesSequence": items({"SeriesInstanceUID": "1.2.3.4"})})
    frame = {"FrameOfReferenceUID": "1.2.3.5", "RTReferencedStudySequence": study}
    data.ReferencedFrameOfReferenceSequence = items(frame)
    data.save_as(path)
    own = on_grid(path, replace(thin, series="1.2.3.4"))[0]
    assert np.flatnonzero(own.any(axis=(1, 2))).tolist() == [10, 15, 20]
    other = on_grid(path, replace(thin, series="1.2.3.99", frame_of_reference="1.2.3.5"))[0]
    assert np.flatnonzero(other.any(axis=(1, 2))).tolist() == list(range(8, 23))
    assert (other[8:23, 2:10, 2:10] == 1).all()
    with refused("geometry-mismatch", "frame of reference"):
        on_grid(path, replace(thin, series="1.2.3.99", frame_of_reference="1.2.3.7"))


def test_slices_that_nobody_drew_are_said(tmp_path):
    with noting() as notes:
        drawn(tmp_path / "a.dcm", {"liver": [square(1.5, 5.5, k) for k in (0, 2, 4, 6)]})
    assert "one of 2 slices" in notes[0]


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0)])
def test_contours_on_an_image_with_other_axes(tmp_path, order):
    contours = {"x": [square(1.5, 9.5, 2), square(4.5, 6.5, 2), square(2.5, 7.5, 3)]}
    usual, _ = drawn(tmp_path / "a.dcm", contours)
    turned = grid(
        tuple(GRID.size[n] for n in order),
        tuple(GRID.spacing[n] for n in order),
        GRID.origin,
        np.eye(3)[:, list(order)],
    )
    label, _ = drawn(tmp_path / "a.dcm", contours, turned)
    assert np.array_equal(label.transpose([2 - order.index(2 - n) for n in range(3)]), usual)


def test_what_is_neither(tmp_path, refused):
    with refused("not-a-label", "a.dcm"):
        read_segmentation(save(slice_at(V[0], 0, CT), tmp_path / "a.dcm"))
    with refused("segmentation-header", "b.dcm", "RTSTRUCT"):
        read_segmentation(structures(tmp_path / "b.dcm", {}))
    with refused("missing-file", "gone.dcm"):
        read_segmentation(tmp_path / "gone.dcm")
    assert not has_segments(tmp_path / "a.dcm")
