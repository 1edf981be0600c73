"""A real engine process, its requests and answers as bare lines, and its memory and processor time."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
SERVE = (sys.executable, "-m", "DALESegmentLib.engine", "serve")
BY_A_PARENT = (sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))")


class NoAnswer(Exception):
    """The engine ended, or did not answer in time."""


class LinesEngine:
    """For a `with` block. messages: what it wrote on standard error; process: the engine or, with `by_a_parent`, the
    process that started it; pid: of the engine itself."""

    def __init__(self, environment: Mapping[str, str] | None = None, *, by_a_parent: bool = False) -> None:
        pipe = subprocess.PIPE
        paths = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
        values = {**os.environ, "PYTHONPATH": paths, "PYTHONUTF8": "1", **(environment or {})}
        command = (*BY_A_PARENT, *SERVE) if by_a_parent else SERVE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=values)
        self.messages: list[str] = []
        self.events: list[dict[str, Any]] = []  # all that came, progress too
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._count = 0
        for target in (self._listen, self._read_lines):
            threading.Thread(target=target, daemon=True).start()
        self.pid: int = self.answer(120.0, "ready")["pid"]

    def __enter__(self) -> LinesEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        with suppress(psutil.NoSuchProcess):
            psutil.Process(self.pid).kill()

    def gone_within(self, seconds: float) -> bool:
        """Whether the engine itself ends in time."""
        try:
            psutil.Process(self.pid).wait(seconds)
        except psutil.NoSuchProcess:
            return True
        except psutil.TimeoutExpired:
            return False
        return True

    def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except OSError as error:
            raise NoAnswer("the engine is gone") from error

    def answer(self, seconds: float, *kinds: str) -> dict[str, Any]:
        """The next line of these kinds (default: result or error). Raises NoAnswer."""
        end = time.monotonic() + seconds
        while True:
            try:
                event = self._answers.get(timeout=max(end - time.monotonic(), 0.001))
            except queue.Empty:
                raise NoAnswer(f"nothing in {seconds:g} s") from None
            if event is None:
                raise NoAnswer(f"the engine ended with {self.process.wait()}")
            if event.get("event") in (kinds or ("result", "error")):
                return event

    def ask(self, command: str, parameters: Mapping[str, Any] | None = None, seconds: float = 300.0) -> dict[str, Any]:
        """The result. Raises NoAnswer, and RuntimeError with code and sentence of an error."""
        event = self.event(command, parameters, seconds)
        if event["event"] == "error":
            raise RuntimeError(f"{event['code']}: {event['sentence']}")
        return event["result"]

    def event(
        self, command: str, parameters: Mapping[str, Any] | None = None, seconds: float = 300.0
    ) -> dict[str, Any]:
        """The result or the error, as a line. Raises NoAnswer."""
        self.begin(command, parameters)
        return self.answer(seconds)

    def begin(self, command: str, parameters: Mapping[str, Any] | None = None) -> None:
        self._count += 1
        request = {"protocol": 1, "id": str(self._count), "command": command, "parameters": dict(parameters or {})}
        self.send(json.dumps(request).encode() + b"\n")

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def peak_bytes(self) -> int:
        """The most memory it ever had."""
        status = Path(f"/proc/{self.pid}/status")
        if status.is_file():
            (line,) = (row for row in status.read_text(encoding="utf-8").splitlines() if row.startswith("VmHWM"))
            return int(line.split()[1]) * 1024
        return int(psutil.Process(self.pid).memory_info().rss)

    def processor_seconds(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def used(self) -> tuple[int, int, int]:
        """Bytes of memory, open files, threads."""
        process = psutil.Process(self.pid)
        return process.memory_info().rss, process.num_fds(), process.num_threads()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            self.events.append(event)
            self._answers.put(event)
        self._answers.put(None)

    def _read_lines(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.messages.append(line.decode("utf-8", "replace"))
