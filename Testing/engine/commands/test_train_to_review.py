"""The whole chain of jobs on small cases made by code: files in, files out, on the case's own grid."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.commands import (
    confidence,
    evaluate,
    finetune,
    inspect,
    plan,
    predict,
    review,
    simulate,
    train,
)
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.images import read_image, read_label, write_image
from DALESegmentLib.engine.review.audit import read_audit, write_audit
from DALESegmentLib.engine.training.validation import load_recalibration
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

SHORT = {"epochs": 4, "steps_per_epoch": 12, "device": "cpu", "seed": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Six cases, one of which has a large bite taken out of its label."""
    root = tmp_path_factory.mktemp("cases")
    for n in range(6):
        case = ball_case(f"case{n}", seed=n)
        write_image(root / case.name / "image.nii.gz", case.image, case.geometry)
        write_image(root / case.name / "truth.nii.gz", case.label, case.geometry)
        label = case.label.copy()
        if n == 0:
            i = int(np.argwhere(label).mean(0)[2])
            label[:, :, i:] = 0
        write_image(root / case.name / "label.nii.gz", label, case.geometry)
    return root


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    result = train.run({"cases": {"folder": str(folder), "label": "label"}, "out": str(out), **SHORT}, Progress())
    assert result["epochs"] == 4
    return Path(result["run"])


def test_training_learns_and_says_how_well(model):
    record = json.loads((model / "run.json").read_text())
    assert record["status"] == "finished"
    assert len(record["validation"]) == 1
    assert not set(record["validation"]) & set(record["training"])
    losses = [row["loss"] for row in record["history"]]
    assert losses[-1] < losses[0]
    assert record["history"][-1]["validation_dice"] > 0.8


def test_a_training_validates_ten_times_at_most(folder, tmp_path):
    cases = {"folder": str(folder), "label": "label"}
    asked = {"cases": cases, "out": str(tmp_path / "run"), **SHORT, "epochs": 19, "steps_per_epoch": 1}
    validated = ["validation_dice" in row for row in train.run(asked, Progress())["history"]]
    assert 1 < sum(validated) <= 10
    assert validated[-1]


def test_prediction_lies_on_the_images_own_grid(model, folder, tmp_path):
    asked = {"model": str(model), "cases": {"folder": str(folder)}, "out": str(tmp_path), "device": "cpu"}
    items = predict.run({**asked, "probabilities": True}, Progress())["items"]
    assert [item["name"] for item in items] == [f"case{n}" for n in range(6)]
    for item in items:
        image, geometry = read_image(folder / item["name"] / "image.nii.gz")
        segmentation, grid = read_label(Path(item["segmentation"]))
        assert geometry.difference(grid) is None
        truth, _ = read_label(folder / item["name"] / "truth.nii.gz")
        overlap = 2 * ((segmentation > 0) & (truth > 0)).sum() / ((segmentation > 0).sum() + (truth > 0).sum())
        assert overlap > 0.75
        probabilities, _ = read_image(Path(item["probabilities"]))
        assert probabilities.shape == (2, *image.shape[1:])
        assert np.allclose(probabilities.sum(0), 1, atol=1e-3)


def test_the_bite_is_the_first_region_and_is_said_to_be_too_small(model, folder, tmp_path):
    asked = {"model": str(model), "cases": {"folder": str(folder), "label": "label"}, "out": str(tmp_path)}
    result = review.run({**asked, "device": "cpu"}, Progress())
    first = result["regions"][0]
    assert (first["case"], first["suspicion"], first["class_name"]) == ("case0", "too small", "class 1")
    assert Path(result["csv"]).is_file()
    label, geometry = read_label(folder / "case0" / "label.nii.gz")
    truth, _ = read_label(folder / "case0" / "truth.nii.gz")
    k, j, i = reversed(first["centre_voxel"])
    assert truth[k, j, i] == 1
    assert label[k, j, i] == 0
    assert np.allclose(geometry.index_to_ras((i, j, k)), first["centre_ras"], atol=1e-3)
    confidence_map, grid = read_image(Path(result["items"][0]["confidence"]))
    assert grid.difference(geometry) is None
    assert confidence_map.min() >= 0
    assert confidence_map.max() <= 1
    assert confidence_map[0][label != truth].mean() < confidence_map[0][label == truth].mean() - 0.25


