"""An engine that shares no disk with us does the same work; what it sends is taken with care."""

from __future__ import annotations

import base64
import json
import shlex
import shutil
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_lines import soon

from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.core.errors import Cancelled, EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.class_names import is_somebody_elses
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.io.images import write_image
from DALESegmentLib.engine.rpc import remote
from DALESegmentLib.engine.rpc.client import EngineClient, serving
from DALESegmentLib.engine.rpc.file_transfer import Carrier, Spool, relative
from DALESegmentLib.engine.rpc.remote import RemoteEngine, local
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

ELSEWHERE = Path(__file__).with_name("remote_engine.py")


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """All that the other machine cannot see."""
    root = tmp_path_factory.mktemp("here")
    for n in range(2):
        save_array_case(ball_case(f"case{n}", seed=n), root / "cases" / f"case{n}")
    return root


@pytest.fixture(scope="module")
def engine(here, tmp_path_factory):
    there = tmp_path_factory.mktemp("there")
    (there / "tmp").mkdir()
    inner = f"cd {shlex.quote(str(there))} && TMPDIR={there}/tmp exec {sys.executable} {ELSEWHERE} {here}"
    with EngineClient(serving(f"sh -c {shlex.quote(inner)}")) as client:
        yield client
    assert soon(lambda: not list((there / "tmp").glob("dalesegment-*")), 5)  # what was sent is gone with the engine


