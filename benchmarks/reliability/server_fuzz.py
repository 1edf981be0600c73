"""Requests that schemathesis makes up from the server's own description: none is answered with 5xx, none hangs."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
import schemathesis
from schemathesis import Case

from .server_process import ServerProcess

HANG_SECONDS = 30.0


@dataclass
class Fuzzed:
    """wrong: a sentence for each answer that is none. statuses: how often each came."""

    requests: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def run(root: Path, seconds: float) -> Fuzzed:
    """Of every route as much, in turns, until the time is over."""
    found, started = Fuzzed(), time.monotonic()
    with ServerProcess(root / "fuzzed", ("anna",)) as server:
        token = {"Authorization": f"Bearer {server.tokens['anna']}"}
        schema = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
        operations = [result.ok() for result in schema.get_all_operations()]
        seed = 0
        while time.monotonic() - started < seconds:
            for operation in operations:
                _some(operation.as_strategy(), token, seed, found)
            seed += 1
        if not server.answers():
            found.wrong.append("the server does not answer any more")
        if "Traceback" in server.log.read_text(encoding="utf-8"):
            found.wrong.append("there is a traceback in the log")
    found.seconds = time.monotonic() - started
    return found


def _some(cases: hypothesis.strategies.SearchStrategy[Case], token: dict[str, str], seed: int, found: Fuzzed) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=20,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=cases)
    def ask(case: Case) -> None:
        started = time.monotonic()
        name = f"{case.method} {case.path}"
        try:
            answer = case.call(headers=token, timeout=HANG_SECONDS)
        except Exception as problem:
            found.wrong.append(f"{name}: {type(problem).__name__}")
            return
        found.requests += 1
        found.slowest = max(found.slowest, time.monotonic() - started)
        found.statuses[answer.status_code] += 1
        if answer.status_code >= 500:
            found.wrong.append(f"{name}: {answer.status_code} {answer.text[:200]}")
        if answer.status_code >= 400 and case.method != "HEAD" and set(answer.json()) != {"code", "sentence"}:
            found.wrong.append(f"{name}: {answer.status_code} without a sentence")

    ask()
