"""The engine process as Qt runs it: sends requests, receives progress and answers, never blocks."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.rpc.client import slicer_python
from DALESegmentLib.engine.rpc.http_client import TOKEN_VARIABLE

PROTOCOL = 1
SERVE = ("-m", "DALESegmentLib.engine", "serve")
LIBRARY_FOLDER = Path(__file__).resolve().parents[2]  # what holds DALESegmentLib
SECONDS_TO_LEAVE = 3
ENGINE_ADDRESS, ENGINE_TOKEN = "DALESegment/EngineAddress", "DALESegment/EngineToken"
"""Application settings: the server that computes, see docs/server.md, and the user's token there; empty: here."""


def _nothing(*_: Any) -> None:
    """The callback of whoever does not want to know."""


@dataclass
class _Request:
    onProgress: Callable[[dict], None]
    onResult: Callable[[dict], None]
    onError: Callable[[str, str], None]


class EngineProcess:
    """One process that stays warm between requests.

    Callbacks come on the main thread: onProgress(event), then exactly one of onResult(result) and
    onError(code, sentence). If the process dies, every open request gets the error "engine-gone"; the next
    request starts a new one. Lines are those of docs/protocol.md.

    through() is asked at each start for the address of a server that computes; by default the setting.
    """

    def __init__(
        self,
        program: str | None = None,
        arguments: Sequence[str] = SERVE,
        through: Callable[[], str] | None = None,
    ) -> None:
        self._through = through or engineAddress
        self._program = program
        self._arguments = list(arguments)
        self._process: qt.QProcess | None = None
        self._requests: dict[str, _Request] = {}
        self._lastId = 0
        self._unread = b""
        self._stopping = False
        self.ready: dict[str, Any] | None = None  # the process's first line
        self.messages: deque[str] = deque(maxlen=100)  # what it wrote on standard error, newest last

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.state() != qt.QProcess.NotRunning

    @property
    def processId(self) -> int | None:
        return int(self._process.processId()) if self.running else None

    def start(self) -> None:
        """Start the process if it does not run. Raises EngineError "engine-not-started"."""
        if self.running:
            return
        self.ready, self._unread, self._stopping = None, b"", False
        process = qt.QProcess()
        address = self._through().strip()
        process.setProcessEnvironment(_environment(engineToken() if address else ""))
        for signal, slot in (
            ("readyReadStandardOutput()", self._readAnswers),
            ("readyReadStandardError()", self._readMessages),
            ("finished(int,QProcess::ExitStatus)", self._onFinished),
        ):
            if not process.connect(signal, slot):
                raise ValueError(f"QProcess has no signal {signal}")
        self._process = process
        elsewhere = ["--through", address] if address else []
        process.start(self._program or slicerPython(), [*self._arguments, *elsewhere])
        if not process.waitForStarted(10_000):
            self._process = None
            raise EngineError(
                "engine-not-started",
                "The engine could not be started; restart Slicer, or else reinstall the extension.",
            )

    def request(
        self,
        command: str,
        parameters: dict[str, Any] | None = None,
        onProgress: Callable[[dict], None] | None = None,
        onResult: Callable[[dict], None] | None = None,
        onError: Callable[[str, str], None] | None = None,
    ) -> str:
        """Send a request, starting the process if need be; returns its id at once."""
        self.start()
        self._lastId += 1
        requestId = str(self._lastId)
        self._requests[requestId] = _Request(onProgress or _nothing, onResult or _nothing, onError or _nothing)
        line = {"protocol": PROTOCOL, "id": requestId, "command": command, "parameters": parameters or {}}
        self._process.write(json.dumps(line).encode("utf-8") + b"\n")
        return requestId

    def cancel(self, requestId: str | None = None) -> None:
        """Ask a request (default: all of them) to stop; each then ends with the error "cancelled"."""
        if self.running:
            self.request("cancel", {} if requestId is None else {"target": requestId})

    def restart(self) -> None:
        """A fresh process, for instance after packages were installed."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """End the process: by asking, and after a few seconds by force. Open requests end as cancelled."""
        process = self._process
        if process is None:
            return
        self._stopping = True
        if self.running:
            self.request("shutdown")
            process.closeWriteChannel()
            if not process.waitForFinished(1000 * SECONDS_TO_LEAVE):
                process.kill()
                process.waitForFinished(1000 * SECONDS_TO_LEAVE)
        self._process = None

    def kill(self) -> None:
        """End the process at once, without waiting for it. Open requests end as cancelled."""
        if self.running:
            self._stopping = True
            self._process.kill()

    def waitFor(self, condition: Callable[[], bool], seconds: float) -> bool:
        """For scripts and tests: answer requests until condition() holds. The module itself never waits."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or not self.running:
                return condition()
            self._process.waitForReadyRead(50)
        return True

    def _readAnswers(self) -> None:
        self._unread += self._process.readAllStandardOutput().data()
        *lines, self._unread = self._unread.split(b"\n")
        problems = []
        for line in lines:
            try:
                self._takeLine(line)
            except Exception as problem:  # noqa: PERF203  the lines after it may be the answer somebody waits for
                problems.append(problem)
        if problems:
            raise problems[0]

    def _takeLine(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            kind = event["event"]
        except (ValueError, TypeError, KeyError):
            logging.warning("DALESegment: the engine wrote a line that is not an answer: %r", line[:200])
            return
        if kind == "ready":
            self.ready = event
            return
        key = str(event.get("id"))
        request = self._requests.get(key) if kind == "progress" else self._requests.pop(key, None)
        if request is None:
            return
        if kind == "progress":
            request.onProgress(event)
        elif kind == "result":
            request.onResult(event["result"])
        else:
            request.onError(event.get("code", "unknown"), event.get("sentence", "The engine reported an error."))

    def _readMessages(self) -> None:
        text = self._process.readAllStandardError().data().decode("utf-8", "replace")
        self.messages.extend(line for line in text.splitlines() if line.strip())

    def _onFinished(self, exitCode: int, _exitStatus: int) -> None:
        self._readAnswers()
        self._readMessages()
        abandoned, self._requests = self._requests, {}
        if self._stopping:
            code, sentence = "cancelled", "Cancelled; everything finished before is kept."
        else:
            logging.error("DALESegment engine ended (%s):\n%s", exitCode, "\n".join(self.messages))
            code = "engine-gone"
            sentence = (
                f"The engine stopped unexpectedly (code {exitCode}) and nothing in the scene was changed; "
                "start the step again, with a smaller image or fewer cases if it happens twice."
            )
        for request in abandoned.values():
            request.onError(code, sentence)


def engineAddress() -> str:
    """Of the server that the user set; "" for an engine on this computer."""
    return str(qt.QSettings().value(ENGINE_ADDRESS) or "")


def engineToken() -> str:
    """The user's at that server; "" where the environment has it, or none is set."""
    return str(qt.QSettings().value(ENGINE_TOKEN) or "")


def setEngine(address: str, token: str) -> None:
    qt.QSettings().setValue(ENGINE_ADDRESS, address.strip())
    qt.QSettings().setValue(ENGINE_TOKEN, token.strip())


def slicerPython() -> str:
    """The Python of this Slicer, else one on the PATH, where another Slicer's may come first. Raises EngineError
    "no-python"."""
    found = slicer_python() or shutil.which("PythonSlicer")
    if found is None:
        raise EngineError("no-python", "Slicer's Python was not found; start Slicer in the usual way and try again.")
    return found


def _environment(token: str) -> qt.QProcessEnvironment:
    """token: of the server; not an argument, which every user of the machine can read."""
    environment = qt.QProcessEnvironment.systemEnvironment()
    if token:
        environment.insert(TOKEN_VARIABLE, token)
    paths = [str(LIBRARY_FOLDER), environment.value("PYTHONPATH")]
    environment.insert("PYTHONPATH", os.pathsep.join(p for p in paths if p))
    if not environment.contains("GOMP_SPINCOUNT"):
        environment.insert("GOMP_SPINCOUNT", "1000")  # waiting threads soon sleep and leave the viewer its processor
    environment.insert("PYTHONUTF8", "1")
    environment.insert("PYTHONSAFEPATH", "1")  # a random.py in the user's working folder is not ours to import
    return environment
