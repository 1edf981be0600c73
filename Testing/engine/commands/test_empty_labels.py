"""Images without anything to be labelled: learned like others, as long as something is labelled somewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest

from DALESegmentLib.engine.cli import data_summaries
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
from DALESegmentLib.engine.io.images import write_image
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

SHORT = {"epochs": 1, "steps_per_epoch": 2, "device": "cpu"}


def write_cases(folder, labelled: int, empty: int):
    for n in range(labelled + empty):
        case = ball_case(f"case{n}", size=(28, 28, 14), seed=n)
        label = case.label if n < labelled else np.zeros_like(case.label)
        write_image(folder / case.name / "image.nrrd", case.image, case.geometry)
        write_image(folder / case.name / "label.nrrd", label.astype(np.uint8), case.geometry)
    return folder


def of(folder, **more):
    return {"cases": {"folder": str(folder), **more}}


def test_every_command_takes_them(tmp_path, capsys):
    data = write_cases(tmp_path / "data", labelled=1, empty=1)
    found = inspect.run(of(data), Progress())
    assert found["problems"] == 0
    data_summaries.inspection(found)
    assert capsys.readouterr().out.count("empty") == 1
    assert plan.run(of(data), Progress())["classes"] == 2
    trained = train.run({**of(data), "out": str(tmp_path / "run"), **SHORT}, Progress())
    assert trained["empty_labels"] == 1
    applied = {**of(data), "model": trained["model"], "device": "cpu"}
    assert len(predict.run({**applied, "out": str(tmp_path / "predicted")}, Progress())["items"]) == 2
    maps = confidence.run({**applied, "out": str(tmp_path / "maps")}, Progress())["items"]
    assert all(0 <= item["mean_confidence"] <= 1 for item in maps)
    review.run({**applied, "out": str(tmp_path / "review")}, Progress())
    tuned = finetune.run({**applied, "out": str(tmp_path / "tuned"), **SHORT}, Progress())
    assert tuned["empty_labels"] == 1
    compared = {**of(data, reference="label"), "predictions": str(tmp_path / "predicted")}
    assert len(evaluate.run(compared, Progress())["items"]) == 2
    simulate.run({**of(data), "out": str(tmp_path / "spoiled"), "kind": "erode", "amount": 1.0}, Progress())


@pytest.mark.parametrize("empty", [1, 6])
def test_not_all_may_be_empty(tmp_path, empty):
    data = write_cases(tmp_path / "data", labelled=0, empty=empty)
    found = inspect.run(of(data), Progress())
    assert [("has" in row["problem"], "foreground" in row["problem"]) for row in found["cases"]] == [
        (True, True)
    ] * empty
    for job, more in ((plan, {}), (train, {"out": str(tmp_path / "run"), **SHORT})):
        with pytest.raises(EngineError, match="every voxel is 0; draw the structure"):
            job.run({**of(data), **more}, Progress())
    assert not (tmp_path / "run").exists()


def test_what_alone_is_labelled_is_not_kept_for_validation(tmp_path):
    data = write_cases(tmp_path / "data", labelled=1, empty=5)
    asked = {**of(data), "out": str(tmp_path / "run"), **SHORT, "validation": 0.8, "seed": 0}
    result = train.run(asked, Progress())
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (sentence,) = result["labels"]
    alone = sentence.partition(" alone has ")[0]
    assert alone in record["training"]
    assert len(record["validation"]) == 5
