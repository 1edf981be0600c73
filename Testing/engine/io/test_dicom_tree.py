"""PATIENT/STUDY/SERIES trees: an image series is a case, and what refers to it is its label, wherever it lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from dicom_files import DISTANCE, items, segmentation, series, voxels

from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.find_cases import find_cases

MASK = np.zeros((10, 12), np.uint8)
MASK[3:6, 4:9] = 1


def a_series(folder: Path, uid: str, seed: int = 0, slices: int = 6) -> Path:
    return series(folder, voxels(slices, seed=seed), SeriesInstanceUID=uid, FrameOfReferenceUID=uid + ".9")


def a_seg(path: Path, uid: str, name: str = "liver", refers: bool = True) -> Path:
    """One segment in two slices of the series."""
    segmentation(path, [(1, DISTANCE * k, MASK) for k in (2, 3)], [name])
    data = pydicom.dcmread(path)
    data.SeriesInstanceUID, data.FrameOfReferenceUID = uid + ".5", uid + ".9"
    if refers:
        data.ReferencedSeriesSequence = items({"SeriesInstanceUID": uid})
    data.save_as(path)
    return path


def test_series_of_studies_of_patients_with_their_segmentations(tmp_path):
    for n, patient in enumerate(("P1", "P2")):
        uid = f"1.2.{n + 1}"
        a_series(tmp_path / patient / "study" / "ct", uid, seed=n)
        a_series(tmp_path / patient / "study" / "late", uid + ".7", seed=n + 10)
        a_seg(tmp_path / patient / "study" / "seg" / "1.dcm", uid, refers=n == 0)
    found = find_cases(tmp_path)
    assert [(s.name, s.patient) for s in found] == [("P1", "P1"), ("P2", "P2")]
    assert [s.images[0].name for s in found] == ["ct", "ct"]
    for source in found:
        case = read_case(source)
        assert np.flatnonzero(case.label.any(axis=(1, 2))).tolist() == [2, 3]
        assert case.label.sum() == 2 * MASK.sum()
        assert case.class_names == {1: "liver"}


def test_without_labels_every_series_is_a_case_but_scouts(tmp_path):
    a_series(tmp_path / "P1" / "s1", "1.1")
    a_series(tmp_path / "P2" / "s1", "1.2")
    a_series(tmp_path / "P2" / "s2", "1.3", seed=3)
    a_series(tmp_path / "P2" / "scout", "1.4", slices=1)
    assert [s.name for s in find_cases(tmp_path)] == ["P1", "P2_s1", "P2_s2"]


def test_segmentations_of_two_readers_are_candidates(tmp_path):
    a_series(tmp_path / "P1" / "st" / "ct", "1.1")
    for reader in ("reader1", "reader2"):
        a_seg(tmp_path / "P1" / "st" / reader / "seg.dcm", "1.1")
    (source,) = find_cases(tmp_path)
    assert (source.label, source.candidates) == (None, ("reader1", "reader2"))
    assert find_cases(tmp_path, rater="2")[0].label.parent.name == "reader2"


def test_a_label_of_another_kind_in_the_patients_folder(tmp_path):
    a_series(tmp_path / "P1" / "ct", "1.1")
    a_series(tmp_path / "P2" / "ct", "1.2")
    for patient in ("P1", "P2"):
        (tmp_path / patient / "label.nrrd").touch()
    assert [s.label.name for s in find_cases(tmp_path)] == ["label.nrrd", "label.nrrd"]


def test_a_segmentation_beside_the_series_or_its_folder_is_no_image(tmp_path):
    for number, (images, label) in enumerate(
        (("image", "label.dcm"), (".", "seg.dcm"), ("image", "1.2.840.5"), ("image", "seg/1.dcm"))
    ):
        case = tmp_path / str(number) / "case"
        a_series(case / images, "1.1")
        a_seg(case / label, "1.1")
        (source,) = find_cases(tmp_path / str(number))
        assert source.label == case / label
        assert read_case(source).label.sum() == 2 * MASK.sum()


def test_three_other_files_do_not_hide_a_series(tmp_path):
    a_series(tmp_path / "a", "1.1")
    for n in range(5):
        (tmp_path / "a" / f"A{n}.json").write_text("{}")
        (tmp_path / "a" / f"A{n}").write_text("notes")
    (source,) = find_cases(tmp_path / "a")
    assert source.images == (tmp_path / "a",)


def test_a_series_is_known_by_more_than_its_first_file(tmp_path):
    study = tmp_path / "P1" / "st"
    ct = a_series(study / "ct", "1.1")
    scout = pydicom.dcmread(next(iter(ct.iterdir())))
    scout.SeriesInstanceUID, scout.SOPInstanceUID, scout.FrameOfReferenceUID = "1.9", "1.9.1", "1.9.9"
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.save_as(ct / "A.dcm")
    a_series(study / "late", "1.2", seed=3)
    a_seg(study / "seg" / "1.dcm", "1.1")
    a_seg(study / "seg2" / "1.dcm", "1.2")
    found = {source.name: source.label.parent.name for source in find_cases(tmp_path)}
    assert found == {"P1_st_ct": "seg", "P1_st_late": "seg2"}
