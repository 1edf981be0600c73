"""The progress reports, memory and written files of a training in another process, with their times."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from DALESegmentLib.engine.bundle.run_folder import BUNDLE_FOLDER

from ..reliability.lines_engine import LinesEngine

EVERY = 0.02
"""Seconds between two samples. A write gets the time of the sample that first found it."""
NO_CHECKPOINT = (BUNDLE_FOLDER,)


@dataclass(frozen=True)
class Write:
    at: float
    path: str
    size: int


@dataclass
class MonitoredTraining:
    """For a `with` block: a thread samples the engine's memory and its run folder. Times are of time.monotonic.

    anonymous: (time, bytes) of the engine and the processes it started, without what is mapped from files, which the
    machine can drop; progress: (time, stage, epoch or 0) of its reports; writes: of files that hold a checkpoint.
    """

    engine: LinesEngine
    run: Path
    anonymous: list[tuple[float, int]] = field(default_factory=list)
    progress: list[tuple[float, str, int]] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    _files: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    _events_read: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> MonitoredTraining:
        self._thread = threading.Thread(target=self._sample_until_end, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._sample()

    def reports(self, stage: str, epoch: int | None = None) -> list[float]:
        """Their times."""
        return [at for at, of, number in self.progress if of == stage and epoch in (None, number)]

    def most(self, since: float = 0.0) -> int:
        return max(held for at, held in self.anonymous if at >= since)

    def least(self, since: float, until: float) -> int:
        """Of the samples from the last one before `since` to the first one after `until`."""
        before = max((at for at, _ in self.anonymous if at <= since), default=since)
        after = min((at for at, _ in self.anonymous if at >= until), default=until)
        return min(held for at, held in self.anonymous if before <= at <= after)

    def _sample_until_end(self) -> None:
        while not self._over.wait(EVERY):
            self._sample()

    def _sample(self) -> None:
        now = time.monotonic()
        events = self.engine.events[self._events_read :]
        self._events_read += len(events)
        self.progress += [(now, *_stage_and_epoch(event)) for event in events if event.get("event") == "progress"]
        with suppress(psutil.NoSuchProcess):
            self.anonymous.append((now, anonymous_bytes(self.engine.pid)))
        for name, state in checkpoint_files(self.run).items():
            if self._files.get(name) != state:
                self.writes.append(Write(now, name, state[-1]))
            self._files[name] = state


def _stage_and_epoch(event: Mapping[str, Any]) -> tuple[str, int]:
    return event["stage"], int((event.get("values") or {}).get("epoch", 0))


def anonymous_bytes(pid: int) -> int:
    """RssAnon of a process and those it started, as Linux reports it. Raises psutil.NoSuchProcess."""
    first = psutil.Process(pid)
    total = 0
    for process in (first, *first.children(recursive=True)):
        with suppress(OSError):
            lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
            total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    return total


def checkpoint_files(run: Path) -> dict[str, tuple[int, int, int]]:
    """{name: file number, time of its last change, bytes} of whatever lies in the run folder beside the model, the
    labels (written once), and what is small and readable; names with a dot before them are on their way."""
    found = {}
    for path in run.rglob("*"):
        name = path.relative_to(run)
        hidden = any(part.startswith(".") for part in name.parts)
        if hidden or name.parts[0] in NO_CHECKPOINT or name.suffix in (".json", ".lock"):
            continue
        with suppress(OSError):
            state = path.stat()
            if path.is_file():
                found[str(name)] = (state.st_ino, state.st_mtime_ns, state.st_size)
    return found
