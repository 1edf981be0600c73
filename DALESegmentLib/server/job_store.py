"""The queue: jobs in a SQLite file, which a server that was killed at any moment finds as it was."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine.core.errors import EngineError

OPEN = ("waiting", "running")
MOST_ATTEMPTS, MOST_DEATHS = 10, 3
"""So often a job is begun where the server ends meanwhile, and where its engine alone does: that may be the job's
fault."""

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, id TEXT NOT NULL, command TEXT NOT NULL,
    parameters TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, fresh INTEGER,
    created REAL NOT NULL, started REAL, ended REAL, answer TEXT, UNIQUE (user, id));
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, user, number);
"""


@dataclass(frozen=True)
class StoredJob:
    """fresh: whether nothing lay at its `out` when it was first begun; None before that. answer: the last line of the
    protocol, a result or an error, once it has ended."""

    number: int
    user: str
    id: str
    command: str
    parameters: dict[str, Any]
    state: str
    attempts: int
    fresh: bool | None
    created: float
    started: float | None
    ended: float | None
    answer: dict[str, Any] | None


class JobStore:
    """Every change is on the disk when its method returns."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._turns: dict[str, int] = {}
        self._turn = 0
        self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._file.row_factory = sqlite3.Row
        self._file.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {_TABLE}")

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def add(self, user: str, id: str, command: str, parameters: dict[str, Any], most_waiting: int) -> StoredJob:
        """The same request twice is one job: who got no answer asks again. Raises EngineError("same-id"),
        ("too-many")."""
        text = json.dumps(parameters, sort_keys=True)
        with self._lock:
            known = self.find(user, id)
            if known is not None:
                if known.command != command or json.dumps(known.parameters, sort_keys=True) != text:
                    raise EngineError("same-id", "There is another job with this id; give each its own id.")
                return known
            waiting = self._one("SELECT COUNT(*) FROM jobs WHERE user = ? AND state = 'waiting'", user)
            if waiting >= most_waiting:
                raise EngineError("too-many", f"{waiting} of your jobs wait already; wait for one, or cancel it.")
            self._do(
                "INSERT INTO jobs (user, id, command, parameters, state, created) VALUES (?, ?, ?, ?, 'waiting', ?)",
                *(user, id, command, text, time.time()),
            )
            return self.get(user, id)

    def find(self, user: str, id: str) -> StoredJob | None:
        with self._lock:
            row = self._do("SELECT * FROM jobs WHERE user = ? AND id = ?", user, id).fetchone()
        return None if row is None else _job(row)

    def get(self, user: str, id: str) -> StoredJob:
        """Raises EngineError("no-such-job"), for a job of somebody else as for none."""
        job = self.find(user, id)
        if job is None:
            raise EngineError("no-such-job", "There is no such job of yours; list your jobs to see them.")
        return job

    def all_of(self, user: str, limit: int = 200) -> list[StoredJob]:
        """The newest first."""
        with self._lock:
            rows = self._do("SELECT * FROM jobs WHERE user = ? ORDER BY number DESC LIMIT ?", user, limit).fetchall()
        return [_job(row) for row in rows]

    def counts(self, user: str | None = None) -> dict[str, int]:
        """Jobs by state, of all users or of one."""
        which, values = ("", ()) if user is None else (" WHERE user = ?", (user,))
        with self._lock:
            return dict(self._do(f"SELECT state, COUNT(*) FROM jobs{which} GROUP BY state", *values).fetchall())

    def take(self) -> StoredJob | None:
        """The next job, which then runs: of the users that wait and have none running, the one whose last turn is the
        longest ago, and of that user the oldest."""
        with self._lock:
            rows = self._do(
                "SELECT user, MIN(number) AS number FROM jobs WHERE state = 'waiting' AND user NOT IN "
                "(SELECT user FROM jobs WHERE state = 'running') GROUP BY user"
            ).fetchall()
            if not rows:
                return None
            row = min(rows, key=lambda each: (self._turns.get(each["user"], 0), each["number"]))
            self._turn += 1
            self._turns[row["user"]] = self._turn
            self._do(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = ? WHERE number = ?",
                *(time.time(), row["number"]),
            )
            return _job(self._do("SELECT * FROM jobs WHERE number = ?", row["number"]).fetchone())

    def before(self, job: StoredJob) -> int:
        """How many of its user's jobs come before it."""
        with self._lock:
            return self._one(
                "SELECT COUNT(*) FROM jobs WHERE user = ? AND number < ? AND state IN ('waiting', 'running')",
                *(job.user, job.number),
            )

    def set_fresh(self, job: StoredJob, fresh: bool) -> None:
        with self._lock:
            self._do("UPDATE jobs SET fresh = ? WHERE number = ?", int(fresh), job.number)

    def end(self, job: StoredJob, state: str, answer: dict[str, Any]) -> bool:
        """Whether this was its end: a job ends once, whatever comes later."""
        with self._lock:
            changed = self._do(
                "UPDATE jobs SET state = ?, answer = ?, ended = ? WHERE number = ? AND state IN ('waiting', 'running')",
                *(state, json.dumps(answer), time.time(), job.number),
            )
            return changed.rowcount == 1

    def again(self, job: StoredJob, counted: bool = True) -> None:
        """Back into the queue, at its old place. counted: as an attempt."""
        with self._lock:
            self._do(
                "UPDATE jobs SET state = 'waiting', attempts = attempts - ? WHERE number = ? AND state = 'running'",
                *(0 if counted else 1, job.number),
            )

    def running(self) -> list[StoredJob]:
        with self._lock:
            return [_job(row) for row in self._do("SELECT * FROM jobs WHERE state = 'running'").fetchall()]

    def forget(self, seconds: float) -> None:
        """Remove jobs that ended so long ago."""
        with self._lock:
            self._do("DELETE FROM jobs WHERE ended < ?", time.time() - seconds)

    def _do(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self._file.execute(statement, values)

    def _one(self, statement: str, *values: Any) -> int:
        return int(self._do(statement, *values).fetchone()[0])


def _job(row: sqlite3.Row) -> StoredJob:
    values = dict(row)
    values["parameters"] = json.loads(values["parameters"])
    values["answer"] = None if values["answer"] is None else json.loads(values["answer"])
    values["fresh"] = None if values["fresh"] is None else bool(values["fresh"])
    return StoredJob(**values)
