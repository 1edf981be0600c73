"""Results of a case are found by its name alone, and classes keep their names from one command to the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.commands import evaluate, export, simulate
from DALESegmentLib.engine.commands.result_files import files_by_name
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.bids import write_map
from DALESegmentLib.engine.io.case import CaseSource
from DALESegmentLib.engine.io.class_names import write_names
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.io.segmentations import Segment, from_masks, write_segmentation
from Testing.phantoms import ball_case

GEOMETRY = ball_case("p").geometry


def block(first: int, value: int = 1) -> np.ndarray:
    label = np.zeros(GEOMETRY.array_shape, np.int16)
    label[2:6, first : first + 4, 3:9] = value
    return label


def save(path: Path, label: np.ndarray) -> Path:
    write_image(path, label, GEOMETRY)
    return path


def lay_case(root: Path, name: str, label: np.ndarray | None = None) -> Path:
    write_image(root / name / "image.nii.gz", ball_case("p").image, GEOMETRY)
    if label is not None:
        save(root / name / "label.nii.gz", label)
    return root


def dice(cases: Path, predictions: Path) -> list[float]:
    asked = {"cases": {"folder": str(cases)}, "predictions": str(predictions)}
    return [item["prediction"]["mean"]["dice"] for item in evaluate.run(asked, Progress())["items"]]


def test_a_case_is_not_given_the_prediction_of_one_whose_name_goes_on(tmp_path):
    for name, first in (("p1", 1), ("p1.5", 8)):
        lay_case(tmp_path / "data", name, block(first))
        save(tmp_path / "found" / f"{name}.nii.gz", block(first))
    assert dice(tmp_path / "data", tmp_path / "found") == [1.0, 1.0]


def test_predictions_in_two_formats_are_a_question(tmp_path):
    lay_case(tmp_path / "data", "p1", block(1))
    for ending in (".nii.gz", ".mha"):
        save(tmp_path / "found" / "p1" / f"segmentation{ending}", block(1))
    with pytest.raises(EngineError, match=r"Of p1 there are segmentation\.mha and segmentation\.nii\.gz") as caught:
        dice(tmp_path / "data", tmp_path / "found")
    assert caught.value.code == "several-results"


def test_predictions_in_bids_are_found(tmp_path):
    data = lay_case(tmp_path / "data", "p1", block(1))
    source = CaseSource("p1", (data / "p1" / "image.nii.gz",))
    write_map(tmp_path / "found", source, "segmentation", block(1), GEOMETRY, {1: "x"}, "by hand")
    assert dice(data, tmp_path / "found") == [1.0]


def test_a_mask_a_class_has_the_class_of_its_name_in_every_case(tmp_path):
    for name, classes in (("a", {"liver": 1, "spleen": 8}), ("b", {"spleen": 8})):
        write_image(tmp_path / "data" / name / "ct.nii.gz", ball_case("p").image, GEOMETRY)
        for called, first in classes.items():
            save(tmp_path / "data" / name / "segmentations" / f"{called}.nii.gz", block(first))
        liver = block(1) if "liver" in classes else 0
        save(tmp_path / "found" / f"{name}.nii.gz", liver + block(8, 2))
    assert dice(tmp_path / "data", tmp_path / "found") == [1.0, 1.0]


def segments(path: Path, *names: str) -> None:
    places = {"liver": 1, "tumour": 8}
    masks = [block(places[name]) > 0 for name in names]
    write_segmentation(path, from_masks(masks, [Segment(n, n) for n in names], GEOMETRY))


def test_exported_labels_have_the_values_of_the_results(tmp_path):
    data = tmp_path / "data"
    for name, order in (("a", ("liver", "tumour")), ("b", ("tumour", "liver"))):
        lay_case(data, name)
        segments(data / name / "label.seg.nrrd", *order)
        save(tmp_path / "found" / name / "segmentation.nii.gz", block(1, 2) + block(8, 1))
    write_names(tmp_path / "found", {1: "tumour", 2: "liver"})
    asked = {"cases": {"folder": str(data)}, "results": str(tmp_path / "found"), "format": "nifti"}
    items = export.run({**asked, "reviewer": "R", "out": str(tmp_path / "out")}, Progress())["items"]
    for item in items:
        assert np.array_equal(read_label(item["reviewed"])[0], block(1, 2) + block(8, 1))
    assert '"1": "tumour"' in (tmp_path / "out" / "dataset.json").read_text()


def sparse(tmp_path: Path) -> dict:
    label = block(1)
    label[3:5] = 0
    return {"folder": str(lay_case(tmp_path / "data", "p1", label)), "sparse_labels": True}


def test_what_is_not_annotated_stays_so_in_exported_and_spoiled_labels(tmp_path):
    cases = sparse(tmp_path)
    save(tmp_path / "found" / "p1" / "segmentation.nii.gz", block(1))
    asked = {"cases": cases, "results": str(tmp_path / "found"), "format": "nifti", "reviewer": "R"}
    exported = export.run({**asked, "out": str(tmp_path / "out")}, Progress())["items"][0]["reviewed"]
    asked = {"cases": cases, "kind": "dilate", "amount": 2.0, "out": str(tmp_path / "spoiled")}
    spoiled = simulate.run(asked, Progress())["items"][0]["label"]
    for path in map(Path, (exported, spoiled)):
        drawn = (read_label(path)[0] != 2).any(axis=(1, 2))
        assert np.flatnonzero(drawn).tolist() == [2, 5]
        assert '"2": "ignore"' in (path.parent.parent / "dataset.json").read_text()


def test_predictions_with_segments_in_any_order_are_of_one_numbering(tmp_path):
    for name, order in (("a", ("liver", "tumour")), ("b", ("tumour", "liver"))):
        lay_case(tmp_path / "data", name, block(1) + block(8, 2))
        segments(tmp_path / "found" / f"{name}.seg.nrrd", *order)
    assert dice(tmp_path / "data", tmp_path / "found") == [1.0, 1.0]


def test_a_folder_is_looked_through_once_for_all_names(tmp_path):
    for name in ("case.nii.gz", "case.1.nii.gz", "case_2.npy", "both.nii.gz", "both.npy", "notes.txt", "case.json"):
        (tmp_path / name).touch()
    (tmp_path / "folder.nii.gz").mkdir()
    found = {name: [path.name for path in paths] for name, paths in files_by_name(tmp_path).items()}
    assert found == {
        "case": ["case.nii.gz"],
        "case.1": ["case.1.nii.gz"],
        "case_2": ["case_2.npy"],
        "both": ["both.nii.gz", "both.npy"],
    }
