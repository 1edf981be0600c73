"""Nothing is sent anywhere, and nothing fetched: the whole job in a process whose sockets refuse to open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from DALESegmentLib.engine.io.array_cases import save_array_case
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

WATCHED = """
import json, sys
opened = []
def watch(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.")):
        opened.append(event)
sys.addaudithook(watch)
"""
JOBS = """
from DALESegmentLib.engine.commands import confidence, doctor, finetune, inspect, predict, review, simulate, train
from DALESegmentLib.engine.core.progress import Progress
cases, out = {"folder": sys.argv[1]}, sys.argv[2]
short = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu"}
doctor.examine(out)
inspect.run({"cases": cases}, Progress())
train.run({"cases": cases, "out": out + "/run", **short}, Progress())
finetune.run({"model": out + "/run", "cases": cases, "out": out + "/tuned", **short}, Progress())
for job in (predict, confidence, review):
    asked = {"model": out + "/tuned", "cases": cases, "out": out + "/results", "device": "cpu", "overwrite": True}
    job.run(asked, Progress())
simulate.run({"cases": cases, "out": out + "/spoiled", "kind": "erode", "amount": 1.0}, Progress())
"""
TRIES = """
import socket
try:
    socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError:
    pass
"""


def opened(code: str, *arguments: str) -> list[str]:
    script = WATCHED + code + "\nprint(json.dumps(opened))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script, *arguments], env=environment, capture_output=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_no_job_opens_a_connection(tmp_path):
    for n in range(2):
        case = ball_case(f"case{n}", size=(16, 16, 8), seed=n)
        save_array_case(case, tmp_path / "cases" / case.name)
    assert opened(JOBS, str(tmp_path / "cases"), str(tmp_path / "out")) == []
    assert (tmp_path / "out" / "results" / "regions.csv").is_file()


def test_a_connection_would_be_noticed():
    assert "socket.connect" in opened(TRIES)