def test_an_audit_judged_by_the_truth_bounds_the_errors_that_are_left(model, folder, tmp_path):
    """From the command's list to its estimate, as a reader with a spreadsheet would."""
    asked = {"model": str(model), "cases": {"folder": str(folder), "label": "label"}, "out": str(tmp_path)}
    asked |= {"device": "cpu", "audit": 60}
    path = Path(review.run(asked, Progress())["audit"])
    with pytest.raises(EngineError, match="no verdict yet"):
        evaluate.run({"audit": str(path)}, Progress())
    arrays = {
        f"case{n}": [read_label(folder / f"case{n}" / f"{x}.nii.gz")[0] for x in ("label", "truth")] for n in range(6)
    }
    judged = []
    for place in read_audit(path):
        label, truth = (array[tuple(reversed(place.voxel))] for array in arrays[place.case])
        judged.append(replace(place, verdict="right" if label == truth else "wrong"))
    write_audit(judged, path)
    left = evaluate.run({"audit": str(path)}, Progress())["errors_left"]
    voxel = 2.0
    assert left["low_mm3"] <= voxel * sum((a != b).sum() for a, b in arrays.values()) <= left["high_mm3"]
    assert 0 < left["high_mm3"] < left["audited_mm3"] / 4
    with pytest.raises(EngineError, match="holds verdicts already"):
        review.run(asked, Progress())
    assert read_audit(path) == judged


def test_evaluating_nothing_is_refused():
    with pytest.raises(EngineError, match="or a filled-in audit"):
        evaluate.run({}, Progress())


def test_evaluation_finds_the_label_errors(model, folder, tmp_path):
    cases = {"folder": str(folder), "label": "label", "reference": "truth"}
    confidence.run({"model": str(model), "cases": cases, "out": str(tmp_path), "device": "cpu"}, Progress())
    again = {"model": str(model), "cases": cases, "out": str(tmp_path), "device": "cpu", "overwrite": True}
    assert "kept" not in predict.run(again, Progress())
    asked = {"cases": cases, "predictions": str(tmp_path), "confidence": str(tmp_path)}
    mean = evaluate.run({**asked, "out": str(tmp_path / "scores.json")}, Progress())["mean"]
    assert mean["label_errors"]["overall"]["auroc"] > 0.9
    assert mean["prediction"]["dice"] > 0.8
    assert mean["label"]["dice"] < 1
    assert json.loads((tmp_path / "scores.json").read_text())["mean"]["prediction"] == mean["prediction"]


def test_a_corrected_array_case_is_learned_and_its_confidence_is_one(model, folder, tmp_path):
    case = ball_case("case0", seed=0)
    case.trusted = np.zeros(case.label.shape, bool)
    case.trusted[:, 6:14, 8:16] = True
    save_array_case(case, tmp_path / "case0")
    cases = {"items": [{"name": "case0", "arrays": str(tmp_path / "case0")}]}
    asked = {"model": str(model), "cases": cases, "out": str(tmp_path / "tuned"), "device": "cpu"}
    result = finetune.run({**asked, "epochs": 2, "steps_per_epoch": 8}, Progress())
    assert result["confirmed_voxels"] == int(case.trusted.sum())
    assert result["confirmed_violated"] < 0.1 * result["confirmed_voxels"]
    out = confidence.run({**asked, "model": result["model"], "out": str(tmp_path / "maps")}, Progress())
    values = np.load(out["items"][0]["confidence"])
    assert values.shape == case.label.shape
    assert (values[case.trusted] == 1).all()
    assert values[~case.trusted].max() < 1

    known = load_recalibration(tmp_path / "tuned")
    assert sum(known.looks) == pytest.approx(1)  # one place was looked at, and a part of its old label was wrong
    wrong = ball_case("case0", seed=0).label != read_label(folder / "case0" / "label.nii.gz")[0]
    assert 1 - sum(known.right) == pytest.approx(wrong[case.trusted].mean(), abs=1e-4)
    again = {**asked, "model": result["model"], "out": str(tmp_path / "again"), "epochs": 1, "steps_per_epoch": 2}
    finetune.run(again, Progress())
    assert load_recalibration(tmp_path / "again") == known  # handed on; what was known before is not counted twice


