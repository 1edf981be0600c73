"""Commands take what others wrote: spoil, train, predict, compare, with nothing written by hand in between."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.commands import evaluate, predict, simulate, train
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.io.segmentations import Segment, from_masks, write_segmentation
from Testing.phantoms import ball_case

QUICK = {"epochs": 1, "steps_per_epoch": 5, "device": "cpu", "dims": 3}


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "cases"
    for n in range(4):
        case = ball_case(f"case{n}", seed=n)
        write_image(root / case.name / "image.nii.gz", case.image, case.geometry)
        write_image(root / case.name / "label.nii.gz", case.label, case.geometry)
    return root


def rows_of(path: str | Path) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(path).read_text(encoding="utf-8").splitlines()))


def spoil(cases: Path, out: Path, **more) -> dict:
    asked = {"cases": {"folder": str(cases)}, "out": str(out), "kind": "dilate", "amount": 1.5}
    return simulate.run({**asked, **more}, Progress())


@pytest.mark.slow
def test_spoiled_labels_are_learned_from_and_compared_with_the_truth(cases, tmp_path):
    spoiled = spoil(cases, tmp_path / "spoiled")
    listed = {"list": spoiled["list"]}
    trained = train.run({"cases": listed, "out": str(tmp_path / "run"), **QUICK}, Progress())
    predict.run({"model": trained["run"], "cases": listed, "out": str(tmp_path / "out"), "device": "cpu"}, Progress())
    asked = {"cases": listed, "predictions": str(tmp_path / "out"), "out": str(tmp_path / "scores")}
    found = evaluate.run(asked, Progress())
    assert len(found["items"]) == 4
    assert found["mean"]["label"]["dice"] == pytest.approx(np.mean([item["dice"] for item in spoiled["items"]]))
    assert found["mean"]["prediction"]["dice"] is not None
    table = rows_of(found["csv"])
    assert [(row["case"], row["label_value"], row["unit"]) for row in table] == [
        (f"case{n}", "1", "mm") for n in range(4)
    ]
    assert [float(row["label_dice"]) for row in table] == pytest.approx([i["dice"] for i in spoiled["items"]])
    assert json.loads(Path(found["json"]).read_text(encoding="utf-8"))["mean"] == found["mean"]


@pytest.mark.slow
def test_what_predict_wrote_is_compared_with_the_labels_of_the_data_folder(cases, tmp_path):
    trained = train.run({"cases": {"folder": str(cases)}, "out": str(tmp_path / "run"), **QUICK}, Progress())
    named = {"folder": str(cases)}
    predict.run({"model": trained["run"], "cases": named, "out": str(tmp_path / "out"), "device": "cpu"}, Progress())
    found = evaluate.run({"cases": named, "predictions": str(tmp_path / "out")}, Progress())
    assert set(found["mean"]) == {"prediction"}
    for item in found["items"]:
        drawn = read_label(next((tmp_path / "out" / item["name"]).glob("segmentation.*")))[0] > 0
        label = read_label(cases / item["name"] / "label.nii.gz")[0] > 0
        dice = 2 * (drawn & label).sum() / (drawn.sum() + label.sum())
        assert item["prediction"]["classes"][1]["dice"] == pytest.approx(dice)
    values = [item["prediction"]["mean"]["dice"] for item in found["items"]]
    assert found["median"]["prediction"]["dice"] == pytest.approx(np.median(values))
    quartiles = [found[f"quartile_{n}"]["prediction"]["dice"] for n in (1, 3)]
    assert quartiles == pytest.approx(np.percentile(values, [25, 75]))


def test_segments_keep_their_names_when_they_are_spoiled(tmp_path):
    """Cases list their segments in two orders: the new label maps have one numbering, and say what it means."""
    orders = {"a": ("left", "right"), "b": ("right", "left")}
    for name, order in orders.items():
        case = ball_case(name)
        i = np.indices(case.label.shape)[2]
        halves = {"left": case.label * (i < 12) > 0, "right": case.label * (i >= 12) > 0}
        write_image(tmp_path / "cases" / name / "image.nrrd", case.image, case.geometry)
        segments = [Segment(f"S{n}", word) for n, word in enumerate(order)]
        drawn = from_masks([halves[word] for word in order], segments, case.geometry)
        write_segmentation(tmp_path / "cases" / name / "label.seg.nrrd", drawn)
    items = spoil(tmp_path / "cases", tmp_path / "out", share=0.0)["items"]
    first, second = (read_label(Path(item["label"]))[0] for item in items)
    assert (first == second).all()
    assert set(np.unique(first)) == {0, 1, 2}
    names = json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"]
    assert {"1": names["1"], "2": names["2"]} == {"1": "left", "2": "right"}


def test_the_list_holds_what_the_data_said(cases, tmp_path):
    lines = ["name,image,label,split,patient"]
    lines += [f"case{n},{cases}/case{n}/image.nii.gz,{cases}/case{n}/label.nii.gz,train,p{n}" for n in range(2)]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    asked = {"cases": {"list": str(tmp_path / "mine.csv")}, "out": str(tmp_path / "out"), "kind": "erode"}
    rows = rows_of(simulate.run({**asked, "amount": 1.0}, Progress())["list"])
    assert [(row["split"], row["patient"]) for row in rows] == [("train", "p0"), ("train", "p1")]
    for n, row in enumerate(rows):
        assert (tmp_path / "out" / row["image"]).resolve() == (cases / f"case{n}" / "image.nii.gz").resolve()
        assert (tmp_path / "out" / row["label"]).is_file()
        assert not Path(row["label"]).is_absolute()


def refused(code: str, asked: dict) -> str:
    with pytest.raises(EngineError) as caught:
        evaluate.run(asked, Progress())
    assert caught.value.code == code
    return caught.value.sentence


def copy_labels(cases: Path, out: Path, names: list[str]) -> Path:
    for name in names:
        label, geometry = read_label(cases / name / "label.nii.gz")
        write_image(out / name / "segmentation.nii.gz", label, geometry)
    return out


def test_missing_references_and_predictions_are_told_before_anything_is_compared(cases, tmp_path):
    named = {"folder": str(cases)}
    assert "--reference" in refused("no-reference", {"cases": named})
    some = copy_labels(cases, tmp_path / "some", ["case0", "case2"])
    sentence = refused("no-prediction", {"cases": named, "predictions": str(some)})
    assert "case1 and case3" in sentence
    refused("missing-folder", {"cases": named, "predictions": str(tmp_path / "none")})


def test_a_case_without_a_label_is_left_out_and_told(cases, tmp_path):
    for n in range(2):
        case = ball_case(f"case{n}", seed=n)
        write_image(tmp_path / "data" / case.name / "image.nii.gz", case.image, case.geometry)
        if n == 0:
            write_image(tmp_path / "data" / case.name / "label.nii.gz", case.label, case.geometry)
    drawn = copy_labels(cases, tmp_path / "drawn", ["case0", "case1"])
    found = evaluate.run({"cases": {"folder": str(tmp_path / "data")}, "predictions": str(drawn)}, Progress())
    assert [item["name"] for item in found["items"]] == ["case0"]
    assert found["left_out"] == ["case1"]
    assert found["mean"]["prediction"]["dice"] == 1


@pytest.mark.parametrize("out", ["scores", "scores.json", "scores.csv"])
def test_scores_are_never_replaced_unasked(out, cases, tmp_path):
    drawn = copy_labels(cases, tmp_path / "drawn", [f"case{n}" for n in range(4)])
    asked = {"cases": {"folder": str(cases)}, "predictions": str(drawn), "out": str(tmp_path / out)}
    found = evaluate.run(asked, Progress())
    assert {Path(found["json"]).suffix, Path(found["csv"]).suffix} == {".json", ".csv"}
    refused("results-exist", asked)
    Path(found["csv"]).write_text("mine", encoding="utf-8")
    (kept,) = evaluate.run({**asked, "overwrite": True}, Progress())["kept"]
    assert (Path(found["csv"]).parent / kept).read_text() == "mine"
    assert len(rows_of(found["csv"])) == 4
