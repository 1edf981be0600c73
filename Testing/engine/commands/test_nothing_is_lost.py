"""What a user has is kept: an earlier run until a new one can start, the data the results are made from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from DALESegmentLib.engine.commands import confidence, evaluate, finetune, predict, simulate, train
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.images import read_label, write_image
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

QUICK = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu"}


def write_case(root: Path, name: str, seed: int = 0, label=None) -> None:
    case = ball_case(name, seed=seed)
    write_image(root / name / "image.nii.gz", case.image, case.geometry)
    write_image(root / name / "label.nii.gz", case.label if label is None else label, case.geometry)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("cases")
    for n in range(2):
        write_case(root, f"case{n}", n)
    return root


@pytest.fixture(scope="module")
def model(cases, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train.run({"cases": {"folder": str(cases)}, "out": str(out), **QUICK}, Progress())
    return out


@pytest.mark.parametrize("job", [train, finetune])
def test_overwriting_with_cases_that_cannot_be_learned_keeps_the_earlier_run(job, cases, model, tmp_path):
    out = tmp_path / "run"
    train.run({"cases": {"folder": str(cases)}, "out": str(out), **QUICK}, Progress())
    before = contents(out)
    write_case(tmp_path / "bad", "empty", label=np.zeros(ball_case().label.shape, np.uint8))
    asked = {"cases": {"folder": str(tmp_path / "bad")}, "out": str(out), "overwrite": True, **QUICK}
    with pytest.raises(EngineError, match="has no foreground"):
        job.run(asked if job is train else {**asked, "model": str(model)}, Progress())
    assert contents(out) == before
    job.run({**asked, "cases": {"folder": str(cases)}, **({} if job is train else {"model": str(model)})}, Progress())
    assert contents(out) != before


def test_a_folder_that_another_training_took_meanwhile_is_left_to_it(cases, tmp_path):
    out = tmp_path / "run"

    class AnotherStarts(Progress):
        def report(self, *args, **values):
            if not (out / "run.json").exists():
                (out / "run.json").write_text("theirs")

        def part(self, start, stop):
            return self

    with pytest.raises(EngineError, match="already holds a training"):
        train.run({"cases": {"folder": str(cases)}, "out": str(out), **QUICK}, AnotherStarts())
    assert contents(out) == {"run.json": b"theirs"}


def test_spoiled_labels_never_replace_the_given_ones(cases):
    before = contents(cases)
    asked = {"cases": {"folder": str(cases)}, "out": str(cases), "kind": "erode", "amount": 1.0}
    with pytest.raises(EngineError, match="another results folder"):
        simulate.run(asked, Progress())
    assert contents(cases) == before


def test_nor_do_those_of_an_array_case(tmp_path):
    save_array_case(ball_case("ball"), tmp_path / "ball")
    before = contents(tmp_path)
    items = [{"name": "ball", "arrays": str(tmp_path / "ball")}]
    with pytest.raises(EngineError, match="another results folder"):
        simulate.run(
            {"cases": {"items": items}, "out": str(tmp_path), "kind": "erode", "amount": 1.0, "overwrite": True},
            Progress(),
        )
    assert contents(tmp_path) == before


def test_results_cannot_leave_their_folder(cases, model, tmp_path):
    image = str(cases / "case0" / "image.nii.gz")
    for name in ("../escaped", "..", str(tmp_path / "escaped")):
        asked = {"cases": {"items": [{"name": name, "images": [image]}]}, "out": str(tmp_path / "out")}
        with pytest.raises(EngineError, match="leads out"):
            predict.run({**asked, "model": str(model), "device": "cpu"}, Progress())
    assert list(tmp_path.iterdir()) == []


def test_an_error_says_which_case_it_is_about(cases, tmp_path):
    write_case(tmp_path, "good")
    write_case(tmp_path, "patient 7", label=ball_case().label * 0.5)
    with pytest.raises(EngineError, match=r"^patient 7: label\.nii\.gz has .* not a whole number"):
        train.run({"cases": {"folder": str(tmp_path)}, "out": str(tmp_path / "run"), **QUICK}, Progress())


def test_what_training_remembers_of_one_label_is_not_held_against_another(model, cases, tmp_path):
    """Rater 2's label of a case that was learned with rater 1's: where they differ, the model alone speaks."""
    case = ball_case("case0", seed=0)
    case.label = np.roll(case.label, 5, axis=2)
    given = {}
    for name in ("case0", "never seen"):
        save_array_case(case, tmp_path / "cases" / name)
        items = [{"name": name, "arrays": str(tmp_path / "cases" / name)}]
        asked = {"model": str(model), "cases": {"items": items}, "out": str(tmp_path / name), "device": "cpu"}
        given[name] = np.load(confidence.run(asked, Progress())["items"][0]["confidence"])
    changed = case.label != ball_case("case0", seed=0).label
    same = np.isclose(given["case0"][changed], given["never seen"][changed], atol=1e-6)
    assert same.mean() > 0.99  # all but neighbours of voxels whose memory decides whether they are contradicted
    assert not np.allclose(given["case0"][~changed], given["never seen"][~changed], atol=1e-3)


def test_a_validation_case_that_does_not_fit_is_refused_like_any_other(tmp_path):
    for n in range(5):
        write_case(tmp_path / "five", f"case{n}", n)
    result = train.run({"cases": {"folder": str(tmp_path / "five")}, "out": str(tmp_path / "run"), **QUICK}, Progress())
    (held_out,) = json.loads((tmp_path / "run" / "run.json").read_text())["validation"]
    label, geometry = read_label(tmp_path / "five" / held_out / "label.nii.gz")
    label[0, 0, 0] = 9
    write_image(tmp_path / "five" / held_out / "label.nii.gz", label, geometry)
    asked = {"cases": {"folder": str(tmp_path / "five")}, "model": result["run"], "out": str(tmp_path / "tuned")}
    with pytest.raises(EngineError, match="value 9"):
        finetune.run({**asked, **QUICK}, Progress())


def test_predictions_of_a_case_with_brackets_in_its_name_are_found(cases, model, tmp_path):
    write_case(tmp_path / "data", "scan [1]")
    label, geometry = read_label(tmp_path / "data" / "scan [1]" / "label.nii.gz")
    write_image(tmp_path / "flat" / "scan [1].nii.gz", label, geometry)
    asked = {"cases": {"folder": str(tmp_path / "data"), "reference": "label"}, "predictions": str(tmp_path / "flat")}
    assert evaluate.run(asked, Progress())["mean"]["prediction"]["dice"] == 1


@pytest.mark.parametrize("seed", [2**31, 10**20])
def test_a_seed_too_large_is_a_wrong_parameter(seed, cases, tmp_path):
    asked = {"cases": {"folder": str(cases)}, "out": str(tmp_path / "run"), **QUICK, "seed": seed}
    with pytest.raises(ValidationError, match="seed"):
        train.run(asked, Progress())
    train.run({**asked, "seed": 2**31 - 1}, Progress())
