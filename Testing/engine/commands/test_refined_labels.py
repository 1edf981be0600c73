"""A training that finds the labels' outlines wrong learns from better ones, says so, and leaves the labels alone."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.bundle.run_folder import BUNDLE_FOLDER, find_bundle
from DALESegmentLib.engine.commands import confidence, finetune, review, train
from DALESegmentLib.engine.core.errors import Cancelled
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.metrics.segmentation import mean_dice
from DALESegmentLib.engine.training.checkpoint import load_labels

pytestmark = pytest.mark.slow

CASES = 10
ON = {"image_evidence": True}
LONG = {"epochs": 16, "steps_per_epoch": 12, "device": "cpu", "dims": 2, "validation": 0, "batch_size": 4}


def write_cases(folder: Path, beside: int = 3) -> dict[str, np.ndarray]:
    """Bright discs, each drawn so many voxels beside where it is; returns the truths."""
    truths = {}
    for n in range(CASES):
        rng = np.random.default_rng(n)
        y, x = np.indices((48, 48))
        truth = np.hypot(y - rng.uniform(20, 28), x - rng.uniform(20, 28)) < rng.uniform(9, 12)
        drawn = np.roll(truth, rng.choice([-beside, beside], 2), (0, 1))
        image = (100.0 * truth + rng.normal(0, 15, truth.shape)).astype(np.float32)
        geometry = Geometry((48, 48), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
        case = Case(f"case{n}", image[None], geometry, label=drawn.astype(np.uint8), class_names={1: "disc"})
        save_array_case(case, folder / case.name)
        truths[case.name] = truth
    return truths


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray], dict]:
    root = tmp_path_factory.mktemp("refined")
    truths = write_cases(root / "cases")
    return root, truths, train.run(asked(root, "run"), Progress())


def overlooked(cases: Path) -> None:
    """Empty the labels of three cases."""
    for n in range(3):
        label = np.load(cases / f"case{n}" / "label.npy")
        np.save(cases / f"case{n}" / "label.npy", np.zeros_like(label))


def asked(root: Path, name: str, **more) -> dict:
    return {"cases": {"folder": str(root / "cases")}, "out": str(root / name), **LONG, "dale": ON, **more}


def learned(root: Path, run: str) -> dict[str, np.ndarray]:
    found = load_labels(find_bundle(root / run).parent)
    return {name: labels.target().numpy()[..., 0].T > 0 for name, labels in found.items()}


def test_it_learns_from_outlines_nearer_to_the_truth_and_says_so(trained):
    root, truths, result = trained
    assert result["refined"] == CASES
    before = {n: labels.given.numpy()[..., 0].T > 0 for n, labels in load_labels(root / "run").items()}
    now = learned(root, "run")
    assert np.mean([mean_dice(before[n], truths[n]) for n in truths]) < 0.8
    assert np.mean([mean_dice(now[n], truths[n]) for n in truths]) > 0.9


def test_the_confidence_is_that_of_the_label_as_it_was_drawn(trained):
    root, truths, _ = trained
    model, out = str(root / "run"), str(root / "confidence")
    asked_for = {"model": model, "cases": {"folder": str(root / "cases")}, "out": out, "device": "cpu"}
    items = confidence.run(asked_for, Progress())["items"]
    right, wrong = [], []
    for item in items:
        found = np.load(item["confidence"]).squeeze()
        drawn = np.load(root / "cases" / item["name"] / "label.npy").squeeze() > 0
        errs = drawn != truths[item["name"]]
        wrong.append(found[errs].mean())
        right.append(found[~errs].mean())
    assert np.mean(wrong) < 0.3 < 0.9 < np.mean(right)


def test_unless_it_is_asked_for_nothing_moves(trained):
    root, _, _ = trained
    asked_for = asked(root, "off")
    del asked_for["dale"]
    assert train.run(asked_for, Progress())["refined"] == 0


def test_a_fine_tune_goes_on_with_them(trained):
    root, _, _ = trained
    model, cases = str(root / "run"), {"folder": str(root / "cases")}
    short = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu"}
    result = finetune.run({"model": model, "cases": cases, "out": str(root / "tuned"), **short}, Progress())
    assert result["refined"] == CASES
    before, after = learned(root, "run"), learned(root, "tuned")
    assert all(np.array_equal(before[n], after[n]) for n in before)


def test_stopped_half_way_and_resumed_it_ends_the_same(trained):
    root, _, _ = trained
    stop = threading.Event()

    def watch(report: dict) -> None:
        if report["stage"] == "training" and report["percent"] > 70:
            stop.set()

    with pytest.raises(Cancelled):
        train.run(asked(root, "stopped"), Progress(watch, stop))
    result = train.run({"out": str(root / "stopped"), "resume": True}, Progress())
    assert result["refined"] == CASES
    weights = [
        torch.load(root / run / BUNDLE_FOLDER / "models" / "model.pt", weights_only=True) for run in ("run", "stopped")
    ]
    assert all(torch.equal(a, b) for a, b in zip(weights[0].values(), weights[1].values(), strict=True))


def test_objects_that_labels_left_out_are_learned_and_said(tmp_path):
    truths = write_cases(tmp_path / "cases", beside=0)
    overlooked(tmp_path / "cases")
    before = {n: np.load(tmp_path / "cases" / n / "label.npy") for n in truths}
    result = train.run(asked(tmp_path, "run"), Progress())
    assert (result["completed"], result["refined"]) == (3, 0)
    assert all(mean_dice(found, truths[n]) > 0.9 for n, found in learned(tmp_path, "run").items())
    assert all(np.array_equal(np.load(tmp_path / "cases" / n / "label.npy"), was) for n, was in before.items())

    model, out = str(tmp_path / "run"), str(tmp_path / "review")
    asked_for = {"model": model, "cases": {"folder": str(tmp_path / "cases")}, "out": out, "device": "cpu"}
    reviewed = review.run(asked_for, Progress())
    missing = [region for region in reviewed["regions"] if region["suspicion"] == "missing"]
    assert {region["case"] for region in missing} == {"case0", "case1", "case2"}
    assert {(region["label_source"], region["learned_class"]) for region in missing} == {("missed_objects", "disc")}
    added = {name: int(found.sum()) for name, found in learned(tmp_path, "run").items() if not before[name].any()}
    counts = {item["name"]: item["learned_otherwise"] for item in reviewed["items"] if item["label_source"]}
    assert counts == {name: {"missed_objects": voxels} for name, voxels in added.items()}

    off = train.run(asked(tmp_path, "off", dale={"missed_objects": False}), Progress())
    assert off["completed"] == 0


def test_images_without_the_object_stay_without(tmp_path):
    write_cases(tmp_path / "cases", beside=0)
    overlooked(tmp_path / "cases")
    for n in range(3):
        path = tmp_path / "cases" / f"case{n}" / "image.npy"
        noise = np.random.default_rng(n).normal(0, 15, np.load(path).shape)
        np.save(path, noise.astype(np.float32))
    result = train.run(asked(tmp_path, "run"), Progress())
    assert (result["completed"], result["refined"]) == (0, 0)
    assert not any(learned(tmp_path, "run")[f"case{n}"].any() for n in range(3))
