"""DICOM segmentations and RTSTRUCT as labels on the grid of their image."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest
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
from grids import grid
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


def test_other_voxels_are_refused(tmp_path, refused):
    path = segmentation(tmp_path / "a.dcm", planes(LIVER), ["liver"])
    for other in (grid(GRID.size, (1.0, 1.0, DISTANCE)), grid(GRID.size, GRID.spacing, (-10.3, 20.0, 0.0))):
        with refused("geometry-mismatch", "a.dcm"):
            on_grid(path, other)


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


def test_contours_between_slices_or_outside_are_refused(tmp_path, refused):
    with refused("contours-between-slices", "1 of the 2 contours of liver", "a.dcm"):
        drawn(tmp_path / "a.dcm", {"liver": [square(1, 5, 2), square(1, 5, 2.5)]})
    with refused("contours-outside", "a.dcm"):
        drawn(tmp_path / "a.dcm", {"liver": [square(1, 5, 40), square(1, 5, 41)]})
    slanted = square(1, 5, 2)
    slanted[:2, 2] += 3
    with refused("contours-between-slices"):
        drawn(tmp_path / "a.dcm", {"liver": [slanted]})
    with noting() as notes:
        label, _ = drawn(tmp_path / "a.dcm", {"liver": [square(1.5, 5.5, 2), square(1.5, 5.5, 9)]})
    assert label.sum() == 16
    assert "1 of 2 contours" in notes[0]


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
