"""A client and a server as two machines: trains, corrects, and gets the same as here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.files import read_json
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.rpc.client import EngineClient, serving
from DALESegmentLib.engine.rpc.http_client import ServerConnection, checked_address
from DALESegmentLib.server.landlock import landlock_version
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow
SHORT = {"epochs": 2, "steps_per_epoch": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("here")
    for n in range(2):
        save_array_case(ball_case(f"case{n}", seed=n), root / "cases" / f"case{n}")
    return root


@pytest.fixture(scope="module")
def engine(server):
    before = os.environ.get("DALESEGMENT_TOKEN")
    os.environ["DALESEGMENT_TOKEN"] = server.tokens["anna"]
    with EngineClient(serving(server.address)) as client:
        yield client
    os.environ.pop("DALESEGMENT_TOKEN")
    if before is not None:
        os.environ["DALESEGMENT_TOKEN"] = before


@pytest.fixture(scope="module")
def local():
    with EngineClient() as client:
        yield client


@pytest.fixture(scope="module")
def trained(engine, here) -> dict:
    asked = {"cases": {"folder": str(here / "cases")}, "out": str(here / "run"), **SHORT}
    events = []
    return {"result": engine.call("train", asked, events.append), "events": events}


def test_a_training_comes_back_as_a_run_folder(trained, here):
    assert trained["result"]["model"] == str(here / "run" / "bundle")
    load_bundle(here / "run", torch.device("cpu"))
    assert {"training", "writing"} <= {event["stage"] for event in trained["events"]}
    percents = [event["percent"] for event in trained["events"]]
    assert percents == sorted(percents)
    assert read_json(here / "run" / "run.json")["cases"] == {"folder": str(here / "cases")}


def test_predictions_are_those_of_a_local_engine(engine, local, trained, here, tmp_path):
    asked = {"model": trained["result"]["model"], "cases": {"folder": str(here / "cases")}, "device": "cpu"}
    there = engine.call("predict", {**asked, "out": str(tmp_path / "there")})
    local_result = local.call("predict", {**asked, "out": str(tmp_path / "local")})
    for a, b in zip(there["items"], local_result["items"], strict=True):
        assert Path(a["segmentation"]).is_relative_to(tmp_path / "there")
        np.testing.assert_array_equal(np.load(a["segmentation"]), np.load(b["segmentation"]))
    with pytest.raises(EngineError) as caught:
        engine.call("predict", {**asked, "out": str(tmp_path / "there")})
    assert caught.value.code == "results-exist"


def test_a_refresh_tells_of_the_region_before_the_rest_and_sends_the_image_once(engine, trained, here, server):
    for n in range(2):
        case = here / f"corrected-{n}"
        shutil.copytree(here / "cases" / "case0", case)
        trusted = np.zeros((12, 20, 24), bool)
        trusted[4 : 6 + n] = True
        np.save(case / "trusted.npy", trusted)
        asked = {"model": trained["result"]["model"], "cases": {"items": [{"name": "case0", "arrays": str(case)}]}}
        region = {"case": "case0", "first_voxel": [5, 5, 5], "last_voxel": [9, 9, 9]}
        told = []

        def keep(event, told=told):
            if "region" in event["values"]:
                told.append(np.load(event["values"]["region"]["shown"]).shape)

        asked |= {"out": str(here / f"refresh-{n}"), "seconds": 0.5, "device": "cpu", "region": region}
        answer = engine.call("refresh", asked, keep)
        assert told[0] == (5, 5, 5)
        assert Path(answer["items"][0]["confidence"]).is_file()
        assert answer["replayed"] == 1  # the earlier case is still there
    files = server.folder_of("anna") / "files"
    found = [path for name in ("case0", "corrected-*") for path in files.rglob(f"{name}/image.npy")]
    images = [path.stat().st_ino for path in found]
    assert len(images) >= 3
    assert len(set(images)) == 1


def test_an_error_and_a_cancel_come_through(engine, here):
    asked = {"cases": {"folder": str(here / "cases")}, "device": "cpu"}
    with pytest.raises(EngineError, match="list of cases names files"):
        engine.call("inspect", {"cases": {"list": "x.csv"}})
    with pytest.raises(EngineError, match="has no parameter"):
        engine.call("train", {**asked, "out": str(here / "wrong"), "colour": 1})
    pending = engine.start("train", {**asked, "out": str(here / "long"), "epochs": 10_000, "steps_per_epoch": 1})

    def cancel(event: dict) -> None:
        if event["values"].get("epoch", 0) >= 3:
            pending.cancel()

    with pytest.raises(EngineError) as caught:
        pending.wait(cancel)
    assert caught.value.code == "cancelled"
    assert json.loads((here / "long" / "run.json").read_text())["status"] == "cancelled"


def test_a_server_killed_while_a_job_runs_answers_all_the_same(engine, here, server):
    asked = {"cases": {"folder": str(here / "cases")}, "out": str(here / "killed"), **SHORT, "epochs": 30}
    pending = engine.start("train", asked)
    killed = []

    def kill(event: dict) -> None:
        if event["stage"] == "training" and not killed:
            killed.append(True)
            server.kill()
            server.start()

    assert pending.wait(kill)["epochs"] == 30
    assert killed
    (job,) = [job for job in server.ask("GET", "/v1/jobs", "anna").json()["jobs"] if job["attempts"] > 1]
    assert job["state"] == "done"


@pytest.mark.skipif(not landlock_version(), reason="this system has no Landlock")
def test_an_engine_opens_nobody_elses_files_and_writes_nowhere_else(server, tmp_path):
    """Whatever path a list or an earlier run names."""
    own, other = server.folder_of("anna"), server.folder_of("bob") / "secret.txt"
    for folder in (own / "tmp", other.parent):
        folder.mkdir(parents=True, exist_ok=True)
    other.write_text("secret")
    (server.folder.parent / "link").symlink_to(server.folder)  # a way around, if links were followed
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom DALESegmentLib.server.landlock import keep_within\n"
        "own, hidden, *paths = map(Path, sys.argv[1:])\nassert keep_within(own, hidden)\n"
        "(own / 'tmp' / 'mine').write_text('x'); import numpy\n"
        "for path, mode in zip(paths, 'rrrw'):\n"
        "    try: open(path, mode)\n    except PermissionError: continue\n    sys.exit(f'{path} was opened')"
    )
    tokens, queue = server.folder / "tokens.json", server.folder / "jobs.sqlite"
    paths = [own, server.folder, other, tokens, queue, tmp_path / "new"]
    command = [sys.executable, "-c", code, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    assert other.read_text() == "secret"


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("ssh gpu-host python -m DALESegmentLib.engine serve", "ssh -L"),
        ("http://gpu-host:8000", "unencrypted"),
        ("https://me:password@host", "address is like"),
        ("https://host?token=x", "address is like"),
        ("http://localhost:99999", "address is like"),
    ],
)
def test_addresses_that_are_none_are_refused_in_a_sentence(address, word):
    with pytest.raises(EngineError, match=word):
        checked_address(address)


def test_a_server_that_is_not_there_or_is_another_program_is_said(server):
    with pytest.raises(EngineError, match="does not answer"):
        ServerConnection("http://localhost:9", "token").ask("GET", "/v1/status")
    with pytest.raises(EngineError, match="knows no such token"):
        ServerConnection(server.address, "wrong").ask("GET", "/v1/status")
    with pytest.raises(EngineError, match="put it into the field Token"):
        ServerConnection(server.address, " ")


def test_the_command_line_works_through_it_with_the_token_in_no_argument(server, here):
    environment = {**os.environ, "DALESEGMENT_ENGINE": server.address, "DALESEGMENT_TOKEN": server.tokens["bob"]}
    command = [sys.executable, "-m", "DALESegmentLib.engine", "inspect", "--data", str(here / "cases"), "--json"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=60)
    assert json.loads(done.stdout)["problems"] == 0, done.stderr
