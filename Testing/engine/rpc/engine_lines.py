"""A bare engine process with the jobs of trial_engine.py, and waiting for what it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRIAL_ENGINE = (sys.executable, str(Path(__file__).with_name("trial_engine.py")))


class Lines:
    """An engine process and its bare lines."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(TRIAL_ENGINE, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        assert self.receive()["event"] == "ready"

    def send(self, line: bytes | dict[str, Any]) -> None:
        if isinstance(line, dict):
            line = json.dumps({"protocol": 1, "parameters": {}, **line}).encode() + b"\n"
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        return json.loads(self.process.stdout.readline())

    def answer(self, id: str | None) -> dict[str, Any]:
        """The result or error of a request; what comes before it is passed over."""
        while True:
            event = self.receive()
            if event["event"] in ("result", "error") and event["id"] == id:
                return event


def soon(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def alive(process_id: int) -> bool:
    """A zombie nobody has waited for is as good as gone."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process_id}/stat")
    return not stat.exists() or stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
