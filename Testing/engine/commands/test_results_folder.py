"""Nothing of a user is overwritten: used folders, changed results, and folders that results do not belong into."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.commands import predict, review, simulate, train
from DALESegmentLib.engine.commands.results_backup import RECORD, ResultsBackup
from DALESegmentLib.engine.commands.results_folder import check_results_folder
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.files import replacing, watching_files
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.images import read_label, write_image
from Testing.phantoms import ball_case

QUICK = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu", "dims": 3}


def write_cases(root: Path, count: int = 2) -> Path:
    for n in range(count):
        case = ball_case(f"case{n}", seed=n)
        write_image(root / case.name / "image.nii.gz", case.image, case.geometry)
        write_image(root / case.name / "label.nii.gz", case.label, case.geometry)
    return root


@pytest.fixture
def cases(tmp_path) -> Path:
    return write_cases(tmp_path / "cases")


def spoil(cases: Path, out: Path, **more) -> dict:
    asked = {"cases": {"folder": str(cases)}, "out": str(out), "kind": "erode", "amount": 1.0, **more}
    return simulate.run(asked, Progress())


def refused(code: str, job, *arguments, **more) -> str:
    with pytest.raises(EngineError) as caught:
        job(*arguments, **more)
    assert caught.value.code == code
    assert "\n" not in caught.value.sentence
    return caught.value.sentence


def test_a_used_folder_is_refused_unless_it_may_be_overwritten(cases, tmp_path):
    spoil(cases, tmp_path / "out")
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    sentence = refused("results-exist", spoil, cases, tmp_path / "out")
    assert "--overwrite" in sentence
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == before
    assert "kept" not in spoil(cases, tmp_path / "out", overwrite=True)
    assert {p.name for p in (tmp_path / "out" / "case0").iterdir()} == {"label.nii.gz"}


def test_a_folder_of_hidden_files_is_free(cases, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".DS_Store").write_text("x")
    (tmp_path / "out" / "Thumbs.db").write_text("x")
    spoil(cases, tmp_path / "out")


def test_what_was_changed_by_hand_is_kept_beside_the_new_one_and_told(cases, tmp_path):
    out = tmp_path / "out"
    spoil(cases, out)
    path = out / "case0" / "label.nii.gz"
    label, geometry = read_label(path)
    drawn = np.where(label > 0, 0, 1)
    write_image(path, drawn, geometry)
    (out / "cases.csv").write_text("my notes\n")
    spoiled = spoil(cases, out, overwrite=True)
    (kept,) = (out / "case0").glob("label_changed-*.nii.gz")
    assert sorted(spoiled["kept"]) == sorted([f"case0/{kept.name}", *(p.name for p in out.glob("cases_changed-*.csv"))])
    assert (read_label(kept)[0] == drawn).all()
    assert (read_label(path)[0] == label).all()
    assert next(out.glob("cases_changed-*.csv")).read_text() == "my notes\n"
    # once more: the new ones are as written, so that nothing more is kept, and what was kept stays
    assert "kept" not in spoil(cases, out, overwrite=True)
    write_image(path, drawn, geometry)
    spoil(cases, out, overwrite=True)
    assert len(list((out / "case0").glob("label_changed-*.nii.gz"))) == 2


def test_a_file_that_no_command_wrote_is_kept(cases, tmp_path):
    mine = tmp_path / "out" / "case0" / "label.nii.gz"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    (kept,) = spoil(cases, tmp_path / "out", overwrite=True)["kept"]
    assert (tmp_path / "out" / kept).read_bytes() == b"mine"


def test_the_record_is_one_that_sha256sum_reads(cases, tmp_path):
    out = tmp_path / "out"
    spoil(cases, out)
    lines = dict(reversed(line.split("  ", 1)) for line in (out / RECORD).read_text().splitlines())
    assert set(lines) == {"case0/label.nii.gz", "case1/label.nii.gz", "dataset.json", "cases.csv"}
    assert all(hashlib.sha256((out / name).read_bytes()).hexdigest() == digest for name, digest in lines.items())


def test_a_damaged_record_loses_nothing(tmp_path):
    (tmp_path / "a.csv").write_text("drawn by hand")
    (tmp_path / RECORD).write_bytes(b"\xff\xfe no record \x00\n\n")
    files = ResultsBackup(tmp_path)
    with watching_files(files), replacing(tmp_path / "a.csv") as temporary:
        temporary.write_text("new")
    assert (tmp_path / files.kept[0]).read_text() == "drawn by hand"
    assert (tmp_path / "a.csv").read_text() == "new"


def test_what_is_written_elsewhere_is_no_result(tmp_path):
    (tmp_path / "elsewhere.csv").write_text("old")
    files = ResultsBackup(tmp_path / "out")
    with watching_files(files), replacing(tmp_path / "elsewhere.csv") as temporary:
        temporary.write_text("new")
    assert (files.kept, (tmp_path / "elsewhere.csv").read_text()) == ([], "new")


def test_results_do_not_belong_into_the_data(cases, tmp_path):
    for place in (cases, cases / "results", cases / "case0" / "deep" / "er"):
        refused("out-in-data", spoil, cases, place, overwrite=True)
    assert {p.name for p in cases.iterdir()} == {"case0", "case1"}
    (tmp_path / "link").symlink_to(cases)
    refused("out-in-data", spoil, cases, tmp_path / "link" / "new")
    spoil(cases, tmp_path / "cases-eroded")  # beside it, with a name that begins alike


def test_nor_among_the_files_of_a_listed_case(cases, tmp_path):
    items = [{"name": "case0", "images": [str(cases / "case0" / "image.nii.gz")]}]
    items[0]["label"] = str(cases / "case0" / "label.nii.gz")
    asked = {"cases": {"items": items}, "out": str(cases), "kind": "erode", "amount": 1.0, "overwrite": True}
    refused("out-in-data", simulate.run, asked, Progress())


@pytest.mark.parametrize("inside", ["", "bundle", "bundle/models", "checkpoint", "predictions"])
def test_nor_into_a_training(inside, tmp_path):
    run = tmp_path / "run"
    (run / "bundle" / "configs").mkdir(parents=True)
    (run / "bundle" / "configs" / "metadata.json").write_text("{}")
    (run / "run.json").write_text("{}")
    refused("out-in-run", check_results_folder, run / inside, overwrite=True)


def test_nor_into_a_bundle_alone(tmp_path):
    (tmp_path / "model" / "configs").mkdir(parents=True)
    (tmp_path / "model" / "configs" / "metadata.json").write_text("{}")
    refused("out-in-run", check_results_folder, tmp_path / "model", overwrite=True)


def test_a_file_is_no_folder(cases, tmp_path):
    (tmp_path / "out.csv").write_text("x")
    refused("not-a-folder", spoil, cases, tmp_path / "out.csv", overwrite=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("trained")
    cases = write_cases(root / "cases")
    train.run({"cases": {"folder": str(cases)}, "out": str(root / "run"), **QUICK}, Progress())
    return cases, root / "run"


@pytest.mark.slow
def test_a_corrected_segmentation_survives_the_next_predict(trained, tmp_path):
    cases, model = trained
    asked = {"model": str(model), "cases": {"folder": str(cases)}, "out": str(tmp_path / "out"), "device": "cpu"}
    path = Path(predict.run(asked, Progress())["items"][0]["segmentation"])
    _, geometry = read_label(path)
    corrected = ball_case("case0", seed=0).label
    write_image(path, corrected, geometry)
    before = path.read_bytes()
    refused("results-exist", predict.run, asked, Progress())
    assert path.read_bytes() == before
    (kept,) = predict.run({**asked, "overwrite": True}, Progress())["kept"]
    assert (tmp_path / "out" / kept).read_bytes() == before
    assert kept.startswith("case0/segmentation_changed-")


@pytest.mark.slow
def test_predict_and_review_refuse_before_they_read_a_case(trained, tmp_path):
    cases, model = trained
    for job in (predict, review):
        asked = {"model": str(model), "cases": {"folder": str(cases)}, "device": "cpu"}
        refused("out-in-data", job.run, {**asked, "out": str(cases)}, Progress())
        refused("out-in-run", job.run, {**asked, "out": str(model), "overwrite": True}, Progress())


@pytest.mark.slow
def test_a_review_keeps_a_table_that_somebody_wrote_into(trained, tmp_path):
    cases, model = trained
    asked = {"model": str(model), "cases": {"folder": str(cases)}, "out": str(tmp_path / "out"), "device": "cpu"}
    table = Path(review.run(asked, Progress())["csv"])
    table.write_text(table.read_text(encoding="utf-8") + "my remark\n", encoding="utf-8")
    (kept,) = review.run({**asked, "overwrite": True}, Progress())["kept"]
    assert "my remark" in (tmp_path / "out" / kept).read_text()
    assert "my remark" not in table.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_command_line_says_it_in_one_sentence(cases, tmp_path):
    import sys

    line = [sys.executable, "-m", "DALESegmentLib.engine", "simulate", "--data", str(cases), "--kind", "erode"]
    line += ["--amount", "1", "-o", str(tmp_path / "out")]
    assert subprocess.run(line, capture_output=True).returncode == 0
    again = subprocess.run(line, capture_output=True, encoding="utf-8")
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1].startswith("Error: out already holds files")
    assert again.stdout == ""
    (tmp_path / "out" / "cases.csv").write_text("mine")
    once_more = subprocess.run([*line, "--overwrite"], capture_output=True, encoding="utf-8")
    assert once_more.returncode == 0, once_more.stderr
    assert "cases_changed-" in once_more.stdout
    assert json.loads(subprocess.run([*line, "--overwrite", "--json"], capture_output=True).stdout)["items"]
