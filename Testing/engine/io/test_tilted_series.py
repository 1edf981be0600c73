"""Series whose slices are shifted against each other, and what was drawn on them, on one straight grid."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_files import ENHANCED_CT, items, multiframe, structures
from grids import grid, turned
from highdicom.seg import SegmentDescription
from pydicom.sr.codedict import codes
from source_series import write_series

from DALESegmentLib.engine.core.notes import noting
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.case import CaseSource
from DALESegmentLib.engine.io.case_files import read_case, read_label_on
from DALESegmentLib.engine.io.images import read_image, read_stored

ANGLES = {"head": (0.0, 0.0, 0.0), "oblique": (0.4, -0.3, 0.7)}
SLOPE, LEAST = 0.01, -100.0


def tilted(angles=(0.0, 0.0, 0.0), degrees: float = 17.0, size=(12, 10, 6)) -> Geometry:
    """The slices step along an axis that is not their normal."""
    axes = turned(angles)
    tilt = np.radians(degrees)
    step = axes @ [0.3 * np.sin(tilt), np.sin(tilt) * np.sqrt(1 - 0.09), np.cos(tilt)]
    return grid(size, (0.7, 0.8, 2.5), (-40.0, 12.0, 100.0), np.column_stack([axes[:, :2], step]))


def places(geometry: Geometry) -> np.ndarray:
    """LPS mm of all voxels, (*grid, 3)."""
    k, j, i = np.indices(geometry.array_shape)
    axes = np.array(geometry.direction).reshape(3, 3) * geometry.spacing
    return np.stack([i, j, k], -1) @ axes.T + geometry.origin


def ramp(points: np.ndarray) -> np.ndarray:
    """A value for each place, which linear interpolation gives back exactly."""
    return 200 + points @ [0.9, -1.3, 0.4]


def written(folder: Path, taken: Geometry, **tags: object) -> Path:
    stored = np.rint((ramp(places(taken)) - LEAST) / SLOPE)
    assert stored.min() > 0
    assert stored.max() < 65536
    write_series(folder, taken, stored, RescaleSlope=SLOPE, RescaleIntercept=LEAST, **tags)
    return folder


def inside(taken: Geometry, straight: Geometry) -> np.ndarray:
    """The straight voxels whose centre lies among the centres of the slice at their place."""
    axes = np.array(taken.direction).reshape(3, 3)
    normal = np.cross(axes[:, 0], axes[:, 1])
    points = places(straight) - taken.origin
    depth = points @ normal / (axes[:, 2] @ normal * taken.spacing[2])
    points = points - depth[..., None] * axes[:, 2] * taken.spacing[2]
    i, j = (points @ axes[:, n] / taken.spacing[n] for n in range(2))
    assert np.allclose(depth, np.rint(depth), atol=1e-3)
    return (i > -0.001) & (i < taken.size[0] - 0.999) & (j > -0.001) & (j < taken.size[1] - 0.999)


@pytest.mark.parametrize("kind", ANGLES)
@pytest.mark.parametrize("degrees", [17.0, -25.0, 3.0])
def test_a_tilted_series_stands_straight_in_its_place(tmp_path, kind, degrees):
    taken = tilted(ANGLES[kind], degrees)
    with noting() as notes:
        image, straight = read_image(written(tmp_path / "ct", taken))
    axes = np.array(straight.direction).reshape(3, 3)
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    assert np.allclose(axes[:, :2], np.array(taken.direction).reshape(3, 3)[:, :2], atol=1e-6)
    where = inside(taken, straight)
    assert image[0][where] == pytest.approx(ramp(places(straight))[where], abs=2 * SLOPE)
    outer = np.abs(image[0] - image[0].min()) < SLOPE
    assert outer[~where].mean() > 0.5  # but for the half voxels round each slice
    for first, last, counted in zip(*ends(taken), where.sum(axis=(1, 2)), strict=True):
        assert counted >= np.prod(np.array(taken.size[:2]) - 1)  # each slice whole
        index = np.array([straight.ras_to_index(tuple(p * (-1, -1, 1))) for p in (first, last)])
        assert (index > -0.01).all()
        assert (index < np.array(straight.size) - 0.99).all()
    (note,) = notes
    assert f"tilted gantry ({abs(degrees):.1f} degrees)" in note
    assert f"up to {5 * 2.5 * np.sin(np.radians(abs(degrees))):.1f} mm" in note


def ends(taken: Geometry) -> tuple[np.ndarray, np.ndarray]:
    points = places(taken)
    return points[:, 0, 0], points[:, -1, -1]


def test_what_lies_outside_is_the_smallest_value_and_whole_shifts_change_no_value(tmp_path):
    axes = np.eye(3)
    axes[:, 2] = (0, 0.5, np.sqrt(0.75))  # 2 mm of 4: a row of 2 mm each
    taken = grid((5, 4, 3), (1.0, 2.0, 4.0), (0.0, 0.0, 0.0), axes)
    voxels = np.random.default_rng(0).integers(5, 900, taken.array_shape)
    write_series(tmp_path / "ct", taken, voxels)
    image, straight = read_image(tmp_path / "ct")
    assert straight.size == (5, 6, 3)
    wanted = np.full(straight.array_shape, voxels.min())
    for k in range(3):
        wanted[k, k : k + 4] = voxels[k]
    assert np.array_equal(image[0], wanted - 1024)
    assert np.array_equal(read_stored(tmp_path / "ct")[0][0], wanted - 1024)


def test_slices_that_are_shifted_otherwise_are_put_in_their_place(tmp_path):
    taken = grid((12, 10, 4), (0.7, 0.8, 2.5))
    folder = written(tmp_path / "mr", taken)
    for path in folder.iterdir():
        slice_ = pydicom.dcmread(path)
        if slice_.InstanceNumber == 3:
            slice_.ImagePositionPatient = [2.1, -1.6, 5.0]
            slice_.save_as(path)
    with noting() as notes:
        image, straight = read_image(folder)
    assert straight.size == (15, 12, 4)
    assert np.allclose(straight.origin, (0, -1.6, 0))
    assert np.allclose(image[0, 1, 2:, :12], ramp(places(taken))[1], atol=2 * SLOPE)
    assert np.allclose(image[0, 2, :10, 3:], ramp(places(taken))[2], atol=2 * SLOPE)
    assert "put in its place" in notes[0]


def test_a_tilted_series_that_lacks_a_slice_or_contradicts_itself_is_refused(tmp_path, refused):
    folder = written(tmp_path / "gap", tilted())
    next(path for path in folder.iterdir() if pydicom.dcmread(path).InstanceNumber == 3).unlink()
    with refused("dicom-spacing", "unevenly"):
        read_image(folder)
    with refused("dicom-tilted", "contradict"):
        read_image(written(tmp_path / "wrong", tilted(degrees=80.0)))


def test_rounded_positions_are_no_tilt(tmp_path):
    taken = tilted(degrees=1.0)
    with noting() as notes:
        image, straight = read_image(written(tmp_path / "ct", taken))
    assert straight.size == taken.size
    assert notes == []
    assert np.allclose(image[0], ramp(places(taken)), atol=2 * SLOPE)


def test_frames_of_one_file_may_be_tilted(tmp_path):
    stack = np.random.default_rng(0).integers(0, 900, (5, 8, 9)).astype(np.int16)
    shifted = [{"PlanePositionSequence": items({"ImagePositionPatient": [0.0, 2.1 * k, 2.5 * k]})} for k in range(5)]
    path = multiframe(tmp_path / "a.dcm", stack, 2.5 * np.arange(5), ENHANCED_CT, shifted)
    image, straight = read_image(path)
    assert straight.size == (9, 20, 5)  # rows of 0.7 mm
    for k in range(5):
        assert np.array_equal(image[0, k, 3 * k : 3 * k + 8], stack[k])


LABELLED = np.zeros((6, 10, 12), np.uint8)
LABELLED[1:5, 2:8, 3:9] = 1
LABELLED[3, 0, :] = LABELLED[4, -1, -3:] = 2


def drawn_on_slices(folder: Path, label: np.ndarray, **options: object) -> Path:
    """A segmentation on the slices of the series themselves, by highdicom."""
    images = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda image: image.InstanceNumber)
    about = [
        SegmentDescription(n, name, codes.SCT.Organ, codes.SCT.Liver, "MANUAL")
        for n, name in enumerate(("liver", "edge"), 1)
    ]
    made = highdicom.seg.Segmentation(
        images, label, "BINARY", about, "1.2.3.77", 5, highdicom.UID(), 1, "x", "y", "1", "z", **options
    )
    made.save_as(folder.parent / "label.dcm")
    return folder.parent / "label.dcm"


def moved(label: np.ndarray, taken: Geometry, straight: Geometry) -> np.ndarray:
    """Each slice of a label shifted by the nearest whole number of voxels."""
    wanted = np.zeros(straight.array_shape, label.dtype)
    for k, plane in enumerate(label):
        start = places(taken)[k, 0, 0]
        i, j, at = np.rint(straight.ras_to_index(tuple(start * (-1, -1, 1)))).astype(int)
        assert at == k
        wanted[k, j : j + plane.shape[0], i : i + plane.shape[1]] = plane
    return wanted


@pytest.mark.parametrize("kind", ANGLES)
@pytest.mark.parametrize("slices", [range(6), [2, 4], [3]])
def test_a_segmentation_of_the_slices_comes_onto_the_straight_grid(tmp_path, kind, slices):
    taken = tilted(ANGLES[kind])
    folder = written(tmp_path / "ct", taken)
    label = np.zeros_like(LABELLED)
    label[list(slices)] = LABELLED[list(slices)]
    label[3, 5, 5] = 1
    path = drawn_on_slices(folder, label)
    case = read_case(CaseSource("case", (folder,), path))
    assert np.array_equal(case.label, moved(label, taken, case.geometry))
    assert set(case.class_names.values()) >= {"liver"}


def test_contours_on_the_slices_come_onto_the_straight_grid(tmp_path):
    taken = tilted(ANGLES["oblique"])
    folder = written(tmp_path / "ct", taken)
    square = np.array([(2.5, 1.5), (8.5, 1.5), (8.5, 6.5), (2.5, 6.5)])
    axes = np.array(taken.direction).reshape(3, 3) * taken.spacing
    contours = [np.column_stack([square, np.full(4, k)]) @ axes.T + taken.origin for k in (1, 2, 3)]
    _, straight = read_image(folder)
    label, _ = read_label_on(structures(tmp_path / "rt.dcm", {"liver": contours}), straight, "ct", None)
    assert label.any(axis=(1, 2)).tolist() == [False, True, True, True, False, False]
    where = places(straight)[label > 0]
    index = (where - taken.origin) @ np.linalg.inv(axes).T
    assert ((index[:, :2] > (2.4, 1.4)) & (index[:, :2] < (8.6, 6.6))).all()
    assert abs(np.count_nonzero(label) - 3 * 30) <= 3 * 11  # as many as there are, but for the edges
