"""What can be known before the work is said before the work, not half-way through it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.commands import confidence, finetune, plan, predict, review, simulate, train
from DALESegmentLib.engine.commands.case_checks import check_room, weak_since_training
from DALESegmentLib.engine.core.errors import Cancelled, EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.agreement import ClassAgreement, pooled_agreement, weak_classes
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.images import read_image, read_label, write_image
from Testing.phantoms import ball_case

QUICK = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu", "dims": 3}


class Notes(Progress):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.reports: list[dict] = []
        super().__init__(self.reports.append)


def write_cases(root: Path, count: int, labelled: int | None = None) -> Path:
    for n in range(count):
        case = ball_case(f"case{n}", seed=n)
        write_image(root / case.name / "image.nii.gz", case.image, case.geometry)
        if labelled is None or n < labelled:
            write_image(root / case.name / "label.nii.gz", case.label, case.geometry)
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("model")
    write_cases(root / "cases", 2)
    train.run({"cases": {"folder": str(root / "cases")}, "out": str(root / "run"), **QUICK}, Progress())
    return root / "run"


def asked(model: Path, cases: Path, out: Path) -> dict:
    return {"model": str(model), "cases": {"folder": str(cases)}, "out": str(out), "device": "cpu"}


def refused(code: str, job, parameters: dict) -> str:
    with pytest.raises(EngineError) as caught:
        job.run(parameters, Progress())
    assert caught.value.code == code, caught.value.sentence
    return caught.value.sentence


@pytest.mark.slow
@pytest.mark.parametrize("job", [review, confidence])
def test_a_case_without_a_label_is_left_out_and_named_first(job, model, tmp_path):
    cases, notes = write_cases(tmp_path / "cases", 3, labelled=2), Notes()
    result = job.run(asked(model, cases, tmp_path / "out"), notes)
    notes.close()
    assert result["left_out"] == ["case2"]
    assert [item["name"] for item in result["items"]] == ["case0", "case1"]
    assert "case2 is left out" in notes.reports[0]["message"]
    assert not (tmp_path / "out" / "case2").exists()


@pytest.mark.slow
def test_files_that_are_part_of_no_case_are_counted_with_what_lists_them(model, tmp_path):
    cases = write_cases(tmp_path / "my cases", 2)
    for name in ("case0/other.nii.gz", "case1/other.nii.gz", "scene.mrb"):
        shutil.copy(cases / "case0" / "image.nii.gz", cases / name)
    wanted = f"3 files are part of no case; dalesegment inspect --data '{cases}' lists them."
    jobs = [(job, asked(model, cases, tmp_path / job.__name__)) for job in (review, confidence, predict)]
    jobs.append((train, {"cases": {"folder": str(cases)}, "out": str(tmp_path / "trained"), **QUICK}))
    for job, parameters in jobs:
        notes = Notes()
        assert job.run(parameters, notes)["left_over"] == wanted
        notes.close()
        assert wanted in [report["message"] for report in notes.reports]
    some = {**asked(model, cases, tmp_path / "one"), "cases": {"folder": str(cases), "exclude": "case1"}}
    assert predict.run(some, Progress())["left_over"] == wanted  # those of the case that is left out are no question
    (cases / "scene.mrb").unlink()
    for n in range(2):
        (cases / f"case{n}" / "other.nii.gz").unlink()
    assert "left_over" not in predict.run(asked(model, cases, tmp_path / "none"), Progress())


@pytest.mark.slow
def test_of_what_a_training_left_too_weak_a_review_tells_again(tmp_path):
    cases = write_cases(tmp_path / "cases", 3)
    made = train.run({"cases": {"folder": str(cases)}, "out": str(tmp_path / "run"), **QUICK}, Progress())
    weak = [each["sentence"] for each in made["too_weak"]]
    assert weak
    for job in (review, confidence):
        told = job.run(asked(tmp_path / "run", cases, tmp_path / job.__name__), Progress())
        said = [each["sentence"] for each in told["too_weak"]] + told.get("weak_since_training", [])
        assert len(said) == len(weak)


def test_a_class_that_its_own_cases_do_not_show_to_be_weak_is_told_of_as_the_training_did():
    names = {1: "liver", 2: "cyst"}
    agreed = {1: [ClassAgreement(0.9, 0.9)] * 3, 2: [ClassAgreement(0.2, 0.3)] * 3}
    now = weak_classes(pooled_agreement([{1: ClassAgreement(0.9, 0.9), 2: ClassAgreement(0.9, 0.9)}] * 5), names)
    (sentence,) = weak_since_training(agreed, names, now)["weak_since_training"]
    assert sentence.startswith("As its training ended: The model is too weak to judge labels of class cyst")
    told = weak_classes(agreed, names)
    assert weak_since_training(agreed, names, told) == {}


@pytest.mark.slow
def test_without_any_label_nothing_is_begun(model, tmp_path):
    cases = write_cases(tmp_path / "cases", 2, labelled=0)
    for job in (review, confidence):
        assert "--label" in refused("no-label", job, asked(model, cases, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    spoil = {"cases": {"folder": str(cases)}, "out": str(tmp_path / "out"), "kind": "erode", "amount": 1.0}
    assert "case0 and case1" in refused("no-label", simulate, spoil)


def a_picture(path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (24, 30)).astype(np.uint8)
    write_image(path, picture, Geometry((30, 24), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0)))


@pytest.mark.slow
def test_a_model_of_volumes_refuses_pictures(model, tmp_path):
    a_picture(tmp_path / "one" / "a.png")
    assert "one is a 2D picture" in refused(
        "wrong-dimensions", predict, asked(model, tmp_path / "one", tmp_path / "out")
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_last_case_that_does_not_fit_is_found_before_the_first_is_predicted(model, tmp_path):
    cases = write_cases(tmp_path / "cases", 3)
    image, geometry = read_image(cases / "case2" / "image.nii.gz")
    write_image(cases / "case2" / "image.nii.gz", np.concatenate([image, image]), geometry)
    sentence = refused("wrong-channels", predict, asked(model, cases, tmp_path / "out"))
    assert sentence.startswith("case2 has 2 channel(s)")
    shutil.copy(cases / "case2" / "image.nii.gz", cases / "case1" / "image.nii.gz")
    assert "1 other case has a problem" in refused("wrong-channels", predict, asked(model, cases, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("job", [review, confidence, finetune])
def test_an_unknown_class_in_the_last_case_too(job, model, tmp_path):
    cases = write_cases(tmp_path / "cases", 3)
    label, geometry = read_label(cases / "case2" / "label.nii.gz")
    label[0, 0, 0] = 7
    write_image(cases / "case2" / "label.nii.gz", label, geometry)
    assert "case2" in refused("unknown-class", job, asked(model, cases, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A real file system with room for 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True)
    except OSError as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_certain_to_be_too_small_is_told(small_disk):
    check_room(small_disk / "not" / "yet", 100_000)
    with pytest.raises(EngineError) as caught:
        check_room(small_disk / "not" / "yet", 3_000_000_000)
    assert caught.value.code == "disk-full"
    assert "3 GB" in caught.value.sentence


@pytest.fixture
def stopped(tmp_path) -> Path:
    """A training that was stopped after its first epoch."""
    write_cases(tmp_path / "cases", 3)

    class Stops(Progress):
        epochs = 0

        def report(self, percent, stage, message, seconds_left=None, **values):
            self.epochs += "epoch" in values or stage == "training"
            if self.epochs > 4:
                raise Cancelled

        def part(self, start, stop):
            return self

    long = {"cases": {"folder": str(tmp_path / "cases")}, "out": str(tmp_path / "run"), "epochs": 20}
    with pytest.raises(Cancelled):
        train.run({**long, "steps_per_epoch": 1, "device": "cpu", "dims": 3}, Stops())
    assert (tmp_path / "run" / "checkpoint.json").is_file()
    return tmp_path


def resume(root: Path) -> str:
    return refused("data-changed", train, {"out": str(root / "run"), "resume": True, "device": "cpu"})


@pytest.mark.slow
def test_a_resume_names_the_labels_and_images_that_changed(stopped):
    label, geometry = read_label(stopped / "cases" / "case1" / "label.nii.gz")
    label[0, 0, 0] = 1
    write_image(stopped / "cases" / "case1" / "label.nii.gz", label, geometry)
    assert "the label of case1 changed" in resume(stopped)
    image, geometry = read_image(stopped / "cases" / "case2" / "image.nii.gz")
    write_image(stopped / "cases" / "case2" / "image.nii.gz", image + 1, geometry)
    assert "the image of case2 changed and the label of case1 changed" in resume(stopped)


@pytest.mark.slow
def test_a_resume_names_a_case_that_came(stopped):
    case = ball_case("newcomer", seed=9)
    write_image(stopped / "cases" / "newcomer" / "image.nii.gz", case.image, case.geometry)
    write_image(stopped / "cases" / "newcomer" / "label.nii.gz", case.label, case.geometry)
    assert "newcomer was added" in resume(stopped)


@pytest.mark.slow
def test_a_resume_of_unchanged_data_goes_on_and_one_of_an_earlier_version_too(stopped):
    record = json.loads((stopped / "run" / "run.json").read_text())
    assert set(record["inputs"]) == {"case0", "case1", "case2"}
    record.pop("inputs")
    record["settings"]["epochs"] = 6
    (stopped / "run" / "run.json").write_text(json.dumps(record))
    result = train.run({"out": str(stopped / "run"), "resume": True, "device": "cpu"}, Progress())
    assert result["epochs"] == 6
    assert json.loads((stopped / "run" / "run.json").read_text())["inputs"]


def option_in(sentence: str) -> str:
    """The names after --exclude, as a shell would take them."""
    typed = sentence[sentence.index("--exclude") :]
    return shlex.split(typed)[1].rstrip(".)")


def planned(cases: Path, **more: str) -> dict:
    return plan.run({"cases": {"folder": str(cases), **more}}, Progress())


def test_what_leaves_out_all_cases_without_a_label_is_said_at_once(tmp_path):
    cases = write_cases(tmp_path / "my cases", 6, labelled=4)
    option = option_in(refused("no-label", plan, {"cases": {"folder": str(cases)}}))
    assert option == "case4,case5"
    assert planned(cases, exclude=option)


def test_what_leaves_out_cases_that_cannot_be_learned_from_can_be_typed(tmp_path):
    cases = write_cases(tmp_path / "cases", 6)
    label, geometry = read_label(cases / "case1" / "label.nii.gz")
    write_image(
        cases / "case1" / "label.nii.gz",
        label[:-1],
        replace(geometry, size=(*geometry.size[:2], geometry.size[2] - 1)),
    )
    (cases / "case1").rename(cases / "case 1")
    option = option_in(refused("geometry-mismatch", plan, {"cases": {"folder": str(cases)}}))
    assert option == "case 1"
    image, geometry = read_image(cases / "case2" / "image.nii.gz")
    write_image(cases / "case2" / "image.nii.gz", np.concatenate([image, image]), geometry)
    option = option_in(refused("channel-count", plan, {"cases": {"folder": str(cases), "exclude": "case 1"}}))
    assert option == "case2"
    assert planned(cases, exclude="case 1,case2")


def test_nothing_is_to_be_left_out_where_most_cases_have_the_problem(tmp_path):
    cases = write_cases(tmp_path / "cases", 3, labelled=1)
    assert "1 other case has a problem" in refused("no-label", plan, {"cases": {"folder": str(cases)}})


@pytest.mark.slow
def test_images_in_another_order_than_those_of_the_training_are_refused(tmp_path):
    for n in range(2):
        case = ball_case(f"case{n}", seed=n)
        folder = tmp_path / "cases" / case.name
        for k, name in enumerate(("flair", "t1", "t2")):
            write_image(folder / f"{name}.nii.gz", case.image + k, case.geometry)
        write_image(folder / "seg.nii.gz", case.label, case.geometry)
    cases = {"folder": str(tmp_path / "cases"), "label": "seg"}
    train.run({"cases": {**cases, "image": "t2,flair"}, "out": str(tmp_path / "run"), **QUICK}, Progress())
    metadata = json.loads((tmp_path / "run" / "bundle" / "configs" / "metadata.json").read_text())
    inputs = metadata["network_data_format"]["inputs"]["image"]
    assert inputs["channel_def"] == {"0": "t2", "1": "flair"}

    def asked_with(image: str) -> dict:
        return {**asked(tmp_path / "run", tmp_path / "cases", tmp_path / "out"), "cases": {**cases, "image": image}}

    for job in (predict, review, finetune):
        for image in ("flair,t2", "flair,t1,t2"):
            assert "type --image t2,flair" in refused("wrong-channels", job, asked_with(image))
    predict.run(asked_with("t2,flair"), Progress())
