"""Users, tokens and the queue of a real server."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
import requests

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.server.users import Users

pytestmark = pytest.mark.slow


def request(id: str, command="inspect", **parameters) -> bytes:
    line = {"protocol": 1, "id": id, "command": command, "parameters": parameters}
    return json.dumps(line).encode()


def add(server, user, *given, **parameters):
    return server.ask("POST", "/v1/jobs", user, data=request(*given, **parameters))


def answer(server, user, id: str) -> dict:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        events = server.ask("GET", f"/v1/jobs/{id}/events", user, params={"wait": 5}).json()["events"]
        if events and events[-1]["event"] in ("result", "error"):
            return events[-1]
    raise AssertionError("no answer")


def test_who_has_no_token_is_refused_everywhere(server):
    routes = requests.get(f"{server.address}/openapi.json", timeout=10).json()["paths"]
    assert len(routes) > 8
    bad = ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}, {"Authorization": server.tokens["anna"]})
    for route, methods in routes.items():
        for method in methods:
            for headers in bad:
                url = server.address + route.replace("{id}", "1").replace("{name}", "a")
                status = requests.request(method, url, headers=headers, timeout=10).status_code
                assert status == (200 if route == "/health" else 401), (route, method)


def test_a_job_is_nobody_elses(server):
    assert add(server, "anna", "first", cases={"folder": "nothing"}).status_code == 202
    told = answer(server, "anna", "first")
    assert told["event"] == "error"
    assert str(server.folder) not in json.dumps(told)
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
        assert server.ask(method, f"/v1/jobs/first{path}", "bob").status_code == 404
    assert server.ask("GET", "/v1/jobs", "bob").json() == {"jobs": []}


def test_the_same_request_twice_is_one_job(server):
    for _ in range(2):
        assert add(server, "bob", "twice", cases={"folder": "nothing"}).status_code == 202
    assert [job["id"] for job in server.ask("GET", "/v1/jobs", "bob").json()["jobs"]].count("twice") == 1
    other = add(server, "bob", "twice", cases={"folder": "other"})
    assert (other.status_code, other.json()["code"]) == (409, "same-id")


@pytest.mark.parametrize(
    "parameters",
    [
        {"cases": {"folder": "/etc"}},
        {"cases": {"folder": "../../.."}},
        {"cases": {"list": "cases.csv"}},
        {"cases": {"folder": "a", "label": "../../label"}},
        {"cases": {"items": [{"name": "a", "images": ["/etc/passwd"]}]}},
        {"model": "..", "cases": {"folder": "a"}, "out": "o"},
    ],
)
def test_paths_in_requests_lead_nowhere_else(server, parameters):
    refused = add(server, "anna", f"away{abs(hash(str(parameters)))}", "predict", **parameters)
    assert refused.status_code == 422
    assert refused.json()["code"] in ("bad-path", "bad-request")


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[" * 100_000, b"{}", request("a b"), request("a", "paint"), b'{"protocol": 2}', b"\xff"]
)
def test_what_is_no_request_is_said_to_be_none(server, body):
    refused = server.ask("POST", "/v1/jobs", "anna", data=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "bad-request")


def test_a_waiting_job_is_cancelled_and_too_many_are_refused(narrow_server):
    codes = [add(narrow_server, "anna", f"j{n}", cases={"folder": "x"}).status_code for n in range(8)]
    assert codes[:3] == [202] * 3
    assert 429 in codes
    cancelled = narrow_server.ask("POST", "/v1/jobs/j2/cancel", "anna").json()
    told = answer(narrow_server, "anna", "j2")
    assert not cancelled["cancelled"] or told["code"] == "cancelled"
    assert narrow_server.ask("POST", "/v1/jobs/j2/cancel", "anna").json() == {"cancelled": False}


def test_metrics_and_status_say_what_is_there(server):
    told = server.ask("GET", "/v1/status", "anna").json()
    assert told["user"] == "anna"
    assert set(told["queue"]) == {"waiting", "running"}
    text = server.ask("GET", "/metrics", "bob").text
    assert 'dalesegment_jobs{state="waiting"}' in text
    assert "anna" not in text


def test_a_second_server_on_the_same_folder_and_a_taken_port_are_said(server, tmp_path):
    command = [sys.executable, "-m", "DALESegmentLib.engine", "serve", "--http", "--data"]
    twice = subprocess.run([*command, str(server.folder)], capture_output=True, encoding="utf-8", timeout=60)
    assert twice.returncode == 1
    assert "Another server works on" in twice.stderr
    Users(tmp_path / "tokens.json").add("anna")
    port = ["--port", str(server.port)]
    taken = subprocess.run([*command, str(tmp_path), *port], capture_output=True, encoding="utf-8", timeout=60)
    assert taken.returncode == 1
    assert "cannot be had" in taken.stderr
    assert "Traceback" not in taken.stderr + twice.stderr


def test_tokens_are_kept_as_hashes_and_taken_away_at_once(server):
    token = server.tokens["carl"] = server.users.add("carl")
    assert token not in (server.folder / "tokens.json").read_text()
    assert (server.folder / "tokens.json").stat().st_mode & 0o077 == 0
    assert server.ask("GET", "/v1/jobs", "carl").status_code == 200
    with pytest.raises(EngineError, match="There is a user carl already"):
        server.users.add("carl")
    server.users.remove("carl")
    assert server.ask("GET", "/v1/jobs", "carl").status_code == 401
    with pytest.raises(EngineError, match="letters, digits"):
        server.users.add("../x")


def test_the_log_holds_no_names_and_no_tokens(server):
    server.ask("GET", "/v1/files/MUSTERMANN_ERIKA.nii.gz", "anna")
    add(server, "anna", "MUSTERMANN", cases={"folder": "MUSTERMANN"})
    answer(server, "anna", "MUSTERMANN")
    text = server.log.read_text()
    assert "/v1/files/{name:path} 404" in text
    assert "MUSTERMANN" not in text
    assert not any(token in text for token in server.tokens.values())
