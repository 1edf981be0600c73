"""The engine process seen from Python: start it, ask it, watch it, end it. Standard library only."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from ..core.errors import Check, EngineError
from .protocol import Request, lines


def slicer_python(program: str = sys.executable or "") -> str | None:
    """The Python of the Slicer that `program` belongs to, None where it belongs to none.

    Slicer's own `sys.executable` is the application, which would open another window. PythonSlicer lies beside it, on
    macOS in the bundle's `Contents/bin` beside `Contents/MacOS`.
    """
    folder = Path(program).parent
    name = "PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer"
    found = (place / name for place in (folder, folder.parent / "bin"))
    return next((str(path) for path in found if path.is_file()), None)


SERVE = (slicer_python() or sys.executable, "-m", "DALESegmentLib.engine", "serve")
START_SECONDS = 30.0
LEAVE_SECONDS = 3.0
LIBRARY_FOLDER = Path(__file__).resolve().parents[3]  # what holds DALESegmentLib

ENGINE_VARIABLE = "DALESEGMENT_ENGINE"
"""In the environment of the command line: the address of a server that does the work, see docs/server.md."""

OnProgress = Callable[[dict[str, Any]], None]


def serving(through: str | None) -> tuple[str, ...]:
    """What starts an engine here, or one that passes its work on to the server with the address `through`."""
    return (*SERVE, "--through", through) if through else SERVE


class Pending:
    """A request under way."""

    def __init__(self, client: EngineClient, id: str) -> None:
        self.id = id
        self._client = client
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def wait(self, on_progress: OnProgress | None = None, check: Check = lambda: None) -> dict[str, Any]:
        """The result. on_progress is called on this thread, and so is check, now and then. Raises EngineError with the
        engine's code and sentence, or "engine-gone", and what check raises. May be called again where it was
        interrupted before its end."""
        while True:
            check()  # after each event too: they may come faster than any time-out
            try:
                event = self._events.get(timeout=0.5)  # not for ever: Windows would not notice Ctrl-C
            except queue.Empty:
                continue
            if event["event"] == "result":
                return event["result"]
            if event["event"] == "error":
                raise EngineError(event["code"], event["sentence"])
            if on_progress is not None:
                on_progress(event)

    def cancel(self) -> None:
        """Ask it to stop, and do not wait; wait() then raises EngineError "cancelled", or returns what was finished
        before."""
        self._client.start("cancel", {"target": self.id})


class EngineClient:
    """One engine process, for a `with` block.

    command: what to run instead of the engine, for instance another Python's. `ready` is the process's first
    line, `messages` the last of what it wrote on standard error. Raises EngineError "engine-not-started".
    """

    def __init__(self, command: Sequence[str] = SERVE) -> None:
        self.messages: deque[str] = deque(maxlen=200)
        self.ready: dict[str, Any] = {}
        self._pending: dict[str, Pending] = {}
        self._last_id = 0
        self._gone = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._started = threading.Event()
        self._process = _spawn(command)
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._read_answers, self._read_messages)
        ]
        for thread in self._threads:
            thread.start()
        if not self._started.wait(START_SECONDS) or not self.ready:
            self.kill()
            raise _not_started()

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._gone

    def __enter__(self) -> EngineClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(
        self, command: str, parameters: dict[str, Any] | None = None, on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        """Ask and wait for the result; errors as for `Pending.wait`."""
        return self.start(command, parameters).wait(on_progress)

    def start(self, command: str, parameters: dict[str, Any] | None = None) -> Pending:
        """Ask and do not wait. Raises EngineError "bad-request" for what no line can hold."""
        with self._lock:
            self._last_id += 1
            pending = Pending(self, str(self._last_id))
            line = Request(pending.id, command, parameters or {}).line()
            self._pending[pending.id] = pending
            if self._gone:
                self._abandon()
        # where the process is gone, the reader of its answers tells
        with suppress(OSError, ValueError), self._writing:
            stdin = cast(BinaryIO, self._process.stdin)
            stdin.write(line)
            stdin.flush()
        return pending

    def cancel(self, target: str | None = None) -> list[str]:
        """Cancel one request or all of them; returns the ids of those that were open."""
        return self.call("cancel", {} if target is None else {"target": target})["cancelled"]

    def close(self) -> None:
        """End the process: by asking, and after a few seconds by force."""
        if not self._gone:
            self.start("shutdown")
        try:
            self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._leave()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._leave()

    def _leave(self) -> None:
        self._process.wait()
        for thread in self._threads:
            thread.join(LEAVE_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):  # unsent bytes for a process that is gone
                cast(BinaryIO, stream).close()

    def _read_answers(self) -> None:
        try:
            for line in lines(cast(BinaryIO, self._process.stdout)):
                self._take(line)
            self._process.wait()
        finally:
            with self._lock:
                self._gone = True
                self._abandon()
            self._started.set()

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            kind, id = event["event"], event.get("id")
            hash(id)  # a list is no name of a request
        except (ValueError, TypeError, KeyError, AttributeError):
            self.messages.append(f"not an answer: {line[:200]!r}")
            return
        if kind == "ready":
            self.ready = event
            self._started.set()
            return
        with self._lock:
            pending = self._pending.get(id) if kind == "progress" else self._pending.pop(id, None)
        if pending is not None:
            pending._events.put(event)

    def _read_messages(self) -> None:
        """Standard error is always emptied: a full pipe would stop the engine."""
        for line in cast(BinaryIO, self._process.stderr):
            self.messages.append(line.decode("utf-8", "replace").rstrip())

    def _abandon(self) -> None:
        """Tell all who wait that no answer will come. Called with the lock held."""
        problem = _gone(self._process.poll())
        for pending in self._pending.values():
            pending._events.put({"event": "error", "code": problem.code, "sentence": problem.sentence})
        self._pending.clear()


def _spawn(command: Sequence[str]) -> subprocess.Popen[bytes]:
    paths = (str(LIBRARY_FOLDER), os.environ.get("PYTHONPATH"))
    environment = {
        # Threads that wait for each other soon sleep; spinning made steps many times slower beside a busy program.
        "GOMP_SPINCOUNT": "1000",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONUTF8": "1",
        "PYTHONSAFEPATH": "1",  # the working folder may hold anything, also a torch.py
    }
    # A group of its own: Ctrl-C in a terminal is for the client, which cancels politely.
    group: dict[str, Any] = (
        {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
        if sys.platform == "win32"
        else {"start_new_session": True}
    )
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            list(command), stdin=pipe, stdout=pipe, stderr=pipe, env=environment, bufsize=-1, **group
        )
    except OSError as error:
        raise _not_started() from error


def _not_started() -> EngineError:
    return EngineError(
        "engine-not-started",
        "The engine could not be started; try again, and reinstall DALESegment if it fails twice.",
    )


OUT_OF_MEMORY = (-9, 0xC0000017, 0xC000012D)
"""How Linux and macOS end a process to have its memory, and how one ends on Windows where there is none left
(STATUS_NO_MEMORY, STATUS_COMMITMENT_LIMIT)."""


def _gone(exit_code: int | None) -> EngineError:
    if exit_code in OUT_OF_MEMORY:
        return EngineError(
            "engine-gone",
            "The engine was ended from outside, most often because memory ran out; "
            "try again with fewer or smaller images.",
        )
    return EngineError(
        "engine-gone",
        f"The engine ended unexpectedly (code {exit_code}); start the step again.",
    )
