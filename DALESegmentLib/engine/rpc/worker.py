"""Jobs one after the other, on one thread that lives as long as the process."""

from __future__ import annotations

import gc
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ..core.errors import Cancelled, EngineError, cancellable
from ..core.progress import Progress
from . import protocol
from .error_messages import crash_report, explain
from .job_registry import Job, LateJob
from .protocol import Request

Send = Callable[[Mapping[str, Any]], None]


@dataclass
class _Task:
    request: Request
    cancelled: threading.Event = field(default_factory=threading.Event)


class Worker(threading.Thread):
    """One thread for all jobs: cuDNN keeps its plans for each thread.

    Modules are imported on threads of their own, since an import cannot be cancelled but the wait for it can. There is
    one at a time and none beside a job, so that imports never meet half-way: a job starts when its module is there
    and no import runs. While nothing is asked the modules of `warm` are imported; a job waits for one at most.
    """

    def __init__(self, jobs: Mapping[str, Job], warm: Iterable[str], send: Send) -> None:
        super().__init__(name="jobs", daemon=True)
        self._jobs = jobs
        self._warm = deque(warm)
        self._send = send
        self._changed = threading.Condition()
        self._waiting: deque[_Task] = deque()
        self._running: _Task | None = None
        self._importing = False
        self._stopping = False

    def add(self, request: Request) -> None:
        """Its id is that of no open request. Raises BadRequest for a command that is not known."""
        if request.command not in self._jobs:
            raise protocol.bad_request(
                f"There is no command {request.command[:40]!r}; use one of {', '.join(self._jobs)}.", request.id
            )
        with self._changed:
            self._waiting.append(_Task(request))
            self._changed.notify_all()

    def is_open(self, id: str) -> bool:
        with self._changed:
            return any(task.request.id == id for task in self._open())

    def cancel(self, target: str | None = None) -> list[str]:
        """Cancel one request or all; returns the ids of those that were open. Waiting ones end at once."""
        with self._changed:
            dropped = [task for task in self._waiting if target in (None, task.request.id)]
            self._waiting = deque(task for task in self._waiting if task not in dropped)
            running = self._running if self._running and target in (None, self._running.request.id) else None
            if running:
                running.cancelled.set()
                self._changed.notify_all()
        for task in dropped:
            self._send(protocol.error(task.request.id, Cancelled()))
        return [task.request.id for task in ([running] if running else []) + dropped]

    def stop(self) -> None:
        """Cancel everything and let the thread end; join() waits for that."""
        with self._changed:
            self._stopping = True
            for task in self._open():
                task.cancelled.set()
            self._changed.notify_all()

    def state(self) -> dict[str, Any]:
        with self._changed:
            running = self._running.request.id if self._running else None
            return {"running": running, "waiting": [task.request.id for task in self._waiting]}

    def run(self) -> None:
        while (task := self._next()) is not None:
            answer = self._do(task)
            with self._changed:
                self._running = None  # first, so that who has the answer finds the id free
            self._send(answer)
            del answer, task
            gc.collect()  # networks hold themselves in cycles; freed late, they leave memory in pieces that only grows

    def _next(self) -> _Task | None:
        with self._changed:
            while not self._waiting:
                if self._stopping:
                    return None
                if self._warm and not self._importing:
                    with suppress(RuntimeError):  # no room for another thread now; a job that needs it says so
                        self._import(self._warm.popleft())
                self._changed.wait()
            self._running = self._waiting.popleft()
            return self._running

    def _await_imports(self, job: Job, task: _Task) -> None:
        """Until the job can start. Raises Cancelled; an import that runs then goes on."""
        wanted = [job.module] if isinstance(job, LateJob) else []
        with self._changed:
            while self._importing or wanted:
                if task.cancelled.is_set():
                    raise Cancelled
                if not self._importing:
                    self._import(wanted.pop())
                self._changed.wait()

    def _import(self, module: str) -> None:
        """Begin an import; called with the lock held. Raises RuntimeError where no thread can be started."""

        def work() -> None:
            with suppress(BaseException):  # what cannot be imported is told when a job needs it
                import_module(module)
            gc.freeze()  # modules stay; looking through them after each job would take half a second
            with self._changed:
                self._importing = False
                self._changed.notify_all()

        threading.Thread(target=work, name="imports", daemon=True).start()
        self._importing = True  # it is not over yet: its end waits for the lock

    def _do(self, task: _Task) -> dict[str, Any]:
        request = task.request
        progress = Progress(lambda report: self._send(protocol.progress(request.id, report)), task.cancelled)
        try:
            job = self._jobs[request.command]
            self._await_imports(job, task)
            progress.check()
            with cancellable(progress.check):
                answer = protocol.result(request.id, job(request.parameters, progress))
            protocol.encode(answer)  # here, where a result that has no JSON form is the job's failure
        except BaseException as problem:
            answer = protocol.error(request.id, self._explained(problem, request))
        progress.close()
        if answer["event"] == "error":
            _free_device_memory()
        return answer

    @staticmethod
    def _explained(problem: BaseException, request: Request) -> EngineError:
        error = explain(problem, request.command, request.parameters)
        if error is not problem and error.code != "bad-request":
            print(crash_report(problem), file=sys.stderr)
        return error

    def _open(self) -> list[_Task]:
        return ([self._running] if self._running else []) + list(self._waiting)


def _free_device_memory() -> None:
    """A failed job leaves cycles behind that hold its arrays; the next one may need the room on the device."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    with suppress(AttributeError):  # none is there, or one that is still imported
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        elif torch.backends.mps.is_available():
            torch.mps.empty_cache()
