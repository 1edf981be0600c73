"""Fair turns: takes jobs from the queue, gives each to the engine process of its user, and keeps what it answers."""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engine.core.errors import EngineError
from ..engine.rpc import protocol
from ..engine.rpc.client import EngineClient, Pending
from .job_paths import with_names, with_paths
from .job_store import MOST_ATTEMPTS, MOST_DEATHS, JobStore, StoredJob
from .user_files import UserFiles

log = logging.getLogger("dalesegment.server")

MOST_EVENTS = 2000
CANCEL_SECONDS = 20.0
"""A cancelled job has so long to end; then its engine ends."""
LOOK_SECONDS = 0.5


class _Stopping(Exception):
    pass


@dataclass
class _Running:
    """cancelled: when it was asked to stop."""

    events: list[dict[str, Any]] = field(default_factory=list)
    cancelled: float | None = None
    pending: Pending | None = None


class Dispatcher:
    """at_once: jobs that run at a time, each of another user; warm: engine processes that stay beside each other."""

    def __init__(
        self,
        store: JobStore,
        files_of: Callable[[str], UserFiles],
        at_once: int = 1,
        warm: int = 2,
        ended: Callable[[StoredJob, str, float], None] = lambda *_: None,
    ) -> None:
        self._store, self._files_of, self._ended = store, files_of, ended
        self._warm = max(warm, at_once)
        self._engines: OrderedDict[str, EngineClient] = OrderedDict()
        self._busy: set[str] = set()
        self._running: dict[tuple[str, str], _Running] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._work, name=f"slot-{n}", daemon=True) for n in range(at_once)]

    def start(self) -> None:
        """Jobs that ran when the server ended before are begun again."""
        for job in self._store.running():
            self._store.again(job)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Running jobs go back into the queue, engines end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(10)
        for engine in list(self._engines.values()):
            engine.close()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def events(self, job: StoredJob, after: int) -> tuple[list[dict[str, Any]], int]:
        """What a running job reported, from the number `after` on, and the number to go on from."""
        running = self._running.get((job.user, job.id))
        told = [] if running is None else list(running.events)
        after = after if after <= len(told) else 0  # it was begun again
        return told[after:], len(told)

    def cancel(self, job: StoredJob) -> bool:
        """Whether the job was open. A waiting one has ended then, a running one ends soon."""
        with self._changed:
            running = self._running.get((job.user, job.id))
            if running is not None:
                running.cancelled = running.cancelled or time.monotonic()
                if running.pending is not None:
                    running.pending.cancel()
                return True
            problem = EngineError("cancelled", "Cancelled before it began.")
            return self._store.end(job, "cancelled", protocol.error(job.id, problem))

    def _work(self) -> None:
        while True:
            with self._changed:
                job = None if self._stopping else self._store.take()
                while job is None and not self._stopping:
                    self._changed.wait(LOOK_SECONDS)
                    job = None if self._stopping else self._store.take()
                if job is None:
                    return
                running = self._running[job.user, job.id] = _Running()
                self._busy.add(job.user)
            try:
                self._run(job, running)
            except Exception as problem:  # whatever it is, the others' jobs go on
                log.error("job %d: %s", job.number, type(problem).__name__)
                self._end(job, "failed", EngineError("internal", "An unexpected error ended the job; try again."))
            finally:
                with self._changed:
                    self._busy.discard(job.user)
                    self._running.pop((job.user, job.id), None)
                    self._changed.notify_all()

    def _run(self, job: StoredJob, running: _Running) -> None:
        if job.attempts > MOST_ATTEMPTS:
            self._end(job, "failed", _interrupted(MOST_ATTEMPTS))
            return
        try:
            files = self._files_of(job.user)
            parameters = with_paths(files, job.parameters)
            engine = self._engine(job.user, files)
            self._clear(job, parameters)
            result = self._answered(engine, job, parameters, running, files)
        except _Stopping:
            self._store.again(job, counted=False)
        except EngineError as problem:
            died = problem.code in ("engine-gone", "engine-not-started") and running.cancelled is None
            if self._stopping:
                self._store.again(job, counted=False)
            elif died and job.attempts >= MOST_DEATHS:
                self._end(job, "failed", _interrupted(job.attempts))
            elif died:
                log.warning("job %d: its engine ended, attempt %d", job.number, job.attempts)
                self._store.again(job)
            else:
                was_cancelled = problem.code == "cancelled" or running.cancelled is not None
                self._end(job, "cancelled" if was_cancelled else "failed", problem)
        else:
            if self._store.end(job, "done", protocol.result(job.id, result)):
                self._tell(job, "done")

    def _answered(
        self, engine: EngineClient, job: StoredJob, parameters: dict[str, Any], running: _Running, files: UserFiles
    ) -> dict[str, Any]:
        def keep(event: dict[str, Any]) -> None:
            if len(running.events) < MOST_EVENTS or "region" in event.get("values", {}):
                running.events.append({**with_names(files, event), "id": job.id})

        def check() -> None:
            if self._stopping:
                raise _Stopping
            if running.cancelled is not None and time.monotonic() - running.cancelled > CANCEL_SECONDS:
                engine.kill()
                raise EngineError("cancelled", "Cancelled; everything finished before is kept.")

        pending = engine.start(job.command, parameters)
        with self._changed:
            running.pending = pending
            if running.cancelled is not None:
                pending.cancel()
        return with_names(files, pending.wait(keep, check))

    def _clear(self, job: StoredJob, parameters: dict[str, Any]) -> None:
        """What an attempt that did not end left at a place where nothing was before."""
        out = parameters.get("out")
        if not isinstance(out, str):
            return
        if job.fresh is None:
            self._store.set_fresh(job, not Path(out).exists())
        elif job.fresh:
            with suppress(OSError):
                shutil.rmtree(out) if Path(out).is_dir() else Path(out).unlink(missing_ok=True)

    def _engine(self, user: str, files: UserFiles) -> EngineClient:
        with self._changed:
            engine = self._engines.pop(user, None)
            if engine is not None and not engine.gone:
                self._engines[user] = engine  # last: it was used last
                return engine
            idle = [other for other in self._engines if other not in self._busy]
            too_many = [self._engines.pop(other) for other in idle[: max(0, len(self._engines) + 1 - self._warm)]]
        for other in too_many:
            other.close()
        engine = EngineClient((sys.executable, "-m", "DALESegmentLib.server.landlock", str(files.folder)))
        with self._changed:
            self._engines[user] = engine
        return engine

    def _end(self, job: StoredJob, state: str, problem: EngineError) -> None:
        answer = with_names(self._files_of(job.user), protocol.error(job.id, problem))
        if self._store.end(job, state, answer):
            self._tell(job, state)

    def _tell(self, job: StoredJob, state: str) -> None:
        seconds = time.time() - (job.started or time.time())
        log.info("job %d of user %s: %s %s after %.1f s", job.number, job.user, job.command, state, seconds)
        self._ended(job, state, seconds)


def _interrupted(attempts: int) -> EngineError:
    return EngineError(
        "interrupted", f"The job was begun {attempts} times, and each time it was interrupted; try a smaller one."
    )
