"""Kill -9 of the server and its clients at random moments: no job is lost, none is answered twice or to another user,
and who has no token is refused."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.files import read_json
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.case import Case

from .lines_engine import REPOSITORY
from .server_process import ServerProcess
from .small_cases import GEOMETRY

LONGEST_SECONDS = 3600.0


@dataclass
class Outcome:
    """wrong: a sentence for each job that was lost, answered twice or wrongly."""

    jobs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    again: int = 0
    """Jobs that were begun more than once."""
    wrong: list[str] = field(default_factory=list)
    asked: int = 0
    seen: int = 0
    unauthorised: int = 0
    refused: int = 0


def run(root: Path, clients: int, jobs: int, most_apart: int = 10, seed: int = 0) -> Outcome:
    """jobs: of all clients together. most_apart: after 1 to so many more answers something is killed, each fifth time
    the server, else one of the clients."""
    chance, outcome = random.Random(seed), Outcome()
    names = tuple(f"user{n}" for n in range(clients))
    each = jobs // clients
    voxels = {name: _cases(root / name / "cases", n) for n, name in enumerate(names)}
    options = ("--warm", str(clients))
    with ServerProcess(root / "server", names, options) as server:
        running = {name: _client(server, root / name, name, each, names) for name in names}
        until, kills, following = time.monotonic() + LONGEST_SECONDS, 0, 1
        while running and time.monotonic() < until:
            time.sleep(0.2)
            for name, client in list(running.items()):
                if client.poll() == 0:
                    del running[name]
                elif client.poll() is not None:
                    running[name] = _client(server, root / name, name, each, names)
            if not running or _answered(root) < following:
                continue
            following = _answered(root) + chance.randint(1, most_apart)
            time.sleep(chance.uniform(0.0, 2.0))
            if kills % 5 == 0:
                server.kill()
                server.start()
            else:
                running[chance.choice(sorted(running))].kill()
            outcome.kills["client" if kills % 5 else "server"] += 1
            kills += 1
        for client in running.values():
            client.kill()
    _judge(root, names, each, voxels, outcome)
    return outcome


def _answered(root: Path) -> int:
    return len(list(root.glob("*/answers/*.json")))


def _client(
    server: ServerProcess, folder: Path, name: str, count: int, names: tuple[str, ...]
) -> subprocess.Popen[bytes]:
    others = json.dumps([other for other in names if other != name])
    command = (sys.executable, "-m", "benchmarks.reliability.server_client", server.address, str(folder), name)
    paths = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths, "DALESEGMENT_TOKEN": server.tokens[name]}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen((*command, str(count), others), env=environment, stdout=log, stderr=log)


def _cases(folder: Path, number: int) -> int:
    """Two cases whose numbers of labelled voxels no other user's have; returns those of the first."""
    for n in range(2):
        label = np.zeros(GEOMETRY.array_shape, np.uint8)
        label[2:6, 4:10, 4:10] = 1
        label[2, 2, : number + 1] = 1
        image = (100.0 * label + np.random.default_rng(10 * number + n).normal(0, 10, label.shape)).astype(np.float32)
        save_array_case(Case(f"case{n}", image[None], GEOMETRY, label, class_names={1: "lesion"}), folder / f"case{n}")
    return int(label.sum())


def _judge(root: Path, names: tuple[str, ...], each: int, voxels: dict[str, int], outcome: Outcome) -> None:
    file = sqlite3.connect(root / "server" / "jobs.sqlite")
    stored = Counter(dict(file.execute("SELECT id, COUNT(*) FROM jobs GROUP BY id").fetchall()))
    (outcome.again,) = file.execute("SELECT COUNT(*) FROM jobs WHERE attempts > 1").fetchone()
    file.close()
    for name in names:
        for n in range(each):
            outcome.jobs += 1
            what = _wrong(root / name, name, n, stored, voxels[name])
            if what:
                outcome.wrong.append(f"{name}, job {n}: {what}")
        for path in (root / name / "seen").glob("*.json"):
            looked = read_json(path)
            outcome.asked += looked["asked"]
            outcome.seen += looked["seen"]
            outcome.unauthorised += looked["unauthorised"]
            outcome.refused += looked["refused"]


def _wrong(folder: Path, name: str, n: int, stored: Counter[str], voxels: int) -> str:
    try:
        answer = read_json(folder / "answers" / f"{n}.json")["answer"]
    except EngineError:
        return "no answer"
    if stored[f"{name}-{n}"] != 1:
        return f"{stored[f'{name}-{n}']} jobs in the queue"
    if answer.get("event") != "result":
        return str(answer.get("sentence"))
    result = answer["result"]
    if n % 4 in (0, 2):
        counted = result["cases"][0]["voxels"]["1"]
        return "" if counted == voxels else f"{counted} voxels instead of {voxels}"
    if n % 4 == 1:
        return (
            "" if all(item["label"].startswith(f"out/{name}-{n}/") for item in result["items"]) else "another's label"
        )
    return "" if result["run"] == f"out/{name}-{n}" else "another's run"
