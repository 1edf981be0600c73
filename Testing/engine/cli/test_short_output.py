"""Short output, silence where it is asked for, and exit codes that say how a command ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import typer
from typer.testing import CliRunner

from DALESegmentLib.engine.cli import data_summaries, summaries, train_commands
from DALESegmentLib.engine.cli import run as running
from DALESegmentLib.engine.cli.app import app
from DALESegmentLib.engine.core.errors import Cancelled
from DALESegmentLib.engine.io.images import write_image
from DALESegmentLib.engine.rpc.job_registry import COMMANDS
from Testing.phantoms import ball_case

DALESEGMENT = (sys.executable, "-m", "DALESegmentLib.engine")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DALESEGMENT, *map(str, arguments)], capture_output=True, encoding="utf-8", timeout=120)


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("short") / "cases"
    for n in range(2):
        case = ball_case(f"case{n}", seed=n)
        write_image(root / case.name / "image.nii.gz", case.image, case.geometry)
        write_image(root / case.name / "label.nii.gz", case.label, case.geometry)
    return root


@pytest.mark.parametrize("command", [*COMMANDS, "decisions", "sign-off", "agreement", "verify", "report", "doctor"])
def test_every_command_can_be_quiet(command):
    text = CliRunner(env={"COLUMNS": "200"}).invoke(app, [command, "--help"]).output
    assert "--quiet" in text


@pytest.mark.slow
def test_quiet_prints_the_paths_alone_and_errors_still(cases, tmp_path):
    line = ("simulate", "--data", cases, "--kind", "erode", "--amount", 1, "-o", tmp_path / "out", "--quiet")
    done = run(*line)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'out' / 'cases.csv'}\n"
    again = run(*line)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("Error: out already holds files")
    assert again.stderr.count("\n") == 1


@pytest.mark.slow
def test_quiet_of_what_writes_nothing_prints_nothing(cases):
    done = run("inspect", "--data", cases, "-q")
    assert (done.stdout, done.stderr) == ("", "")


def region(rank: int, **more) -> dict:
    known = {"rank": rank, "case": "a", "region_id": rank, "label_value": 1, "class_name": "liver"}
    known |= {"suspicion": "extra", "suggested_value": 0, "voxels": 13441, "size_mm3": 13441.0, "expected_wrong": 9.0}
    known |= {"mean_confidence": 0.2, "lowest_confidence": 0.1, "centre_ras": (1.0, 2.0, 3.0), "pieces": ()}
    known |= {"centre_voxel": (4, 5, 6), "first_voxel": (1, 1, 1), "last_voxel": (9, 9, 9), "model_probability": 0.9}
    return known | more


def reviewed(*regions: dict) -> dict:
    about = {"expected_real": {"sentence": ""}, "too_weak": [], "items": [], "csv": "out/regions.csv"}
    return {"regions": list(regions), **about}


def test_a_long_list_is_cut_and_says_where_the_rest_is(capsys):
    summaries.regions(reviewed(*(region(n) for n in range(1, 154))))
    text = capsys.readouterr().out
    assert "... and 133 more in regions.csv" in text
    assert len(text.splitlines()) < 60


def test_twenty_rows_are_no_long_list(capsys):
    summaries.regions(reviewed(*(region(n) for n in range(1, 21))))
    assert "more in" not in capsys.readouterr().out


def test_regions_of_pictures_are_in_pixels(capsys):
    flat = {"centre_voxel": (40, 50), "first_voxel": (1, 1), "last_voxel": (9, 9), "unit": "pixel", "extent_mm": 86.6}
    summaries.regions(reviewed(region(1, **flat)))
    text = capsys.readouterr().out
    assert "13,441 pixels" in text
    assert "87 px" in text
    assert "40, 50" in text
    assert "mm" not in text


def test_sizes_of_tiny_and_huge_voxels_keep_their_digits(capsys):
    def extent(ml: float, mm: float) -> dict:
        figures = {"volume_ml": {"value": ml, "low": None, "high": None}, "level": 0.9, "name": "cell", "unit": "mm"}
        return {"1": figures | {"diameter_mm": {"value": mm, "low": ml, "high": None} | {"low": None}}}

    items = [{"name": "tiny", "extents": extent(4.2e-10, 0.012)}, {"name": "huge", "extents": extent(5e6, 16000.0)}]
    summaries.extents({"items": items})
    text = capsys.readouterr().out
    assert "4.2e-07 mm³" in text
    assert "0.012 mm" in text
    assert "5,000,000 ml" in text
    assert "16,000 mm" in text


def compared(n: int) -> dict:
    scores = {"dice": n / 100, "iou": 0.5, "hd95_px": 86.6, "nsd": 0.4}
    return {"name": f"case{n}", "prediction": {"mean": scores, "nsd_tolerance_px": 2.0, "unit": "pixel"}}


def test_scores_come_with_median_and_quartiles_below_a_cut_table(capsys):
    across = {"dice": 0.4, "iou": 0.5, "hd95_px": 86.6, "nsd": 0.4}
    result = {"items": [compared(n) for n in range(30)], "bias": []}
    for name in ("mean", "median", "quartile_1", "quartile_3"):
        result[name] = {"prediction": across}
    data_summaries.evaluation(result)
    text = capsys.readouterr().out
    assert "... and 10 more in evaluate.csv" in text
    for word in ("mean", "median", "first quartile", "third quartile", "hd95, px", "within 2 px"):
        assert word in text
    assert "mm" not in text


TUNED = {"model": "m", "run": "r", "epochs": 1, "seconds": 1.0, "device": "cpu", "validation_dice": None, "bias": None}
TUNED |= {"held_out_for_test": 0, "empty_labels": 0, "refined": 0, "completed": 0, "too_weak": []}
TUNED |= {"confirmed_voxels": 36000, "confirmed_violated": 3000}


@pytest.mark.parametrize("options", [[], ["--quiet"], ["--json"]])
@pytest.mark.parametrize("accepted", [True, False])
def test_a_fine_tune_that_is_not_accepted_says_so_in_one_sentence_and_its_exit_code(options, accepted, monkeypatch):
    """Of the engine only the answer is put in."""
    objections = [] if accepted else ["The Dice fell from 0.900 to 0.700.", "The new model follows less."]
    answer = {**TUNED, "accepted": accepted, "objections": objections}
    monkeypatch.setattr(running, "_in_engine", lambda *_: answer)
    done = CliRunner().invoke(app, ["finetune", "-m", "m", "--data", "d", "-o", "o", *options])
    assert done.exit_code == (0 if accepted else running.NOT_ACCEPTED)
    if not accepted:
        (sentence,) = [line for line in done.output.splitlines() if line.startswith("Not accepted")]
        assert "the Dice fell from 0.900 to 0.700 and the new model follows less" in sentence
    if options == []:
        assert "33,000 of 36,000 confirmed voxels" in done.output


def test_the_plan_is_told_in_sentences(monkeypatch, capsys):
    monkeypatch.setattr(running, "_in_engine", lambda *_: {"sentences": ["Network: UNet."], "device": "cpu"})
    done = CliRunner().invoke(app, ["plan", "--data", "d"])
    assert "Network: UNet." in done.output
    assert train_commands.plan.__doc__


@pytest.fixture
def long_training(cases, tmp_path):
    training = subprocess.Popen(
        [*DALESEGMENT, *f"train --data {cases} -o {tmp_path}/run --epochs 500 --device cpu".split()],
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    with training:
        yield training
        processes = [training]
        with contextlib.suppress(psutil.NoSuchProcess):
            processes += psutil.Process(training.pid).children()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("whom", ["the command alone", "its whole group"])
def test_sigterm_ends_as_ctrl_c_does(whom, long_training, tmp_path):
    """As systemd, SLURM or kill send it."""
    for line in long_training.stderr:
        if "training:" in line:
            break
    if whom == "the command alone":
        long_training.send_signal(signal.SIGTERM)
    else:
        os.killpg(long_training.pid, signal.SIGTERM)
    started = time.monotonic()
    _, rest = long_training.communicate(timeout=30)
    assert long_training.returncode == 143
    assert time.monotonic() - started < 8
    assert rest.count("Error: ") == 1
    assert "Error: Cancelled; everything finished before is kept" in rest
    assert ("; go on with dalesegment train --resume --out " in rest) == (tmp_path / "run" / "checkpoint.json").exists()
    assert "Traceback" not in rest
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "cancelled"


def test_a_stopped_training_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def stopped(*_: object) -> None:
        raise Cancelled

    monkeypatch.setattr(running, "_in_engine", stopped)
    folder = tmp_path / "my run"
    folder.mkdir()
    for command, is_begun, goes_on in (("train", False, False), ("train", True, True), ("predict", True, False)):
        if is_begun:
            (folder / "checkpoint.json").write_text("{}")
        with pytest.raises(typer.Exit) as ended:
            running.perform(command, {"out": folder}, False, print)
        assert ended.value.exit_code == 130
        assert (f"train --resume --out '{folder}'." in capsys.readouterr().err) is goes_on


def test_both_ways_to_name_cases_at_once(tmp_path):
    done = CliRunner().invoke(app, ["inspect", "--data", str(tmp_path), "--list", "cases.csv"])
    assert done.exit_code == 2
    assert "not both" in done.output


def test_a_prediction_without_any_voxel_says_so(monkeypatch):
    printed: list[str] = []
    monkeypatch.setattr(
        summaries, "print_table", lambda columns, rows, *_, **__: printed.extend(row[1] for row in rows)
    )
    items = [
        {
            "name": "a",
            "voxels": {"1": 5},
            "classes": {"1": "liver"},
            "seconds": 1.0,
            "segmentation": "a.nrrd",
            "extents": {},
        },
        {"name": "b", "voxels": {}, "classes": {"1": "liver"}, "seconds": 1.0, "segmentation": "b.nrrd", "extents": {}},
    ]
    summaries.predictions({"items": items, "extents_csv": None})
    assert printed[:2] == ["liver: 5", "nothing found"]
