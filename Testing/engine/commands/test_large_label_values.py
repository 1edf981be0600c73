"""Few classes with large label values cost what few classes cost, and no value is ever changed on its way."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.commands import confidence, evaluate, finetune, predict, review, train
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.review.decisions import read_regions_json
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

NAMES = {5: "liver", 40_000: "duct", 1_000_000: "stone"}
SHORT = {"epochs": 4, "steps_per_epoch": 16, "device": "cpu", "seed": 1}
MOST = 64 << 20
"""Bytes: far more than a case and its maps, far less than a channel for each number up to the largest value."""


def three_parts(name: str, seed: int) -> Case:
    """A bright bar in three parts of different brightness; its label is right."""
    case = ball_case(name, seed=seed)
    label = np.zeros(case.label.shape, np.int32)
    for n, value in enumerate(NAMES):
        label[3:9, 5:15, 2 + 7 * n : 9 + 7 * n] = value
        case.image[0][label == value] = 300.0 * (n + 1)
    case.image[0][label == 0] = 0.0
    case.image += np.random.default_rng(seed).normal(0, 20, case.image.shape).astype(np.float32)
    case.label, case.class_names = label, dict(NAMES)
    return case


def bitten(case: Case, value: int) -> np.ndarray:
    """The label without half of what has that value."""
    label = case.label.copy()
    label[:, 5:10][label[:, 5:10] == value] = 0
    return label


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Four cases; the label of two has a large bite taken out of it."""
    root = tmp_path_factory.mktemp("cases")
    for n in range(4):
        case = three_parts(f"case{n}", seed=n)
        label = bitten(case, (0, 40_000, 1_000_000, 0)[n])
        for stem, array in (("image", case.image), ("truth", case.label), ("label", label)):
            write_image(root / case.name / f"{stem}.nii.gz", array, case.geometry)
    named = {"labels": {"0": "background", **{str(v): n for v, n in NAMES.items()}}}
    (root / "dataset.json").write_text(json.dumps(named))
    return root


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train.run({"cases": {"folder": str(folder), "label": "truth"}, "out": str(out), **SHORT}, Progress())
    assert json.loads((out / "run.json").read_text())["plan"]["class_values"] == [0, *NAMES]
    return out


def measured(job, asked):
    """What the job returns; it must not take more memory than a few maps."""
    tracemalloc.start()
    try:
        result = job.run(asked, Progress())
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    return result


def test_regions_carry_the_value_and_the_name_into_every_file(model, folder, tmp_path):
    cases = {"folder": str(folder), "label": "label"}
    asked = {"model": str(model), "cases": cases, "out": str(tmp_path), "device": "cpu"}
    result = measured(review, asked)
    regions = read_regions_json(result["json"])
    assert [r.as_dict() for r in regions] == result["regions"]
    with open(result["csv"], encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for region, row in zip(regions, rows, strict=True):
        assert region.class_name == NAMES[region.label_value]
        assert region.suggested_value in (0, *NAMES)
        assert (int(row["label_value"]), row["class_name"]) == (region.label_value, region.class_name)
        assert int(row["suggested_value"]) == region.suggested_value
    for name, value in (("case1", 40_000), ("case2", 1_000_000)):
        first = next(r for r in regions if r.case == name)
        assert (first.suspicion, first.label_value, first.suggested_value) == ("too small", value, value)
        item = next(item for item in result["items"] if item["name"] == name)
        where = np.isin(read_label(Path(item["regions_map"]))[0], [piece.region_id for piece in first.leaves])
        truth, label = (read_label(folder / name / f"{stem}.nii.gz")[0] for stem in ("truth", "label"))
        assert where.sum() == first.voxels
        assert (truth[where] == value).mean() > 0.8
        assert (label[where] == 0).all()
        assert set(item["extents"]) == {str(v) for v in NAMES}


def test_prediction_and_its_scores_know_the_values(model, folder, tmp_path):
    cases = {"folder": str(folder), "label": "label", "reference": "truth"}
    asked = {"model": str(model), "cases": cases, "out": str(tmp_path), "device": "cpu"}
    found = measured(predict, asked)["items"]
    measured(confidence, {**asked, "overwrite": True})
    for item in found:
        values = set(np.unique(read_label(Path(item["segmentation"]))[0]).tolist())
        assert values == {0, *NAMES}
        assert item["classes"] == {str(v): n for v, n in NAMES.items()}
    scores = measured(evaluate, {"cases": cases, "predictions": str(tmp_path), "confidence": str(tmp_path)})
    assert set(scores["items"][1]["prediction"]["classes"]) == set(NAMES)
    assert scores["mean"]["prediction"]["dice"] > 0.8
    assert scores["mean"]["label"]["dice"] < 1
    assert scores["mean"]["label_errors"]["overall"]["auroc"] > 0.8


def test_a_correction_is_learned_from(model, folder, tmp_path):
    case = three_parts("case2", seed=2)
    case.trusted = np.zeros(case.label.shape, bool)
    case.trusted[:, 4:12] = True
    save_array_case(case, tmp_path / "case2")
    cases = {"items": [{"name": "case2", "arrays": str(tmp_path / "case2")}]}
    asked = {"model": str(model), "cases": cases, "out": str(tmp_path / "tuned"), "device": "cpu"}
    tuned = measured(finetune, {**asked, "epochs": 1, "steps_per_epoch": 8})
    assert tuned["confirmed_voxels"] == int(case.trusted.sum())
    maps = measured(confidence, {**asked, "model": tuned["model"], "out": str(tmp_path / "maps")})
    assert (np.load(maps["items"][0]["confidence"])[case.trusted] == 1).all()
    predicted = measured(predict, {**asked, "model": tuned["model"], "out": str(tmp_path / "predicted")})
    assert set(np.unique(np.load(predicted["items"][0]["segmentation"])).tolist()) <= {0, *NAMES}
