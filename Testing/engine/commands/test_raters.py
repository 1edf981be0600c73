"""Several raters' labels from the command line: learned together, and told apart afterwards; on real nodules."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.bundle.lineage import read_lineage
from DALESegmentLib.engine.commands import finetune, prepared_cases, report, train
from DALESegmentLib.engine.core.distributed import Ranks
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.training.checkpoint import load_labels

pytestmark = pytest.mark.slow

DALESEGMENT = (sys.executable, "-m", "DALESegmentLib.engine")
CASES = ("L0018_n01", "L0021_n02", "L0037_n00", "L0041_n00", "L0043_n02", "L0044_n02")
EMPTY, PARTLY = CASES[0], CASES[1]
"""Of which rater3 drew nothing, and which rater2 did not label."""
SHORT = {"epochs": 2, "steps_per_epoch": 4, "batch_size": 4, "dims": 2, "device": "cpu", "validation": 0.2}


def run(*arguments: object, fails: bool = False) -> str:
    """What it printed; the sentence on standard error where it has to fail."""
    done = subprocess.run([*DALESEGMENT, *map(str, arguments)], capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == (1 if fails else 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split()) if fails else done.stdout


@pytest.fixture(scope="module")
def cases(data_folder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    for name in CASES:
        shutil.copytree(data_folder / "lidc_4rater" / name, folder / name)
    (folder / PARTLY / "rater2.nii.gz").unlink()
    path = folder / EMPTY / "rater3.nii.gz"
    label, geometry = read_label(path)[:2]
    path.unlink()
    write_image(path, np.zeros_like(label), geometry)
    return folder


@pytest.fixture(scope="module")
def trained(cases, tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("runs") / "run"
    return train.run({"cases": {"folder": str(cases), "rater": "all"}, "out": str(out), **SHORT}, Progress())


def test_training_says_how_each_rater_draws(trained, cases):
    rows = {row["rater"]: row for row in trained["raters"]}
    record = json.loads((Path(trained["run"]) / "run.json").read_text(encoding="utf-8"))
    held_out = {name.split("@")[0] for name in record["validation"]}
    assert record["raters"] == trained["raters"]
    learned = [name for name in CASES if name not in held_out]
    assert len(held_out) == 1
    assert list(rows) == ["rater1", "rater2", "rater3", "rater4"]
    for rater, row in rows.items():
        assert row["cases"] == len(learned) - (rater == "rater2" and PARTLY in learned)
        assert row["low_mm"] <= row["bias_mm"] <= row["high_mm"]
        assert 0 < row["confidence"] < 1
        assert 0.3 < row["dice"] < 1
    assert rows["rater3"]["left_out"] == (EMPTY in learned)
    assert trained["empty_labels"] == 0
    bundle = Path(trained["model"])
    kept = json.loads((bundle / "docs" / "raters.json").read_text(encoding="utf-8"))
    assert kept["raters"] == trained["raters"]
    card = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    assert "rater3 drew" in card
    assert f"{len(learned)} cases to learn from, 1 case to validate on" in card
    assert len(read_lineage(bundle)["cases"]) == len(CASES)


def test_the_report_of_a_folder_says_it_too(trained, tmp_path):
    shutil.copytree(trained["run"], tmp_path / "study" / "run")
    told = report.run({"folder": str(tmp_path / "study")}, Progress())
    assert "rater3 drew" in Path(told["html"]).read_text(encoding="utf-8")


def test_each_rater_has_a_memory_of_its_own_and_a_map(trained, cases, tmp_path):
    memory = load_labels(Path(trained["run"]))
    name = next(name for name in memory if name.endswith("@rater1") and not name.startswith(PARTLY)).split("@")[0]
    assert {f"{name}@rater{n}" for n in range(1, 5)} <= set(memory)
    assert f"{PARTLY}@rater2" not in memory
    others = ",".join(case for case in CASES if case != name)
    asked = ("--data", cases, "--exclude", others, "-m", trained["run"], "--json")
    every = json.loads(run("confidence", *asked, "--rater", "all", "-o", tmp_path / "all"))["items"]
    assert [item["name"] for item in every] == [f"{name}@rater{n}" for n in range(1, 5)]
    (one,) = json.loads(run("confidence", *asked, "--rater", "2", "-o", tmp_path / "one"))["items"]
    assert one["name"] == name
    assert one["mean_confidence"] == every[1]["mean_confidence"]
    assert len({item["mean_confidence"] for item in every}) > 1
    listed = json.loads(run("review", *asked, "--rater", "all", "-o", tmp_path / "review"))
    assert {item["name"] for item in listed["items"]} == {item["name"] for item in every}


def test_a_training_with_raters_is_resumed_with_the_same_cases(trained, cases, tmp_path):
    shutil.copytree(trained["run"], tmp_path / "run")
    again = train.run({"out": str(tmp_path / "run"), "resume": True}, Progress())
    assert [row["cases"] for row in again["raters"]] == [row["cases"] for row in trained["raters"]]


def test_a_fine_tune_keeps_the_raters_apart(trained, cases, tmp_path):
    asked = {"folder": str(cases), "rater": "all"}
    short = {"epochs": 1, "steps_per_epoch": 3, "device": "cpu"}
    told = finetune.run({"model": trained["run"], "cases": asked, "out": str(tmp_path / "run"), **short}, Progress())
    assert [row["cases"] for row in told["raters"]] == [row["cases"] for row in trained["raters"]]
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    earlier = json.loads((Path(trained["run"]) / "run.json").read_text(encoding="utf-8"))
    assert record["validation"] == earlier["validation"]


def test_labels_alone_are_compared_by_a_command(cases):
    told = json.loads(run("raters", "--data", cases, "--json"))
    assert [row["cases"] for row in told["raters"]] == [6, 5, 6, 6]
    assert [row["left_out"] for row in told["raters"]] == [0, 0, 1, 0]
    printed = run("raters", "--data", cases, "--rater", "rater1,4")
    assert "rater4" in printed
    assert "rater2" not in printed
    assert "halfway" in printed


def test_two_raters_are_compared_with_the_model(cases, tmp_path):
    asked = {"folder": str(cases), "rater": "rater1,rater4", "limit": 5}
    found = train.run({"cases": asked, "out": str(tmp_path / "run"), **SHORT}, Progress())
    assert "trained model" in found["consensus"]
    assert [row["rater"] for row in found["raters"]] == ["rater1", "rater4"]


def test_what_cannot_be_meant_is_said(cases):
    assert "No case has a label of rater 9" in run("raters", "--data", cases, "--rater", "1,9", fails=True)
    asked = ("--data", cases, "--rater", "all", "--label", "rater1", "-o", "nowhere")
    assert "--rater names several labels" in run("train", *asked, fails=True)
    assert "name them" in run("raters", "--data", cases, "--rater", "1", fails=True)


def test_raters_share_no_ranks(cases):
    with pytest.raises(EngineError, match="without torchrun"):
        prepared_cases.check_enough(find_cases(cases, rater="all"), Ranks(0, 2))
