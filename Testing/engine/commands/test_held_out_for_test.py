"""What a data set keeps for tests is not learned from, unless somebody asks for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from DALESegmentLib.engine.cli import summaries
from DALESegmentLib.engine.commands import finetune, inspect, plan, train
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.images import write_image
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

QUICK = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def divided(tmp_path_factory) -> Path:
    """Two cases to learn from; the test case has two channels, so that learning from it is refused."""
    root = tmp_path_factory.mktemp("cases")
    for n, name in enumerate(("a", "b", "held out")):
        case = ball_case(name, seed=n)
        image = case.image.repeat(2, axis=0) if name == "held out" else case.image
        write_image(root / name / "image.nrrd", image, case.geometry)
        write_image(root / name / "label.nrrd", case.label, case.geometry)
    (root / "split.json").write_text(json.dumps({"train": ["a", "b"], "test": ["held out"]}))
    return root


@pytest.fixture(scope="module")
def trained(divided, tmp_path_factory) -> tuple[dict, list[str]]:
    told: list[str] = []
    out = tmp_path_factory.mktemp("runs") / "run"
    asked = {"cases": {"folder": str(divided)}, "out": str(out), **QUICK}
    return train.run(asked, Progress(lambda report: told.append(report["message"]))), told


def learned(result: dict) -> list[str]:
    record = json.loads((Path(result["run"]) / "run.json").read_text())
    return record["training"] + record["validation"]


def test_training_leaves_test_cases_out_and_reports_it(trained, capsys):
    result, told = trained
    assert learned(result) == ["a", "b"]
    assert result["held_out_for_test"] == 1
    assert "1 case is held out for testing" in told
    summaries.training(result)
    assert "Cases held out for testing: 1" in capsys.readouterr().out


def test_fine_tuning_does_so_too(trained, divided, tmp_path):
    asked = {"model": trained[0]["model"], "cases": {"folder": str(divided)}, "out": str(tmp_path / "run"), **QUICK}
    result = finetune.run(asked, Progress())
    assert (learned(result), result["held_out_for_test"]) == (["a", "b"], 1)


def test_a_plan_is_that_of_the_training(divided):
    assert plan.run({"cases": {"folder": str(divided)}, "device": "cpu"}, Progress())["channels"] == 1


def test_who_asks_for_all_gets_all(divided, tmp_path):
    cases = {"folder": str(divided), "split": "all"}
    with pytest.raises(Exception, match="number of channels"):
        train.run({"cases": cases, "out": str(tmp_path / "run"), **QUICK}, Progress())


def test_other_commands_take_all_by_default(divided):
    listed = inspect.run({"cases": {"folder": str(divided)}}, Progress())["cases"]
    assert [row["name"] for row in listed] == ["a", "b", "held out"]


def test_a_resumed_training_knows_its_cases_again(divided, trained):
    result = train.run({"out": trained[0]["run"], "resume": True, "device": "cpu"}, Progress())
    assert (learned(result), result["held_out_for_test"]) == (["a", "b"], 1)


def test_without_a_split_nothing_is_held_out(divided, tmp_path):
    items = [
        {"name": name, "images": [str(divided / name / "image.nrrd")], "label": str(divided / name / "label.nrrd")}
        for name in ("a", "b")
    ]
    result = train.run({"cases": {"items": items}, "out": str(tmp_path / "run"), **QUICK}, Progress())
    assert (learned(result), result["held_out_for_test"]) == (["a", "b"], 0)
