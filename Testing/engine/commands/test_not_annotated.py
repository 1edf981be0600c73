"""What nobody annotated is learned from nowhere, scored nowhere, and shown as such."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.commands import confidence, evaluate, inspect, review, simulate, train
from DALESegmentLib.engine.commands.train import split
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.label_memory import LabelMemory
from DALESegmentLib.engine.dale.label_state import IGNORED, LabelState
from DALESegmentLib.engine.dale.loss import DaleLoss
from DALESegmentLib.engine.io.case import CaseSource
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_case
from DALESegmentLib.engine.training.sampling import PatchSampler
from DALESegmentLib.engine.training.validation import validation_dice
from Testing.phantoms import ball_case

IGNORE = 255


def half_annotated(case):
    """Without annotation in every second slice."""
    annotated = np.ones(case.label.shape, bool)
    annotated[::2] = False
    return replace(case, annotated=annotated, label=np.where(annotated, case.label, 0).astype(np.int16))


def prepared(case):
    return prepare_case(case, make_plan([CaseFingerprint.of(case)]))


def test_the_prepared_label_is_ignored_exactly_there():
    case = half_annotated(ball_case())
    ready = prepared(case)
    assert int((ready.labels.given == IGNORED).sum()) == int((~case.annotated).sum())
    assert ready.labels.class_counts()[1] == int((case.label == 1).sum())


@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_no_gradient_comes_from_there(progress):
    label = torch.randint(0, 2, (1, 16, 16), generator=torch.Generator().manual_seed(0))[0]
    label[:, 8:] = IGNORED
    memory = LabelMemory()
    memory.add("a", label)
    loss = DaleLoss(2)
    logits = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(1), requires_grad=True)
    loss(logits, memory.at(["a"]), progress=progress).backward()
    assert logits.grad is not None
    assert not logits.grad[..., 8:].any()
    assert logits.grad[..., :8].any()


def test_no_corrector_labels_it():
    given = torch.zeros((4, 6, 6), dtype=torch.int16)
    given[:2] = IGNORED
    state = LabelState(given)
    assert state.set_proposal("missed_objects", np.ones(given.shape, np.int16)) == int((given == 0).sum())
    assert (state.target()[:2] == IGNORED).all()
    names = state.source_names
    assert {names[n] for n in state.source()[:2].unique().tolist()} == {"not_annotated"}
    assert {names[n] for n in state.source()[2:].unique().tolist()} == {"missed_objects"}


def test_patches_are_drawn_where_something_is_annotated():
    case = ball_case(size=(40, 40, 30))
    annotated = np.zeros(case.label.shape, bool)
    annotated[14:16] = True
    case = replace(case, annotated=annotated, label=np.where(annotated, case.label, 0).astype(np.int16))
    plan = make_plan([CaseFingerprint.of(case)], dims=2)
    sampler = PatchSampler([prepare_case(case, plan)], plan)
    sampler.seed(0, 0)
    shares = [float((sampler.draw(torch.device("cpu")).valid.flatten(1).sum(1) > 0).float().mean()) for _ in range(8)]
    assert np.mean(shares) > 0.7


class Predicts:
    """A predictor of one class everywhere."""

    def __init__(self, classes: torch.Tensor) -> None:
        self.classes = classes

    def prepared_classes(self, _image, _progress):
        return self.classes


def test_validation_does_not_score_it():
    ready = prepared(half_annotated(ball_case()))
    label = ready.labels.target()
    everywhere_else = torch.where(label == IGNORED, torch.ones_like(label), label)
    assert validation_dice([ready], Predicts(everywhere_else), Progress()) == 1.0
    assert validation_dice([ready], Predicts(torch.ones_like(label)), Progress()) < 1.0


def write_cases(folder: Path, count: int = 6, ignore: int | None = IGNORE) -> Path:
    """nnU-Net's layout; every second slice is ignored."""
    for n in range(count):
        case = half_annotated(ball_case(f"c{n}", seed=n))
        label = case.label if ignore is None else np.where(case.annotated, case.label, ignore)
        write_image(folder / "imagesTr" / f"c{n}_0000.nrrd", case.image, case.geometry)
        write_image(folder / "labelsTr" / f"c{n}.nrrd", label, case.geometry)
    labels = {"background": 0, "ball": 1, **({} if ignore is None else {"ignore": ignore})}
    (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": labels}))
    return folder


def test_evaluate_scores_what_is_annotated_alone(tmp_path):
    folder = write_cases(tmp_path / "data", 2)
    for n in range(2):
        case = ball_case(f"c{n}", seed=n)
        drawn = case.label.copy()
        drawn[::2] = 1
        write_image(tmp_path / "p" / f"c{n}" / "segmentation.nrrd", drawn, case.geometry)
        doubt = np.where(half_annotated(case).annotated, 1.0, 0.0).astype(np.float32)
        write_image(tmp_path / "m" / f"c{n}" / "confidence.nrrd", doubt, case.geometry)
    asked = {
        "cases": {"folder": str(folder), "reference": "label"},
        "predictions": str(tmp_path / "p"),
        "confidence": str(tmp_path / "m"),
    }
    result = evaluate.run(asked, Progress())
    assert result["mean"]["prediction"]["dice"] == result["mean"]["label"]["dice"] == 1.0
    case = half_annotated(ball_case("c0"))
    assert result["items"][0]["label_errors"]["overall"]["voxels"] == int(case.annotated.sum())


def test_evaluate_reads_label_and_prediction_by_one_encoding(tmp_path):
    for n in range(3):
        case = ball_case(f"c{n}", seed=n)
        write_image(tmp_path / "d" / f"c{n}" / "image.nrrd", case.image, case.geometry)
        write_image(tmp_path / "d" / f"c{n}" / "label.nrrd", case.label * (255 if n else 1), case.geometry)
        for part, factor in (("p1", 1), ("p255", 255), ("p7", 7)):
            write_image(tmp_path / part / f"c{n}.nrrd", case.label * factor, case.geometry)
    asked = {"cases": {"folder": str(tmp_path / "d"), "reference": "label"}}
    for part in ("p1", "p255"):
        result = evaluate.run({**asked, "predictions": str(tmp_path / part)}, Progress())
        assert [item["prediction"]["mean"]["dice"] for item in result["items"]] == [1.0] * 3
    with pytest.raises(EngineError, match=r"c0 has the values 7, .* they do not mean the same") as caught:
        evaluate.run({**asked, "predictions": str(tmp_path / "p7")}, Progress())
    assert caught.value.code == "class-mismatch"


def test_inspect_counts_it(tmp_path):
    result = inspect.run({"cases": {"folder": str(write_cases(tmp_path, 2))}}, Progress())
    case = half_annotated(ball_case("c0"))
    assert result["cases"][0]["not_annotated"] == int((~case.annotated).sum())
    assert result["cases"][0]["classes"] == {"1": "ball"}
    assert "255 means not annotated" in result["labels"][0]
    assert result["problems"] == 0


def test_simulate_keeps_it(tmp_path):
    folder = write_cases(tmp_path / "data", 1)
    asked = {"cases": {"folder": str(folder)}, "out": str(tmp_path / "out"), "kind": "dilate", "amount": 1.0}
    (item,) = simulate.run(asked, Progress())["items"]
    label = read_label(item["label"])[0]
    np.testing.assert_array_equal(label == IGNORE, ~half_annotated(ball_case("c0")).annotated)


@pytest.mark.slow
def test_train_review_and_confidence_leave_it_out(tmp_path):
    folder = write_cases(tmp_path / "data")
    run = tmp_path / "run"
    short = {"epochs": 2, "steps_per_epoch": 4, "device": "cpu"}
    trained = train.run({"cases": {"folder": str(folder)}, "out": str(run), **short}, Progress())
    assert any("255 means not annotated" in sentence for sentence in trained["labels"])
    plan = json.loads((run / "run.json").read_text())["plan"]
    assert plan["class_values"] == [0, 1]
    asked = {"cases": {"folder": str(folder)}, "model": str(run), "device": "cpu"}
    (first, *_) = confidence.run({**asked, "out": str(tmp_path / "conf")}, Progress())["items"]
    hidden = ~half_annotated(ball_case("c0")).annotated
    assert first["not_annotated"] == int(hidden.sum())
    assert first["source_names"] == {"0": "given", "6": "not_annotated"}
    assert first["learned_otherwise"] == {}
    np.testing.assert_array_equal(read_label(first["label_source"])[0] == 6, hidden)
    found = review.run({**asked, "out": str(tmp_path / "rev"), "audit": 5}, Progress())
    for item in found["items"]:
        hidden = ~half_annotated(ball_case(item["name"], seed=int(item["name"][1]))).annotated
        assert not read_label(item["regions_map"])[0][hidden].any()
    resumed = train.run({"cases": None, "out": str(run), "resume": True}, Progress())
    assert resumed["labels"] == trained["labels"]


def sources(count: int) -> list[CaseSource]:
    return [CaseSource(f"c{n}") for n in range(count)]


def test_a_class_that_one_case_alone_has_is_learned_from():
    cases = sources(10)
    usual = split(cases, 0.2, 0)
    assert split(cases, 0.2, 0, {s.name: {1} for s in cases}) == usual
    rare = usual[1][0].name
    learned, held = split(cases, 0.2, 0, {s.name: {1, 2} if s.name == rare else {1} for s in cases})
    assert rare in {s.name for s in learned}
    assert len(held) == len(usual[1])
    learned, held = split(cases, 0.9, 0, {s.name: {int(s.name[1]) + 1} for s in cases})
    assert held == []


@pytest.mark.slow
def test_training_says_which_case_has_a_class_alone_and_learns_it(tmp_path):
    for n in range(6):
        case = ball_case(f"c{n}", seed=n)
        label = case.label.copy()
        if n == 3:
            label[:2, :3, :3] = 2
        write_image(tmp_path / "d" / f"c{n}" / "image.nrrd", case.image, case.geometry)
        write_image(tmp_path / "d" / f"c{n}" / "label.nrrd", label, case.geometry)
    short = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu", "validation": 0.5}
    result = train.run({"cases": {"folder": str(tmp_path / "d")}, "out": str(tmp_path / "r"), **short}, Progress())
    assert "c3 alone has class 2, so it is learned from and not held out" in result["labels"]
    stored = json.loads((tmp_path / "r" / "run.json").read_text())
    assert "c3" in stored["training"]
    assert stored["validation_share"] == 0.5
