"""Slicer segmentations are understood by the names of their segments, whatever the order in each file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.commands import confidence, evaluate, finetune, plan, predict, review, train
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import load_array_case, save_array_case
from DALESegmentLib.engine.io.class_names import write_names
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.io.segmentations import Segment, from_masks, write_segmentation
from DALESegmentLib.engine.training.checkpoint import load_labels
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    """In each case the left half of the ball is `left`; the second lists its segments the other way round, the
    third has an empty segment of another name as well."""
    root = tmp_path_factory.mktemp("segmentations")
    orders = (["left", "right"], ["right", "left"], ["scratch", "left", "right"])
    for n, order in enumerate(orders):
        case = ball_case(f"case{n}", seed=n)
        half = np.zeros(case.label.shape, bool)
        half[:, :, : case.label.shape[2] // 2] = True
        masks = {"left": (case.label > 0) & half, "right": (case.label > 0) & ~half, "scratch": half & ~half}
        write_image(root / case.name / "image.nrrd", case.image, case.geometry)
        write_image(root / case.name / "truth.nrrd", masks["left"] + 2 * masks["right"], case.geometry)
        segments = [Segment(f"Segment_{i}", name) for i, name in enumerate(order, 1)]
        write_segmentation(
            root / case.name / "label.seg.nrrd", from_masks([masks[name] for name in order], segments, case.geometry)
        )
    return root


@pytest.fixture(scope="module")
def model(cases, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    asked = {"cases": {"folder": str(cases)}, "out": str(out), "epochs": 2, "steps_per_epoch": 4, "device": "cpu"}
    train.run(asked, Progress())
    return out


def test_one_class_has_one_value_in_all_cases(cases, model):
    planned = plan.run({"cases": {"folder": str(cases)}, "device": "cpu"}, Progress())
    assert (planned["class_values"], planned["class_names"]) == ([0, 1, 2], {"1": "left", "2": "right"})
    assert json.loads((model / "run.json").read_text())["plan"]["class_names"] == {"1": "left", "2": "right"}


def test_labels_are_compared_by_name(cases):
    mean = evaluate.run({"cases": {"folder": str(cases), "reference": "truth"}}, Progress())["mean"]
    assert mean["label"]["dice"] == 1


def test_predictions_keep_their_names_and_are_compared_by_them(cases, model, tmp_path):
    """The case whose file lists `right` first, on its own: its order must not decide what a value means."""
    named = {"items": [{"name": "case1", "images": [str(cases / "case1" / "image.nrrd")]}]}
    asked = {"model": str(model), "cases": named, "out": str(tmp_path), "device": "cpu"}
    predict.run(asked, Progress())
    assert json.loads((tmp_path / "dataset.json").read_text())["labels"] == {
        "0": "background",
        "1": "left",
        "2": "right",
    }
    truth, geometry = read_label(cases / "case1" / "truth.nrrd")
    write_image(tmp_path / "case1" / "segmentation.nrrd", truth, geometry)  # a perfect prediction
    named["items"][0]["reference"] = str(cases / "case1" / "label.seg.nrrd")
    mean = evaluate.run({"cases": named, "predictions": str(tmp_path)}, Progress())["mean"]
    assert mean["prediction"]["dice"] == 1


def test_confidence_reads_an_empty_segment_the_model_does_not_know(cases, model, tmp_path):
    asked = {"model": str(model), "cases": {"folder": str(cases)}, "out": str(tmp_path), "device": "cpu"}
    assert len(confidence.run(asked, Progress())["items"]) == 3


def arrays_of(folder: Path, order: list[str], case_number: int = 0) -> dict:
    """The ball as an array case whose values 1, 2, ... are its halves in that order, as Slicer hands it over."""
    case = ball_case(f"case{case_number}", seed=case_number)
    half = np.arange(case.label.shape[2]) < case.label.shape[2] // 2
    masks = {"left": (case.label > 0) & half, "right": (case.label > 0) & ~half}
    case.label = np.zeros(case.label.shape, np.uint8)
    for value, name in enumerate(order, 1):
        case.label[masks.get(name, np.zeros(case.label.shape, bool))] = value
    case.class_names = dict(enumerate(order, 1))
    save_array_case(case, folder)
    return {"items": [{"name": case.name, "arrays": str(folder)}]}


def test_arrays_are_matched_to_the_model_by_name(model, tmp_path):
    """The same patient, handed over with the segments in two orders, gets the same confidence and regions."""
    found = {}
    for order in (("left", "right"), ("scratch", "right", "left")):
        out = tmp_path / order[0]
        cases = arrays_of(out / "case", list(order))
        asked = {"model": str(model), "cases": cases, "out": str(out / "review"), "device": "cpu"}
        answer = review.run(asked, Progress())
        listed = [{k: v for k, v in region.items() if k != "case"} for region in answer["regions"]]
        found[order[0]] = np.load(answer["items"][0]["confidence"]), listed
    np.testing.assert_array_equal(found["left"][0], found["scratch"][0])
    assert found["left"][1] == found["scratch"][1]
    assert {(r["label_value"], r["class_name"]) for r in found["left"][1]} <= {(1, "left"), (2, "right")}


def test_fine_tuning_learns_arrays_by_name(model, tmp_path):
    cases = arrays_of(tmp_path / "case", ["right", "left"])
    asked = {"model": str(model), "cases": cases, "out": str(tmp_path / "run"), "epochs": 1, "steps_per_epoch": 1}
    finetune.run({**asked, "device": "cpu"}, Progress())
    learned = load_labels(tmp_path / "run")["case0"].target().numpy()
    straight = load_array_case(Path(arrays_of(tmp_path / "straight", ["left", "right"])["items"][0]["arrays"]))
    assert [(learned == v).sum() for v in (1, 2)] == [(straight.label == v).sum() for v in (1, 2)]


def test_a_segment_that_the_model_does_not_know_is_named(model, tmp_path):
    cases = arrays_of(tmp_path / "case", ["left", "right"])
    description = tmp_path / "case" / "case.json"
    description.write_text(description.read_text().replace('"right"', '"tumour"'))
    asked = {"model": str(model), "cases": cases, "out": str(tmp_path / "out"), "device": "cpu"}
    with pytest.raises(EngineError) as caught:
        confidence.run(asked, Progress())
    assert caught.value.code == "unknown-segment"
    assert "tumour, which is none of the classes left, right" in caught.value.sentence
    predict.run(asked, Progress())  # where the label is of no use, it is no obstacle


def test_arrays_in_different_orders_are_learned_together(tmp_path):
    items = [
        *arrays_of(tmp_path / "a", ["left", "right"], 0)["items"],
        *arrays_of(tmp_path / "b", ["right", "left"], 1)["items"],
    ]
    planned = plan.run({"cases": {"items": items}, "device": "cpu"}, Progress())
    assert (planned["class_values"], planned["class_names"]) == ([0, 1, 2], {"1": "left", "2": "right"})


def test_somebody_elses_dataset_json_is_left_alone(tmp_path):
    theirs = '{"name": "theirs", "labels": {"0": "background", "1": "liver"}}'
    (tmp_path / "dataset.json").write_text(theirs)
    write_names(tmp_path, {1: "left"})
    assert (tmp_path / "dataset.json").read_text() == theirs
