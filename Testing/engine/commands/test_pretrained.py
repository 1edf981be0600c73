"""A training and a fine-tune that start from a model, on labels with classes that it does not have."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.bundle.open_model import open_plan
from DALESegmentLib.engine.commands import finetune, predict, train
from DALESegmentLib.engine.core.errors import Cancelled, EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.training.checkpoint import load_labels
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow


def make_set(folder: Path, labels: dict[str, int], count: int = 3, first: int = 0) -> Path:
    """Cases with a bright ball and a dark box, labelled as far as `labels` gives them a value."""
    for n in range(first, first + count):
        case = ball_case(f"case{n}", seed=n)
        ball, box = case.label > 0, np.zeros(case.label.shape, bool)
        box[1:5, 1:6, 1:6] = True
        image = case.image + np.where(box & ~ball, -200.0, 0.0)
        label = labels.get("ball", 0) * ball + labels.get("box", 0) * (box & ~ball)
        write_image(folder / case.name / "image.nrrd", image.astype(np.float32), case.geometry)
        write_image(folder / case.name / "label.nrrd", label.astype(np.uint8), case.geometry)
    names = {"0": "background"} | {str(value): name for name, value in labels.items()}
    (folder / "dataset.json").write_text(json.dumps({"labels": names}))
    return folder


SHORT = {"device": "cpu", "epochs": 4, "steps_per_epoch": 15, "method": "plain", "batch_size": 4}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    data = make_set(tmp_path_factory.mktemp("old"), {"ball": 1})
    out = tmp_path_factory.mktemp("runs") / "first"
    train.run({"cases": {"folder": str(data)}, "out": str(out), **SHORT}, Progress())
    return out


@pytest.fixture(scope="module")
def new_set(tmp_path_factory) -> Path:
    """Of the box alone, which has the number that the ball has in the model."""
    return make_set(tmp_path_factory.mktemp("new"), {"box": 1}, first=10)


def dice_by_name(model: Path, out: Path) -> dict[str, float]:
    data = make_set(out / "data", {"ball": 2, "box": 1}, 2, first=20)
    asked = {"model": str(model), "cases": {"folder": str(data)}, "out": str(out / "found"), "device": "cpu"}
    predict.run(asked, Progress())
    values = {name: int(v) for v, name in json.loads((out / "found" / "dataset.json").read_text())["labels"].items()}
    scores: dict[str, list[float]] = {}
    for n in (20, 21):
        found, _ = read_label(out / "found" / f"case{n}" / "segmentation.nrrd")
        truth, _ = read_label(data / f"case{n}" / "label.nrrd")
        for name, value in (("ball", 2), ("box", 1)):
            mine, given = found == values.get(name, -1), truth == value
            scores.setdefault(name, []).append(2 * (mine & given).sum() / (mine.sum() + given.sum()))
    return {name: float(np.mean(each)) for name, each in scores.items()}


@pytest.fixture(scope="module")
def widened(model, new_set, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "second"
    asked = {"cases": {"folder": str(new_set)}, "out": str(out), "pretrained_weights": str(model), **SHORT}
    return out, train.run(asked, Progress())


def test_a_training_from_a_model_learns_the_new_class_and_keeps_the_old_one(widened, model, tmp_path):
    out, answer = widened
    assert "kept: ball from the model's own prediction; new: box" in answer["labels"]
    plan, before = open_plan(out), open_plan(model)
    assert (plan.class_values, plan.class_names) == ([0, 1, 2], {1: "ball", 2: "box"})
    assert (plan.patch_size, plan.spacing, plan.network) == (before.patch_size, before.spacing, before.network)
    scores = dice_by_name(out, tmp_path)
    assert scores["box"] > 0.7
    assert scores["ball"] > 0.7


def test_the_old_class_is_learned_where_the_model_before_draws_it(widened, new_set):
    for name, labels in load_labels(widened[0]).items():
        counts = labels.class_counts(lambda where, own=labels: own.given[where])
        box, _ = read_label(new_set / name / "label.nrrd")
        assert counts[2] == int((box == 1).sum())
        assert counts[1] > 100  # voxels of the ball, that no label has


def test_its_lineage_names_the_model_before(widened, model):
    lineage = json.loads((widened[0] / "bundle" / "docs" / "lineage.json").read_text())
    assert len(lineage["parents"]) == 1
    record = json.loads((widened[0] / "run.json").read_text())["pretrained"]
    assert record["model"] == str(model.resolve())
    assert (record["new"], record["kept"]) == ([2], [1])
    assert str(model) not in json.dumps(lineage)


def test_it_is_resumed_from_the_same_model_alone(model, new_set, tmp_path):
    stop = threading.Event()

    def look(event):
        if event["values"].get("epoch") == 3:
            stop.set()

    out = tmp_path / "run"
    asked = {"cases": {"folder": str(new_set)}, "out": str(out), "pretrained_weights": str(model), **SHORT}
    with pytest.raises(Cancelled):
        train.run(asked, Progress(look, stop))
    given = {name: labels.given.clone() for name, labels in load_labels(out).items()}
    assert train.run({"out": str(out), "resume": True, "device": "cpu"}, Progress())["epochs"] == 4
    assert all((labels.given == given[name]).all() for name, labels in load_labels(out).items())
    record = json.loads((out / "run.json").read_text())
    record["pretrained"]["weights"] = "0" * 16
    (out / "run.json").write_text(json.dumps(record))
    with pytest.raises(EngineError, match="the model first that it starts from changed"):
        train.run({"out": str(out), "resume": True, "device": "cpu"}, Progress())


def test_a_fine_tune_sends_a_new_class_to_a_training(model, new_set, tmp_path):
    asked = {"cases": {"folder": str(new_set)}, "out": str(tmp_path / "run"), "model": str(model), "device": "cpu"}
    with pytest.raises(EngineError, match="train --pretrained-weights adds it"):
        finetune.run(asked, Progress())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"network": "SegResNet"}, "keeps its network; leave --network out"),
        ({"dims": 2, "normalise": "ct"}, "keeps its dims and normalise"),
        ({"pretrained_weights": "/nowhere"}, "nowhere is not there"),
    ],
)
def test_what_does_not_go_together_gets_a_sentence(more, told, model, new_set, tmp_path):
    asked = {"cases": {"folder": str(new_set)}, "out": str(tmp_path / "run"), "pretrained_weights": str(model)}
    with pytest.raises(EngineError, match=told):
        train.run({**asked, **SHORT, **more}, Progress())
    assert not (tmp_path / "run").exists()