def test_plan_and_inspect_say_what_they_see(folder):
    cases = {"folder": str(folder), "label": "label"}
    planned = plan.run({"cases": cases, "device": "cpu", "network": "SegResNet"}, Progress())
    assert (planned["network"], planned["dims"], planned["classes"]) == ("SegResNet", 3, 2)
    rows = inspect.run({"cases": cases}, Progress())
    assert rows["problems"] == 0
    assert rows["cases"][1]["geometry"]["size"] == [24, 20, 12]


def test_simulated_labels_differ_from_the_given_ones(folder, tmp_path):
    asked = {"cases": {"folder": str(folder), "label": "truth"}, "out": str(tmp_path), "kind": "erode"}
    items = simulate.run({**asked, "amount": 1.5}, Progress())["items"]
    assert all(0.4 < item["dice"] < 0.98 for item in items)


@pytest.mark.parametrize(("names", "told"), [({}, "value 7"), ({1: "ball", 7: "wire"}, "segment ball")])
def test_a_case_with_a_class_the_model_does_not_know_is_refused(names, told, model, folder, tmp_path):
    case = ball_case("strange")
    case.class_names = names
    case.label[0, 0, 0] = 7
    save_array_case(case, tmp_path / "strange")
    cases = {"items": [{"name": "strange", "arrays": str(tmp_path / "strange")}]}
    with pytest.raises(EngineError, match=told):
        confidence.run({"model": str(model), "cases": cases, "out": str(tmp_path / "out"), "device": "cpu"}, Progress())


def test_an_earlier_training_is_never_overwritten_unasked(model, folder):
    with pytest.raises(EngineError, match="already holds a training"):
        train.run({"cases": {"folder": str(folder), "label": "label"}, "out": str(model), **SHORT}, Progress())


def test_two_trainings_with_one_seed_are_the_same_to_the_bit(folder, tmp_path):
    weights = []
    for name in ("a", "b"):
        asked = {"cases": {"folder": str(folder), "label": "label", "limit": 2}, "out": str(tmp_path / name)}
        train.run({**asked, **SHORT, "epochs": 2, "steps_per_epoch": 3}, Progress())
        weights.append(torch.load(tmp_path / name / "bundle" / "models" / "model.pt", weights_only=True))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_model_that_has_hardly_begun_lists_nothing_and_says_why(folder, tmp_path):
    cases = {"folder": str(folder), "label": "label"}
    asked = {"cases": cases, "out": str(tmp_path / "run"), **SHORT, "epochs": 1, "steps_per_epoch": 1}
    trained = train.run(asked, Progress())
    asked = {"cases": cases, "model": trained["model"], "out": str(tmp_path / "review"), "device": "cpu"}
    listed, maps = review.run(asked, Progress()), confidence.run({**asked, "overwrite": True}, Progress())
    for result in (trained, listed, maps):
        (weak,) = result["too_weak"]
        assert weak["sentence"].startswith("The model is too weak to judge labels of class 1: ")
        assert weak["dice"] < 0.65
    assert listed["regions"] == []
    assert json.loads(Path(listed["json"]).read_text(encoding="utf-8"))["too_weak"] == listed["too_weak"]
    for item in listed["items"]:
        assert not read_label(Path(item["regions_map"]))[0].any()
