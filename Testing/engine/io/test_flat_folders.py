"""Images without a folder of their own: a case each, never guessed at."""

from __future__ import annotations

import json

import pytest
from folder_layouts import lay, names

from DALESegmentLib.engine.io.find_cases import find_cases


def test_one_image_file_is_one_case(tmp_path, refused):
    lay(tmp_path, "x.nii.gz", "x_seg.nrrd", "y.nii.gz", "p/image.nrrd", "p/label.nrrd", "notes.txt", "l.seg.nrrd")
    (source,) = find_cases(tmp_path / "x.nii.gz")
    assert (source.name, source.images) == ("x", (tmp_path / "x.nii.gz",))
    assert source.label == tmp_path / "x_seg.nrrd"
    assert find_cases(tmp_path / "y.nii.gz")[0].label is None
    assert names(find_cases(tmp_path / "p" / "image.nrrd")) == ["p"]
    with refused("unknown-format", "notes.txt", "not an image"):
        find_cases(tmp_path / "notes.txt")
    with refused("unknown-format", "l.seg.nrrd", "not an image"):
        find_cases(tmp_path / "l.seg.nrrd")
    with refused("missing-folder", "gone.nii.gz is not there"):
        find_cases(tmp_path / "gone.nii.gz")


def test_the_folder_one_is_in(tmp_path, monkeypatch):
    lay(tmp_path, "p/image.nrrd")
    monkeypatch.chdir(tmp_path / "p")
    assert names(find_cases(".")) == names(find_cases("image.nrrd")) == ["p"]


def test_loose_images_are_a_case_each(tmp_path):
    lay(tmp_path, "a.nii.gz", "b.nii.gz", "scan_0001.nrrd", "scan_0002.nrrd", "README.txt", ".hidden.png")
    sources = find_cases(tmp_path)
    assert names(sources) == ["a", "b", "scan_0001", "scan_0002"]
    assert [s.images for s in sources][:2] == [(tmp_path / "a.nii.gz",), (tmp_path / "b.nii.gz",)]
    assert {s.label for s in sources} == {None}
    assert names(find_cases(tmp_path, image="a,b")) == [tmp_path.name]


def test_numbers_may_be_names(tmp_path):
    lay(tmp_path, "0000.png", "0001.png", "0002.png", "0002_mask.png")
    sources = find_cases(tmp_path)
    assert names(sources) == ["0000", "0001", "0002"]
    assert sources[2].label == tmp_path / "0002_mask.png"


def test_loose_images_with_their_labels(tmp_path):
    lay(tmp_path, "a.png", "a_mask.png", "b.png", "b_label.png", "b_confidence.tif", "c.png", "c_seg.png", "d.png")
    (tmp_path / "split.json").write_text(json.dumps({"test": ["c"]}))
    a, b, c, d = find_cases(tmp_path)
    assert [s.label and s.label.name for s in (a, b, c, d)] == ["a_mask.png", "b_label.png", "c_seg.png", None]
    assert b.confidence == tmp_path / "b_confidence.tif"
    assert [s.split for s in (a, b, c, d)] == ["", "", "test", ""]


@pytest.mark.parametrize(
    "files",
    [
        ("a_0000.nii", "a_0001.nii", "b_0000.nii", "b_0001.nii"),
        ("flair.nii", "T1.nii"),
        ("p1_t1ce.nii", "p1_t2.nii", "p2_t1ce.nii", "p2_t2.nii"),
        ("a.nii", "a_contour.nii", "b.nii"),
        ("a.nii", "b.nii", "c_label.nii"),
        ("a.nii", "a_label.nii", "a_seg.nii", "b.nii"),
    ],
)
def test_loose_images_that_may_belong_together_are_not_guessed_at(tmp_path, refused, files):
    lay(tmp_path / "new", *files)
    with refused("image-unclear", "new", "folder of its own"):
        find_cases(tmp_path / "new")


def test_results_beside_loose_images_are_no_cases(tmp_path):
    lay(tmp_path, "a.nii.gz", "b.nii.gz", "a/segmentation.nii.gz", "b/segmentation.nii.gz", "b/confidence.nii.gz")
    assert [s.images for s in find_cases(tmp_path)] == [(tmp_path / "a.nii.gz",), (tmp_path / "b.nii.gz",)]


def test_a_stray_picture_hides_no_case_folders(tmp_path):
    lay(tmp_path, "overview.png", "a/image.nrrd", "b/image.nrrd")
    assert names(find_cases(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("DICOMDIR", "choose that folder"),
        ("cases.csv", "type --list"),
        ("cases.json", "type --list"),
        ("scene.mrb", "unpack it"),
        ("notes.txt", "choose an image or a folder"),
    ],
)
def test_what_to_choose_instead_of_a_file_that_is_no_image(tmp_path, refused, name, words):
    lay(tmp_path, name)
    with refused("unknown-format", name, words):
        find_cases(tmp_path / name)
