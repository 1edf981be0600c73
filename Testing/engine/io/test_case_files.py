"""Reading whole cases: channels, labels of every kind, and every refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from grids import blob, grid, noise, turned

from DALESegmentLib.engine.commands.result_files import write_map
from DALESegmentLib.engine.io.case import CaseSource
from DALESegmentLib.engine.io.case_files import output_extension, read_case, read_reference
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.io.segmentations import Segment, from_masks, write_segmentation

GRID_2D = grid((9, 8), (1.0, 1.0), (0.0, 0.0))
GEOMETRY = grid((9, 8, 6), (0.8, 0.8, 3.0), (-30.0, 11.0, 90.0), turned((0.1, 0.2, 0.0)))


@pytest.fixture
def source(tmp_path) -> CaseSource:
    write_image(tmp_path / "image.nii.gz", noise(GEOMETRY), GEOMETRY)
    write_image(tmp_path / "label.nii.gz", blob(GEOMETRY, 2), GEOMETRY)
    return CaseSource("p1", (tmp_path / "image.nii.gz",), tmp_path / "label.nii.gz")


def test_image_and_label(source):
    case = read_case(source)
    assert case.name == "p1"
    assert np.array_equal(case.image, noise(GEOMETRY))
    assert case.geometry.difference(GEOMETRY) is None
    assert np.array_equal(case.label, blob(GEOMETRY, 2))
    assert case.label.dtype == np.int16
    assert case.class_names == {1: "class 1", 2: "class 2"}
    assert case.trusted is None
    assert case.confidence is None
    assert read_case(source, {1: "core", 7: "x"}).class_names == {1: "core", 2: "class 2"}


def test_channels_of_several_files_and_formats(source, tmp_path):
    write_image(tmp_path / "t1.nrrd", noise(GEOMETRY, 2, seed=1), GEOMETRY)
    case = read_case(replace(source, images=(*source.images, tmp_path / "t1.nrrd")))
    assert case.channels == 3
    assert np.array_equal(case.image[1:], noise(GEOMETRY, 2, seed=1))


def test_trusted_and_confidence(source, tmp_path):
    write_image(tmp_path / "trusted.nrrd", blob(GEOMETRY, 1), GEOMETRY)
    sure = np.random.default_rng(0).random(GEOMETRY.array_shape).astype(np.float32)
    write_image(tmp_path / "confidence.nrrd", sure, GEOMETRY)
    case = read_case(replace(source, trusted=tmp_path / "trusted.nrrd", confidence=tmp_path / "confidence.nrrd"))
    assert case.trusted.dtype == bool
    assert np.array_equal(case.trusted, blob(GEOMETRY, 1))
    assert np.array_equal(case.confidence, sure)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"0": "background", "1": "core", "2": "edge"}, ("core", "edge")),
        ({"background": 0, "core": 1, "edge": 2, "all": [1, 2]}, ("core + all", "edge + all")),
    ],
)
def test_class_names_of_dataset_json(source, tmp_path, labels, names):
    (tmp_path / "labelsTr").mkdir()
    write_image(tmp_path / "labelsTr/p1.nii.gz", blob(GEOMETRY, 3), GEOMETRY)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    case = read_case(replace(source, label=tmp_path / "labelsTr/p1.nii.gz"))
    assert case.class_names == {1: names[0], 2: names[1], 3: "class 3"}


def test_label_with_other_axes_is_turned(source, tmp_path):
    label = sitk.ReadImage(str(source.label))
    for name, other in (
        ("flip", sitk.Flip(label, [True, False, True])),
        ("permute", sitk.PermuteAxes(label, [2, 0, 1])),
        ("both", sitk.Flip(sitk.PermuteAxes(label, [1, 2, 0]), [False, True, False])),
    ):
        path = tmp_path / f"{name}.nrrd"
        sitk.WriteImage(other, str(path))
        assert not np.array_equal(sitk.GetArrayFromImage(other), blob(GEOMETRY, 2))
        assert np.array_equal(read_case(replace(source, label=path)).label, blob(GEOMETRY, 2))


def test_label_of_slicer_segments(source, tmp_path):
    values = blob(GEOMETRY, 2)
    segments = [Segment("s2", "edge"), Segment("s1", "core")]
    path = tmp_path / "label.seg.nrrd"
    write_segmentation(path, from_masks([values == 2, values == 1], segments, GEOMETRY))
    case = read_case(replace(source, label=path))
    assert case.class_names == {1: "edge", 2: "core"}
    assert np.array_equal(case.label, np.array([0, 2, 1])[values])
    named = read_case(replace(source, label=path), class_names={1: "core", 2: "edge"})
    assert np.array_equal(named.label, values)


def test_reference(source, tmp_path, refused):
    votes = np.random.default_rng(0).integers(0, 5, GEOMETRY.array_shape)
    write_image(tmp_path / "votes.nii.gz", votes, GEOMETRY)
    source = replace(source, reference=tmp_path / "votes.nii.gz")
    case = read_case(source)
    assert np.array_equal(read_reference(source, case), votes)
    assert np.array_equal(read_reference(replace(source, reference_threshold=2.0), case), votes >= 2)
    with refused("no-reference", "p1"):
        read_reference(replace(source, reference=None), case)
    write_image(tmp_path / "votes.nii.gz", votes[1:], grid((9, 8, 5)))
    with refused("geometry-mismatch", "votes.nii.gz"):
        read_reference(source, case)


def test_another_grid_is_refused_with_both_names(source, tmp_path, refused):
    shifted = replace(GEOMETRY, origin=(-30.0, 12.0, 90.0))
    for name, geometry, words in (
        ("small", grid((8, 8, 6), GEOMETRY.spacing, GEOMETRY.origin, GEOMETRY.direction), "size"),
        ("shifted", shifted, "position"),
        ("coarse", replace(GEOMETRY, spacing=(0.8, 0.8, 3.3)), "spacing"),
    ):
        path = tmp_path / f"{name}.nii.gz"
        write_image(path, blob(geometry), geometry)
        with refused("geometry-mismatch", "image.nii.gz", f"{name}.nii.gz", words):
            read_case(replace(source, label=path))
        with refused("geometry-mismatch", "image.nii.gz", f"{name}.nii.gz"):
            read_case(replace(source, images=(*source.images, path)))
    write_segmentation(tmp_path / "s.seg.nrrd", from_masks([blob(shifted)], [Segment("a", "a")], shifted))
    with refused("geometry-mismatch", "s.seg.nrrd", "image.nii.gz"):
        read_case(replace(source, label=tmp_path / "s.seg.nrrd"))


def test_images_that_show_nothing(source, tmp_path, refused):
    write_image(tmp_path / "flat.nrrd", np.full(GEOMETRY.array_shape, 7), GEOMETRY)
    with refused("image-constant", "flat.nrrd", "7"):
        read_case(replace(source, images=(tmp_path / "flat.nrrd",)))
    broken = noise(GEOMETRY)
    broken[0, 0, 0, :2] = (np.nan, -np.inf)
    for name in ("nan.nrrd", "nan.nii.gz"):
        write_image(tmp_path / name, broken, GEOMETRY)
        with refused("image-not-finite", name, "2 voxels"):
            read_case(replace(source, images=(tmp_path / name,)))
    with refused("no-image", "p1"):
        read_case(CaseSource("p1"))


def test_a_label_may_be_empty(source, tmp_path):
    """Where there is nothing to be seen, there is nothing to draw; a training asks for some that are not."""
    write_image(tmp_path / "empty.nrrd", np.zeros(GEOMETRY.array_shape, np.uint8), GEOMETRY)
    assert not read_case(replace(source, label=tmp_path / "empty.nrrd")).label.any()


def test_confidence_that_is_none(source, tmp_path, refused):
    write_image(tmp_path / "c.nrrd", noise(GEOMETRY), GEOMETRY)
    with refused("confidence-range", "c.nrrd"):
        read_case(replace(source, confidence=tmp_path / "c.nrrd"))
    broken = np.full(GEOMETRY.array_shape, np.nan, np.float32)
    write_image(tmp_path / "c.nrrd", broken, GEOMETRY)
    with refused("confidence-range", "c.nrrd"):
        read_case(replace(source, confidence=tmp_path / "c.nrrd"))


@pytest.mark.parametrize(
    ("image", "labels", "floats"),
    [
        ("a.nii", ".nii.gz", ".nii.gz"),
        ("a.nii.gz", ".nii.gz", ".nii.gz"),
        ("a.nrrd", ".nrrd", ".nrrd"),
        ("a.nhdr", ".nrrd", ".nrrd"),
        ("a.mhd", ".mha", ".mha"),
        ("a.png", ".png", ".tiff"),
        ("a.JPG", ".png", ".tiff"),
        ("a.tif", ".tiff", ".tiff"),
        ("dicom", ".nrrd", ".nrrd"),
    ],
)
def test_results_have_a_format_that_holds_them(tmp_path, image, labels, floats):
    source = CaseSource("p", (tmp_path / image,))
    assert output_extension(source) == labels
    assert output_extension(source, floats=True) == floats
    assert output_extension(CaseSource("p", arrays=tmp_path)) == ""
    geometry = grid((5, 4)) if labels in (".png", ".tiff") else GEOMETRY
    write_image(tmp_path / f"out{labels}", blob(geometry), geometry)
    write_image(tmp_path / f"out{floats}", noise(geometry, 2), geometry)


@pytest.mark.parametrize("value", [255, 40_000, 1_000_000])
def test_a_label_of_a_picture_goes_where_its_values_fit(value, tmp_path):
    write_image(tmp_path / "p.png", np.zeros((3, 8, 9), np.uint8), GRID_2D)
    label = np.full(GRID_2D.array_shape, 3, np.int32)
    label[2:5] = value
    path = write_map(CaseSource("p", (tmp_path / "p.png",)), tmp_path / "out", "segmentation", label, GRID_2D)
    assert (read_label(Path(path))[0] == label).all()
