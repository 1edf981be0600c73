"""A client of the server that may be killed at any moment:

    python -m benchmarks.reliability.server_client ADDRESS FOLDER NAME JOBS OTHERS

Each job has an id of its own, and its answer is kept in a file that appears whole; what has one is not asked again.
Between jobs it tries to see what belongs to the others, and asks with tokens that nobody has. Its own cases have its
own number of labelled voxels, by which an answer that is another's is known.
"""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from typing import Any

import requests

from DALESegmentLib.engine.core.files import write_json
from DALESegmentLib.engine.rpc.http_client import ServerConnection
from DALESegmentLib.engine.rpc.transfer import Carrier

PATIENCE = 600.0
"""Seconds: a loaded machine takes its time to start the server again."""


def main(address: str, folder: Path, name: str, count: int, others: list[str]) -> None:
    server = ServerConnection(address, patience=PATIENCE)
    server.wait()
    carrier = Carrier(server)
    answers = folder / "answers"
    for n in range(count):
        if not (answers / f"{n}.json").exists():
            answer = _one(server, carrier, folder / "cases", name, n)
            write_json(answers / f"{n}.json", {"answer": answer})
            write_json(folder / "seen" / f"{n}.json", _looked(server, name, n, others))


def _one(server: ServerConnection, carrier: Carrier, cases: Path, name: str, n: int) -> dict[str, Any]:
    there = carrier.send(cases)
    parameters: dict[str, Any] = {"cases": {"folder": there}}
    command = ("inspect", "simulate", "inspect", "train")[n % 4]
    if command != "inspect":
        parameters["out"] = f"out/{name}-{n}"
    if command == "simulate":
        parameters |= {"kind": "erode", "amount": 1.0}
    if command == "train":
        parameters |= {"epochs": 2, "steps_per_epoch": 1, "device": "cpu"}
    id = f"{name}-{n}"
    server.ask("POST", "/v1/jobs", json={"protocol": 1, "id": id, "command": command, "parameters": parameters})
    after = 0
    while True:
        told = server.ask("GET", f"/v1/jobs/{id}/events", params={"wait": 10, "after": after})
        after = told["next"]
        for event in told["events"]:
            if event["event"] in ("result", "error"):
                return event


def _looked(server: ServerConnection, name: str, n: int, others: list[str]) -> dict[str, int]:
    """How many of the others' jobs, folders and files were answered with anything, and how many were asked for;
    the same of questions with a wrong token or none."""
    seen = asked = 0
    for other in others:
        for path in (f"/v1/jobs/{other}-{n}", f"/v1/jobs/{other}-0/events", f"/v1/files/out/{other}-1/items.csv"):
            asked += 1
            seen += _answered(server.address + path, server.token)
        listed = server.ask("GET", "/v1/files", params={"folder": f"out/{other}-1"})["files"]
        asked, seen = asked + 1, seen + bool(listed)
    wrong = refused = 0
    for path in ("/v1/status", f"/v1/jobs/{name}-{n}", "/v1/files", "/metrics"):
        for token in (None, "", secrets.token_urlsafe(32)):
            wrong += 1
            refused += not _answered(server.address + path, token)
    return {"asked": asked, "seen": seen, "unauthorised": wrong, "refused": refused}


def _answered(url: str, token: str | None) -> bool:
    """Whether it was answered with anything but a refusal; a server that is away has not answered."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        return requests.get(url, headers=headers, timeout=60).status_code not in (401, 404)
    except requests.RequestException:
        return False


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), json.loads(sys.argv[5]))
