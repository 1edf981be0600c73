"""The command as people and scripts use it: real processes, real exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from DALESegmentLib.engine.cli import data_summaries, summaries, train_commands, use_commands
from DALESegmentLib.engine.cli.app import app
from DALESegmentLib.engine.rpc.job_registry import COMMANDS, MODELS, RECORDS

DALESEGMENT = (sys.executable, "-m", "DALESegmentLib.engine")


def run(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    command = [*DALESEGMENT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, **settings)


@pytest.fixture(scope="module")
def two_cases(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    for name in ("first", "second"):
        (folder / name).mkdir()
        label = np.zeros((12, 20, 16), np.uint8)
        label[4:8, 5:15, 4:12] = 1
        for stem, array in (("image", label * 100.0), ("label", label)):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((1.0, 1.0, 2.0))
            sitk.WriteImage(image, str(folder / name / f"{stem}.nii.gz"))
    return folder


RECORDED = tuple(name.replace("_", "-") for name in (*MODELS, *RECORDS))


@pytest.mark.parametrize("command", [None, *COMMANDS, *RECORDED, "doctor", "serve"])
def test_help_with_an_example(command):
    done = CliRunner().invoke(app, ["--help"] if command is None else [command, "--help"])
    assert done.exit_code == 0
    assert "dalesegment" in done.output
    assert command is None or "Example:" in done.output


def test_the_help_tells_the_engines_defaults():
    """The command line sends only what was given; its help repeats what the engine then does."""
    pytest.importorskip("torch")
    from DALESegmentLib.engine.commands.finetune import FinetuneParameters as Finetune
    from DALESegmentLib.engine.commands.train import TrainParameters as Train

    text = " ".join(CliRunner(env={"COLUMNS": "200"}).invoke(app, ["train", "--help"]).output.split())
    for name in ("epochs", "steps_per_epoch"):
        train, finetune = Train.model_fields[name].default, Finetune.model_fields[name].default
        assert f"(train {train}, finetune {finetune})" in text
    assert f"({Train.model_fields['validation'].default})" in text


CASES = (
    "--data d --image a,b --label l --split test --limit 3 --exclude c --rater-seed 1 --rater 2 "
    "--ignore-label 255 --ignore-label -1 --class-label 128 --instances-as-one --sparse-labels"
)
LEARN = "--epochs 2 --steps-per-epoch 3 --seconds 4 --learning-rate 0.01 --seed 5 --device cpu --overwrite -o out"
EVERYTHING = {
    "inspect": f"{CASES} --reference votes:2",
    "plan": f"{CASES} --network UNet --dims 2 --device cpu",
    "train": f"{CASES} {LEARN} --method plain --network UNet --dims 3 --normalise ct --batch-size 2 --resume "
    "--validation 0.1 --partition --no-confidence --no-alternation --no-alignment",
    "finetune": f"{CASES} {LEARN} -m model",
    "predict": "--data d --image a --split all --limit 2 -m model -o out --probabilities --mode exact --format bids "
    "--device cpu --backend torch",
    "confidence": f"{CASES} -m model -o out --format seg.nrrd --device cpu --backend openvino",
    "review": f"{CASES} -m model -o out --regions 7 --audit 9 --seed 2 --format dicom --device cpu --backend auto",
    "export": "--data d --image a --label b --split all --limit 2 --results r --decisions j.json --reviewer x -m model "
    "--format dicom -o out",
    "evaluate": f"{CASES} --reference r --predictions p --confidence c --audit a.csv -o scores.json",
    "raters": CASES,
    "simulate": f"{CASES} --kind walk --amount 2 --relative --share 0.5 --seed 3 -o out",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_a_parameter_the_engine_knows(command, monkeypatch):
    """What would be sent is caught on its way and read by the job's own model."""
    pytest.importorskip("torch")
    sent: list[dict[str, Any]] = []
    for module in (train_commands, use_commands):
        monkeypatch.setattr(module, "perform", lambda _command, parameters, *_, **_more: sent.append(parameters))
    done = CliRunner().invoke(app, [command, *EVERYTHING[command].split()])
    assert done.exit_code == 0, done.output
    job = import_module(f"DALESegmentLib.engine.commands.{command}")
    names = (f"{command.capitalize()}Parameters", "FormatParameters")
    model = next(getattr(job, name) for name in names if hasattr(job, name))
    read = model.model_validate(sent[0])
    assert str(read.cases.folder) == "d"
    if command == "train":
        dale = read.dale
        assert dale.partition
        assert not any((dale.confidence, dale.alternation, dale.alignment))
        assert (read.method, read.resume, read.steps_per_epoch) == ("plain", True, 3)