@pytest.fixture(scope="module")
def trained(engine, here) -> dict:
    asked = {"cases": {"folder": str(here / "cases")}, "out": str(here / "run"), "device": "cpu"}
    events = []
    result = engine.call("train", {**asked, "epochs": 1, "steps_per_epoch": 2}, events.append)
    return {"result": result, "events": events}


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_a_model_trained_elsewhere_lies_here(trained, here):
    assert trained["result"]["model"] == str(here / "run" / "bundle")
    load_bundle(here / "run", torch.device("cpu"))
    record = json.loads((here / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["cases"] == {"folder": str(here / "cases")}
    assert {"reading", "training", "writing"} <= {event["stage"] for event in trained["events"]}


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_labels_and_confidence_come_back(engine, trained, here):
    case = {"items": [{"name": "case0", "arrays": str(here / "cases" / "case0")}]}
    asked = {"model": trained["result"]["model"], "cases": case, "device": "cpu"}
    review = engine.call("review", {**asked, "out": str(here / "review")})
    confidence = np.load(here / "review" / "case0" / "confidence.npy")
    assert review["items"][0]["confidence"] == str(here / "review" / "case0" / "confidence.npy")
    assert confidence.shape == ball_case().geometry.array_shape
    predicted = engine.call("predict", {**asked, "out": str(here / "predicted")})
    assert np.load(predicted["items"][0]["segmentation"]).shape == confidence.shape
    with EngineClient() as engine_here:
        engine_here.call("review", {**asked, "out": str(here / "review-here")})
    np.testing.assert_allclose(confidence, np.load(here / "review-here" / "case0" / "confidence.npy"), atol=1e-6)


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_results_never_take_the_place_of_what_they_are_made_from(engine, here, tmp_path):
    shutil.copytree(here / "cases", tmp_path / "cases")
    label = tmp_path / "cases" / "case0" / "label.npy"
    before = label.read_bytes()
    asked = {"cases": {"folder": str(tmp_path / "cases")}, "kind": "erode", "amount": 1.0}
    with pytest.raises(EngineError, match="choose another results folder"):
        engine.call("simulate", {**asked, "out": str(tmp_path / "cases")})
    assert label.read_bytes() == before
    engine.call("simulate", {**asked, "out": str(tmp_path / "spoiled")})
    assert np.load(tmp_path / "spoiled" / "case0" / "label.npy").sum() < np.load(label).sum()


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_a_list_with_verdicts_is_not_replaced_and_can_be_evaluated(engine, trained, here, tmp_path):
    asked = {"model": trained["result"]["model"], "cases": {"folder": str(here / "cases")}, "device": "cpu"}
    asked |= {"out": str(tmp_path), "audit": 12}
    audit = Path(engine.call("review", asked)["audit"])
    head, *places = audit.read_text(encoding="utf-8").splitlines()
    column = head.split(",").index("verdict")
    rows = [place.split(",") for place in places]
    judged = [",".join([*row[:column], "right", *row[column + 1 :]]) for row in rows]
    audit.write_text("\n".join([head, *judged]) + "\n", encoding="utf-8")
    with pytest.raises(EngineError, match="holds verdicts already"):
        engine.call("review", asked)
    assert "right" in audit.read_text(encoding="utf-8")
    answer = engine.call("evaluate", {"audit": str(audit), "out": str(tmp_path / "left.json")})
    assert answer["errors_left"]["wrong"] == 0
    assert json.loads((tmp_path / "left.json").read_text())["errors_left"] == answer["errors_left"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_its_errors_and_what_is_not_there_are_said(engine, trained, here, tmp_path):
    asked = {"cases": {"folder": str(here / "cases")}, "out": str(here / "run"), "device": "cpu"}
    with pytest.raises(EngineError, match="already holds a training"):
        engine.call("train", asked)
    with pytest.raises(EngineError, match="is not there"):
        engine.call("inspect", {"cases": {"folder": str(tmp_path / "none")}})
    with pytest.raises(EngineError, match="list of cases names files"):
        engine.call("inspect", {"cases": {"list": "cases.csv"}})
    assert engine.call("doctor")["checks"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_a_cancel_reaches_it_and_what_was_finished_comes_back(engine, here):
    asked = {"cases": {"folder": str(here / "cases")}, "out": str(here / "cancelled"), "device": "cpu"}
    pending = engine.start("train", {**asked, "epochs": 10_000, "steps_per_epoch": 1})

    def cancel_in_the_third_epoch(event: dict) -> None:
        if event["values"].get("epoch", 0) >= 3:
            pending.cancel()

    with pytest.raises(EngineError) as caught:
        pending.wait(cancel_in_the_third_epoch)
    assert caught.value.code == "cancelled"
    assert json.loads((here / "cancelled" / "run.json").read_text())["status"] == "cancelled"
    load_bundle(here / "cancelled", torch.device("cpu"))


def test_a_command_that_starts_no_engine_is_said_to_be_one():
    wrong = serving(f"{shlex.quote(sys.executable)} -c 'print(1)'")
    with EngineClient(wrong) as client, pytest.raises(EngineError, match="run the engine command in a terminal"):
        client.call("inspect", {"cases": {"folder": "."}})
    with pytest.raises(EngineError, match="quotation mark"):
        RemoteEngine('ssh "gpu-host')


STALLED = """
import json, sys, time
print(json.dumps({"event": "ready", "protocol": 1, "version": "0", "pid": 1}), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("job", ["inspect", "review"])
def test_a_machine_that_answers_no_more_can_be_cancelled(job, here, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "CANCEL_SECONDS", 1.0)
    engine = RemoteEngine(f"{shlex.quote(sys.executable)} -c {shlex.quote(STALLED)}")
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    started = time.monotonic()
    asked = {"cases": {"folder": str(here / "cases")}} if job == "review" else {}
    with pytest.raises(Cancelled):
        engine.jobs[job]({**asked, "out": str(tmp_path / "out")}, Progress(None, cancelled))
    assert time.monotonic() - started < 10
    engine._client.kill()


def test_a_command_of_windows_may_have_quotation_marks(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(remote.sys, "platform", "win32")
        parts = remote.split(r'"C:\Program Files\ssh.exe" -i "C:\a key" host python -m x')
    assert parts == [r"C:\Program Files\ssh.exe", "-i", r"C:\a key", "host", "python", "-m", "x"]


class Hostile:
    """An engine that answers as it likes."""

    def __init__(self, files: list, data: bytes = b"{}") -> None:
        self.files, self.data = files, data

    def start(self, command: str, _parameters: dict) -> Hostile:
        self.command = command
        return self

    def wait(self, check) -> dict:
        if self.command == "files":
            return {"path": "/there/1/out", "files": self.files}
        return {"size": len(self.data), "data": base64.b64encode(self.data).decode()}


@pytest.mark.parametrize(
    "file",
    [
        {"file": "../run.json", "size": 2},
        {"file": "/etc/passwd.json", "size": 2},
        {"file": "a/../../b.json", "size": 2},
        {"file": "C:\\b.json", "size": 2},
        {"file": "sitecustomize.py", "size": 2},
        {"file": "run.sh", "size": 2},
        {"file": "run.json", "size": 1},
        {"file": "run.json", "size": -2},
        {"file": "run.json", "size": 1 << 60},
        {"file": "run.json"},
        {"file": None, "size": 2},
        "run.json",
    ],
)
def test_a_hostile_answer_writes_nothing(file, tmp_path):
    carrier = Carrier(Hostile([file]), lambda: None, lambda *_: None)
    with pytest.raises(EngineError):
        carrier.fetch("1/out", tmp_path / "a" / "out")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_description_that_is_not_ours_is_left(tmp_path):
    carrier = Carrier(Hostile([{"file": "dataset.json", "size": 2}]), lambda: None, lambda *_: None)
    description = tmp_path / "dataset.json"
    for mine, after in (('{"labels": {"1": "a"}, "name": "trial"}', None), ('{"labels": {"1": "a"}}', "{}")):
        description.write_text(mine)
        carrier.fetch("1/out", tmp_path, is_somebody_elses)
        assert description.read_text() == (after or mine)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/there/1/output/x.npy", "/there/1/out/../x.npy", "C:\\x", "\\\\host\\x", "x.npy", 3, ["/etc"]],
)
def test_paths_to_anywhere_else_are_refused(path, tmp_path):
    answer = {"run": "/there/1/out", "items": [{"map": "/there/1/out/x/y.npy"}, {"map": None}], "name": "/lesion"}
    here = {"run": str(tmp_path), "items": [{"map": str(tmp_path / "x" / "y.npy")}, {"map": None}], "name": "/lesion"}
    assert local(answer, ("run", "items.map"), "/there/1/out", tmp_path) == here
    for wrong in ({"run": path}, {"items": [{"map": path}]}, {"items": path}):
        with pytest.raises(EngineError):
            local(wrong, ("run", "items.map"), "/there/1/out", tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_a_class_may_be_called_like_a_path(engine, here, tmp_path):
    """Every job that writes something: what it names lies here, and what only looks like a path stays as it is."""
    case = ball_case("one", seed=3)
    case.class_names = {1: "/lesion"}
    save_array_case(case, tmp_path / "cases" / "one")
    cases = {"items": [{"name": "one", "arrays": str(tmp_path / "cases" / "one")}]}
    asked = {"cases": cases, "device": "cpu", "epochs": 1, "steps_per_epoch": 1}

    def done(command: str, **parameters) -> dict:
        result = engine.call(command, {**parameters, "out": str(tmp_path / command)})
        assert "dalesegment-" not in json.dumps(result)  # no path of the other machine, see the fixture
        return result

    assert engine.call("inspect", {"cases": cases})["cases"][0]["classes"] == {"1": "/lesion"}
    model = done("train", **asked)["model"]
    assert (Path(model) / "models").is_dir()
    using = {"model": model, "cases": cases, "device": "cpu"}
    predicted = done("predict", **using, probabilities=True)
    assert predicted["items"][0]["classes"] == {"1": "/lesion"}
    results = [
        predicted,
        done("review", **using, audit=3),
        done("confidence", **using),
        done("finetune", **using, epochs=1, steps_per_epoch=1),
        done("refresh", **using, seconds=0.5),
        done("simulate", cases=cases, kind="erode", amount=1.0),
    ]
    named = [
        value
        for result in results
        for part in (result, *result.get("items", []))
        for value in part.values()
        if isinstance(value, str) and value.startswith(str(tmp_path))
    ]
    assert len(named) >= 15
    assert all(Path(path).exists() for path in named)


def test_files_go_through_in_pieces_and_names_stay_below(tmp_path):
    spool = Spool()
    try:
        for at, data in ((0, b"abc"), (3, b"defg")):
            assert spool.put({"file": "1/x.npy", "at": at, "data": base64.b64encode(data).decode()})[
                "size"
            ] == at + len(data)
        assert base64.b64decode(spool.get({"file": "1/x.npy", "at": 2})["data"]) == b"cdefg"
        assert spool.files({"folder": "1"})["files"] == [{"file": "x.npy", "size": 7}]
        assert spool.files({"folder": "2"})["files"] == []
        with pytest.raises(EngineError):
            spool.put({"file": "1/x.npy", "at": 9, "data": ""})
        for name in ("../x", "/x", "a//b", "a/./b", ".x", "x ", "x.", "", "a\\b", "a:b", "x\n", None, 3):
            with pytest.raises(EngineError):
                relative(name)
            with pytest.raises(EngineError):
                spool.get({"file": name})
        spool.drop({"folder": "1"})
        assert spool.files({"folder": "1"})["files"] == []
    finally:
        folder = spool.folder
        spool.remove()
    assert not folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_a_list_of_spoiled_labels_names_the_images_here(engine, tmp_path):
    case = ball_case("one")
    write_image(tmp_path / "cases" / "one" / "image.nii.gz", case.image, case.geometry)
    write_image(tmp_path / "cases" / "one" / "label.nii.gz", case.label, case.geometry)
    asked = {"cases": {"folder": str(tmp_path / "cases")}, "kind": "erode", "amount": 1.0}
    answer = engine.call("simulate", {**asked, "out": str(tmp_path / "out")})
    (source,) = find_cases(list=answer["list"])
    assert source.images[0].resolve() == tmp_path / "cases" / "one" / "image.nii.gz"
    assert source.label.resolve() == tmp_path / "out" / "one" / "label.nii.gz"
    with pytest.raises(EngineError, match="already holds files"):
        engine.call("simulate", {**asked, "out": str(tmp_path / "out")})
    source.label.write_bytes(b"mine")
    (kept,) = engine.call("simulate", {**asked, "out": str(tmp_path / "out"), "overwrite": True})["kept"]
    assert (tmp_path / "out" / kept).read_bytes() == b"mine"
