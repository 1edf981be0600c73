"""Volumes and diameters with intervals, from the training that calibrates them to the tables that show them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.commands import confidence, finetune, predict, review, train
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.inference.measurements import EXTENT, load_calibration, overlapping_objects
from DALESegmentLib.engine.io.array_cases import save_array_case
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

QUICK = {"epochs": 1, "steps_per_epoch": 6, "device": "cpu"}
VOXEL_ML = 2.0 / 1000


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Eighteen cases, and a model validated on half of them."""
    root = tmp_path_factory.mktemp("extents")
    for n in range(18):
        save_array_case(ball_case(f"case{n}", size=(16, 16, 8), seed=n), root / "cases" / f"case{n}")
    save_array_case(ball_case("new", size=(16, 16, 8), seed=99), root / "new")
    asked = {"cases": {"folder": str(root / "cases")}, "out": str(root / "run"), "validation": 0.5, **QUICK}
    train.run(asked, Progress())
    return root


def asked(root: Path, cases: Path, out: Path, run: str = "run") -> dict:
    item = {"name": cases.name, "arrays": str(cases)}
    return {"model": str(root / run), "cases": {"items": [item]}, "out": str(out), "device": "cpu"}


def test_a_training_keeps_what_its_validation_cases_say(root):
    calibrations = load_calibration(root / "run" / "bundle")
    assert set(calibrations) == {
        f"1 {who} {figure}" for who in ("labelled", "predicted") for figure in ("size", "diameter")
    }
    assert {calibration.cases for calibration in calibrations.values()} == {9}


def test_review_confidence_and_prediction_report_them_in_words_for_a_spreadsheet(root, tmp_path):
    case = ball_case("new", size=(16, 16, 8), seed=99)
    for job, label in ((review, True), (confidence, True), (predict, False)):
        result = job.run(asked(root, root / "new", tmp_path / job.__name__), Progress())
        (extent,) = result["items"][0]["extents"].values()
        assert extent["name"] == "ball"
        volume, diameter = extent["volume_ml"], extent["diameter_mm"]
        assert 0 < volume["low"] <= volume["high"]
        assert 0 < diameter["low"] <= diameter["high"]
        if label:
            assert volume["value"] == pytest.approx(case.label.sum() * VOXEL_ML)
        (row,) = csv.DictReader(Path(result["extents_csv"]).read_text(encoding="utf-8").splitlines())
        assert (row["case"], row["class_name"], row["area_mm2"]) == ("new", "ball", "")
        assert float(row["volume_ml_low"]) == pytest.approx(volume["low"])


def test_a_label_the_model_learned_from_gets_the_wider_interval_about_itself(root, tmp_path):
    learned = json.loads((root / "run" / "run.json").read_text())["training"][0]
    half = load_calibration(root / "run" / "bundle")["1 labelled size"].half
    widths = {}
    for name, folder in (("learned", root / "cases" / learned), ("new", root / "new")):
        item = confidence.run(asked(root, folder, tmp_path / name), Progress())["items"][0]
        volume = item["extents"]["1"]["volume_ml"]
        widths[name] = np.log(volume["high"] / volume["low"])
        if name == "learned":
            assert np.sqrt(volume["low"] * volume["high"]) == pytest.approx(volume["value"])
    assert widths == {"learned": pytest.approx(2 * half), "new": pytest.approx(half)}


def test_what_was_confirmed_throughout_has_no_interval_left(root, tmp_path):
    case = ball_case("sure", size=(16, 16, 8), seed=99)
    case.trusted = np.ones(case.label.shape, bool)
    save_array_case(case, tmp_path / "sure")
    item = confidence.run(asked(root, tmp_path / "sure", tmp_path / "out"), Progress())["items"][0]
    volume = item["extents"]["1"]["volume_ml"]
    assert volume["low"] == pytest.approx(volume["value"]) == volume["high"]


def test_a_fine_tune_without_validation_cases_hands_them_on(root, tmp_path):
    tuned = finetune.run({**asked(root, root / "new", tmp_path / "tuned"), **QUICK}, Progress())
    assert load_calibration(Path(tuned["model"])) == load_calibration(root / "run" / "bundle")


def test_a_model_that_was_validated_on_too_little_says_nothing(root, tmp_path):
    few = {"items": [{"name": f"case{n}", "arrays": str(root / "cases" / f"case{n}")} for n in range(5)]}
    train.run({"cases": few, "out": str(tmp_path / "run"), **QUICK}, Progress())
    item = confidence.run(asked(tmp_path, root / "new", tmp_path / "out"), Progress())["items"][0]
    assert item["extents"]["1"]["volume_ml"]["low"] is None
    assert item["extents"]["1"]["volume_ml"]["value"] > 0


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", '{"scales": 3}', '{"scales": {"a": {"shift": 1e9, "half": 1, "cases": 9}}}', '{"scales": {"a": {}}}'],
)
def test_calibrations_that_no_training_makes_are_refused(content, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / EXTENT).write_text(content)
    with pytest.raises(EngineError) as caught:
        load_calibration(tmp_path)
    assert caught.value.code == "unreadable-file"


def test_calibrations_that_lie_elsewhere_are_refused(tmp_path):
    (tmp_path / "bundle" / "docs").mkdir(parents=True)
    (tmp_path / "elsewhere.json").write_text('{"scales": {}}')
    (tmp_path / "bundle" / EXTENT).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(EngineError) as caught:
        load_calibration(tmp_path / "bundle")
    assert caught.value.code == "model-leads-out"


def test_what_the_model_sees_elsewhere_is_another_object():
    grid = Geometry((80, 20, 4), (1.0, 1.0, 1.0), (0.0,) * 3, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    label, drawn = np.zeros((2, *grid.array_shape), bool)
    label[1:3, 5:15, 5:15] = True
    drawn[1:3, 5:15, 14:30] = True  # far beyond the label, but of one piece with what meets it
    drawn[:, :, 40:] = True
    model = overlapping_objects(drawn, label, grid)
    assert model.size == 2 * 10 * 16
    assert model.diameter == pytest.approx(np.hypot(9, 15) + 1)
    assert overlapping_objects(drawn & False, label, grid).size == 0
