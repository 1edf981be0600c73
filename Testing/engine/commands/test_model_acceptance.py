"""What is validated on stays unseen, by patient and by image; a worse model is not accepted without a word."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.commands import finetune, train
from DALESegmentLib.engine.commands.model_acceptance import ReviewedScore, compare_scores
from DALESegmentLib.engine.commands.pretrained import still_held_out
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.case import CaseSource
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

SIZE = (16, 16, 8)
QUICK = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu"}


def item(root: Path, name: str, seed: int, **more) -> dict:
    save_array_case(ball_case(name, size=SIZE, seed=seed), root / name)
    return {"name": name, "arrays": str(root / name), **more}


@pytest.fixture(scope="module")
def five(tmp_path_factory) -> dict:
    """A model of five cases, one of them validated on."""
    root = tmp_path_factory.mktemp("five")
    items = [item(root, f"case{n}", n) for n in range(5)]
    train.run({"cases": {"items": items}, "out": str(root / "run"), **QUICK}, Progress())
    record = json.loads((root / "run" / "run.json").read_text())
    (held,) = record["validation"]
    return {"root": root, "items": items, "held": held, "run": root / "run", "record": record}


def tune(five: dict, items: list[dict], out: Path, model: Path | None = None) -> dict:
    asked = {"model": str(model or five["run"]), "cases": {"items": items}, "out": str(out), **QUICK}
    return finetune.run(asked, Progress())


def test_a_chain_of_fine_tunes_never_learns_from_a_validation_case(five, tmp_path):
    """Not even where one in between was not given it."""
    others = [i for i in five["items"] if i["name"] != five["held"]]
    first = tune(five, others, tmp_path / "first")
    tune(five, five["items"], tmp_path / "second", Path(first["run"]))
    record = json.loads((tmp_path / "second" / "run.json").read_text())
    assert record["validation"] == [five["held"]] == record["held_out"]
    assert five["held"] not in record["training"]


def test_its_image_under_another_name_is_refused(five, tmp_path):
    renamed = item(tmp_path, "renamed", int(five["held"].removeprefix("case")))
    with pytest.raises(EngineError) as caught:
        tune(five, [renamed], tmp_path / "out")
    assert caught.value.code == "validation-leak"
    assert not (tmp_path / "out").exists()
    shutil.copytree(five["run"] / "bundle", tmp_path / "bundle")  # the bundle alone knows it, too
    with pytest.raises(EngineError, match="same image as a validation case"):
        tune(five, [renamed], tmp_path / "out", tmp_path / "bundle")


def test_one_image_twice_in_a_first_training_is_refused(tmp_path):
    items = [item(tmp_path, f"case{n}", 0) for n in range(5)]
    with pytest.raises(EngineError, match="same image as a validation case"):
        train.run({"cases": {"items": items}, "out": str(tmp_path / "run"), **QUICK}, Progress())


def test_no_patient_is_on_both_sides():
    sources = [CaseSource(f"scan{n}", patient=f"p{n // 2}") for n in range(20)]
    sources += [CaseSource(f"sub-{n // 2:02}_ses-{n % 2}") for n in range(20)]
    for seed in range(10):
        training, validation = train.split(sources, 0.25, seed)
        sides = [{s.patient or s.name.partition("_")[0] for s in side} for side in (training, validation)]
        assert not sides[0] & sides[1]
        assert (len(sides[1]), len(validation)) == (5, 10)


def test_another_scan_of_a_validation_patient_is_not_learned_from():
    sources = [CaseSource("a", patient="p1"), CaseSource("b", patient="p1"), CaseSource("sub-7_ses-2"), CaseSource("c")]
    training, validation = still_held_out(sources, [], {"a", "sub-7_ses-1"})
    assert [s.name for s in training] == ["c"]
    assert [s.name for s in validation] == ["a", "b", "sub-7_ses-2"]


def test_a_fine_tune_says_what_it_cost(five, tmp_path):
    result = tune(five, five["items"], tmp_path / "out")
    assert result["validation_dice_before"] is not None
    assert result["accepted"] == (not result["objections"])


def test_unlearned_voxels_and_lost_dice_are_objected_to():
    def judged(right: int) -> ReviewedScore:
        mask = np.zeros(1000, bool)
        mask[:right] = True
        return ReviewedScore(1000, 1000 - right, {"a": mask})

    assert compare_scores(judged(900), judged(895), 0.8, 0.79)["accepted"]
    forgot = compare_scores(judged(900), judged(800), None, None)
    assert (forgot["accepted"], forgot["confirmed_unlearned"]) == (False, 100)
    assert forgot["objections"] == [
        "The new model follows 800 of 1,000 confirmed voxels and unlearned 100 that the earlier one had right."
    ]
    few, many = (ReviewedScore(1000, 500, {"a": np.arange(1000) >= n}) for n in (20, 60))  # in other places than before
    before = ReviewedScore(1000, 600, judged(400).right)
    assert compare_scores(before, few, None, None)["accepted"]
    assert not compare_scores(before, many, None, None)["accepted"]
    assert not compare_scores(ReviewedScore(1000, 400, judged(400).right), few, None, None)["accepted"]
    worse = compare_scores(judged(900), judged(950), 0.8, 0.77)
    assert worse["objections"] == ["The Dice of the validation cases fell from 0.800 to 0.770 with the new model."]
