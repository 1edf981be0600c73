"""The engine process: requests in, answers out, and an end when nobody needs it any more."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .. import __version__
from ..commands import doctor
from . import protocol
from .error_messages import crash_report, explain
from .job_registry import JOBS, WARM, Job
from .protocol import Answers, BadRequest, Request, lines, take_standard_streams
from .worker import Worker

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]
"""The last is how Windows says that a console is closed, or Ctrl-Break was pressed."""
LOOK_SECONDS = 0.2
GRACE_SECONDS = 1.5
"""A running job has so long to notice that it should stop; then the process ends all the same."""


class Server:
    """Three threads: one reads, one works (`Worker`), and the main thread watches for the reasons to end.

    jobs: the function that answers each command; warm: modules to import while there is nothing to do; examine: what
    the doctor says of a folder.
    """

    def __init__(
        self,
        jobs: Mapping[str, Job] = JOBS,
        warm: Iterable[str] = WARM,
        examine: Callable[[str | None], list[doctor.Check]] = doctor.examine,
    ) -> None:
        self._source, sink = take_standard_streams()
        self._answers = Answers(sink, broken=self.end)
        self._worker = Worker(jobs, warm, self._answers.send)
        self._examine = examine
        self._controls: dict[str, Callable[[Request], None]] = {
            "ping": self._ping,
            "doctor": self._doctor,
            "cancel": self._cancel,
            "shutdown": self._shutdown,
        }
        self._examined: set[str] = set()  # ids of the doctor's requests
        self._ending = threading.Event()
        self._signal = 0
        self._parent = os.getppid()

    def serve(self) -> None:
        """Serve until the end of the process; does not return."""
        for number in ENDING:
            signal.signal(number, self._note_signal)
        self._answers.send(protocol.ready(__version__, os.getpid()))
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        self._worker.start()
        while not self._ending.wait(LOOK_SECONDS) and not self._signal and not self._orphaned():
            pass
        self._worker.stop()
        self._worker.join(GRACE_SECONDS)
        sys.stderr.flush()
        os._exit(128 + self._signal if self._signal else 0)  # a native call that does not end is left behind

    def end(self) -> None:
        self._ending.set()

    def _note_signal(self, number: int, _frame: Any) -> None:
        self._signal = number  # and no lock taken: the handler may interrupt who holds it

    def _orphaned(self) -> bool:
        """Whether the parent is gone. Windows never tells; there the end of standard input does."""
        return os.name == "posix" and os.getppid() != self._parent

    def _read(self) -> None:
        try:
            for line in lines(self._source):
                self._take(line)
        except Exception as problem:  # who cannot hear must not go on
            print(crash_report(problem), file=sys.stderr)
        finally:
            self.end()

    def _take(self, line: bytes) -> None:
        try:
            request = protocol.parse_request(line)
            if self._is_open(request.id):
                # without an id, or the caller would take it for the end of its first request
                raise protocol.bad_request("A request with this id is still open; give each its own id.")
            answer = self._controls.get(request.command)
            if answer is None:
                self._worker.add(request)
            else:
                answer(request)
        except BadRequest as problem:
            known = problem.id is not None and not self._is_open(problem.id)
            self._answers.send(protocol.error(problem.id if known else None, problem))

    def _is_open(self, id: str) -> bool:
        return id in self._examined or self._worker.is_open(id)

    def _ping(self, request: Request) -> None:
        request.only()
        self._answers.send(protocol.result(request.id, self._worker.state()))

    def _cancel(self, request: Request) -> None:
        target = request.only("target")
        self._answers.send(protocol.result(request.id, {"cancelled": self._worker.cancel(target)}))

    def _shutdown(self, request: Request) -> None:
        request.only()
        self._answers.send(protocol.result(request.id, {}))
        self.end()

    def _doctor(self, request: Request) -> None:
        """On a thread of its own: importing torch takes seconds, and a ping must not wait for it."""
        folder = request.only("folder")

        def examine() -> None:
            try:
                answer = protocol.result(request.id, {"checks": self._examine(folder)})
            except Exception as problem:
                print(crash_report(problem), file=sys.stderr)
                answer = protocol.error(request.id, explain(problem, request.command, request.parameters))
            self._examined.discard(request.id)  # first, so that who has the answer finds the id free
            self._answers.send(answer)

        self._examined.add(request.id)
        threading.Thread(target=examine, name="doctor", daemon=True).start()


def serve(through: str | None = None) -> None:
    """through: the address of a server that does the work."""
    if through is None:
        Server().serve()
    from .remote import RemoteEngine

    engine = RemoteEngine(through or "")
    Server(engine.jobs, (), engine.examine).serve()