def test_only_what_was_given_is_sent(monkeypatch):
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(train_commands, "perform", lambda _command, parameters, *_, **_more: sent.append(parameters))
    CliRunner().invoke(app, ["train", "--data", "d", "-o", "out", "--no-alignment"])
    assert sent[0]["dale"] == {"alignment": False}
    assert sent[0].keys() == {"cases", "out", "dale", "resume", "overwrite"}
    assert sent[0]["cases"].keys() == {"folder"}


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ("", {}),
        ("--seed 0", {"seed": 0}),
        ("--method dale --device cpu", {"method": "dale", "device": "cpu"}),
        ("--label rater1 --split all", {"cases": {"label": "rater1", "split": "all"}}),
    ],
)
def test_a_resumed_training_is_asked_for_what_was_given(options, given, monkeypatch):
    """The engine refuses what differs from the stored settings; a default must not pass for a wish."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(train_commands, "perform", lambda _command, parameters, *_, **_more: sent.append(parameters))
    done = CliRunner().invoke(app, ["train", "-o", "out", "--resume", *options.split()])
    assert done.exit_code == 0, done.output
    assert sent == [{"out": Path("out"), "resume": True, "overwrite": False, **given}]


@pytest.mark.slow
def test_json_is_all_there_is(two_cases):
    done = run("inspect", "--data", two_cases, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert [case["name"] for case in result["cases"]] == ["first", "second"]
    assert result["cases"][0]["voxels"] == {"1": 4 * 10 * 8}


@pytest.mark.slow
def test_a_table_and_plain_lines_without_a_terminal(two_cases):
    done = run("inspect", "--data", two_cases, "--label", "label")
    assert done.returncode == 0
    assert "16 × 20 × 12" in done.stdout
    assert "2 cases, 0 with a problem" in done.stdout
    assert "reading: Looking at label 1 of 2" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_job_with_a_result_on_disk(two_cases, tmp_path):
    out = tmp_path / "out"
    done = run("simulate", "--data", two_cases, "--kind", "erode", "--amount", 1, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)["items"]
    spoiled = sitk.GetArrayFromImage(sitk.ReadImage(items[0]["label"]))
    assert 0 < spoiled.sum() < 4 * 10 * 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "--data", "no-such-folder"),
        ("predict", "--data", "{cases}", "-m", "no-such-model", "-o", "{out}"),
        ("simulate", "--data", "{cases}", "--kind", "scribble", "--amount", "1", "-o", "{out}"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments, two_cases, tmp_path):
    done = run(*(a.format(cases=two_cases, out=tmp_path / "out") for a in arguments), "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect",),
        ("inspect", "--data", "a", "--list", "b"),
        ("train", "--data", "a"),
        ("train", "--data", "a", "-o", "b", "--epochs", "0"),
        ("trian",),
        ("inspect", "--dta", "a"),
    ],
)
def test_wrong_usage_is_told_apart(arguments):
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 2
    assert "Traceback" not in done.output


@pytest.mark.slow
def test_the_doctor_speaks_to_people():
    done = run("doctor")
    assert done.returncode == 0
    assert "torch" in done.stdout
    assert "Disk" in done.stdout


@pytest.fixture
def long_training(two_cases, tmp_path):
    """A training that is still at it when the test ends. A shell starts background jobs deaf to Ctrl-C, and their
    children with them: this one hears it in any case. Nothing of it outlives the test."""
    training = subprocess.Popen(
        [*DALESEGMENT, *f"train --data {two_cases} -o {tmp_path}/run --epochs 500 --device cpu".split()],
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with training:
        processes = [training]
        yield training
        with contextlib.suppress(psutil.NoSuchProcess):
            processes += psutil.Process(training.pid).children()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C of POSIX")
def test_ctrl_c_cancels_politely(long_training, tmp_path):
    """As a terminal does it: the whole foreground group gets the signal."""
    pytest.importorskip("torch")
    training = long_training
    _read_until(training, lambda line: "training:" in line)
    os.killpg(training.pid, signal.SIGINT)
    started = time.monotonic()
    _, rest = training.communicate(timeout=30)
    assert training.returncode == 130
    assert time.monotonic() - started < 5
    assert "Error: Cancelled; everything finished before is kept" in rest
    assert ("; go on with dalesegment train --resume --out " in rest) == (tmp_path / "run" / "checkpoint.json").exists()
    assert "Traceback" not in rest
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "cancelled"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C of POSIX")
def test_a_second_ctrl_c_does_not_wait(long_training):
    """For an engine that no longer answers: here it is stopped."""
    training = long_training
    _read_until(training, lambda line: "reading:" in line)
    (engine,) = psutil.Process(training.pid).children()
    engine.suspend()
    training.send_signal(signal.SIGINT)
    _read_until(training, lambda line: "Stopping" in line)
    training.send_signal(signal.SIGINT)
    _, rest = training.communicate(timeout=10)
    assert training.returncode == 130
    assert "Traceback" not in rest
    assert not engine.is_running()


def _read_until(process: subprocess.Popen[str], condition: Callable[[str], bool]) -> None:
    for line in process.stderr:
        if condition(line):
            return
    raise AssertionError("the process ended too early")


@pytest.mark.slow
def test_torchrun_trains_in_its_own_processes(two_cases, tmp_path):
    """With LOCAL_RANK set no engine is started: the training fails or succeeds here."""
    environment = {**os.environ, "LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "1"}
    arguments = f"train --data {two_cases} -o {tmp_path}/run --epochs 1 --steps-per-epoch 1 --device cpu --json".split()
    done = run(*arguments, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 1


def test_the_tables_show_the_names_and_the_scores(capsys):
    scores = {"voxels": 10, "prevalence": 0.125, "auroc": 0.875, "auprc": 0.5, "ece": 0.25, "reliability": []}
    found = {"overall": scores, "band": scores}
    item = {"name": "a", "label_errors": found}
    bias = {"class": "liver", "annotator": "reader", "offset_mm": 0.5, "low_mm": None, "high_mm": None, "cases": 1}
    data_summaries.evaluation({"items": [item], "mean": {"label_errors": found}, "bias": [bias]})
    predicted = {"name": "a", "voxels": {"3": 7}, "classes": {"3": "liver"}, "seconds": 1.0, "segmentation": "a.nii.gz"}
    volume, unknown = {"value": 1.25, "low": 0.875, "high": 1.5}, {"value": 12.0, "low": None, "high": None}
    predicted["extents"] = {"3": {"name": "liver", "volume_ml": volume, "diameter_mm": unknown}}
    summaries.predictions({"items": [predicted]})
    trained = {
        "model": "m",
        "epochs": 1,
        "seconds": 1.0,
        "device": "cpu",
        "validation_dice": None,
        "held_out_for_test": 0,
    }
    trained |= {"refined": 3, "empty_labels": 2, "completed": 1, "too_weak": [{"sentence": "The model is too weak."}]}
    accepted = {"accepted": True, "objections": [], "bias": None}
    summaries.finetuning({**trained, "confirmed_voxels": 0, "confirmed_violated": 0, **accepted})
    text = capsys.readouterr().out
    assert "auroc" in text
    assert text.count(" 0.875 ") == 2  # the case and the mean
    assert "1.25 ml (0.875 to 1.5)" in text
    assert "Intervals need a model" in text
    assert "liver: 7" in text
    assert "reader" in text
    assert "Empty labels: 2" in text
    assert "In 1 case an object was found that the label has none of" in text
    assert "The model is too weak." in text
    assert "0 of 0" not in text
