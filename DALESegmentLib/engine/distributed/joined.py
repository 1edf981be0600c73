"""Joining the processes that `torchrun` started, and ending together: what ends one ends all, with one sentence.

A rank that fails says so in the store that the processes met at, and leaves. The others learn of it there, whatever
they are doing: those that can stop do so as at a cancel, and one that waits for the lost rank in a call that nobody
answers any more is ended after a while. torchrun ends the others of its machine too, within seconds, but by a signal
and with a traceback: a rank whose neighbour fails sees a broken connection, never the reason, so that neither the one
sentence nor the status in run.json could be had from it (`elastic.multiprocessing.errors.record` changes nothing).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist

from ..errors import EngineError, SaidElsewhere
from .ranks import Ranks, current

LONGEST_WAIT = timedelta(hours=12)
"""For another rank, which may be reading hundreds of cases; one that is gone is noticed much sooner."""
LOOK_SECONDS = 0.3
NEWS_SECONDS = 5.0
"""A rank that lost another waits so long for the reason."""
GRACE_SECONDS = 10.0
"""So long a rank has to end once another one failed."""
FAILED, LEFT = "dalesegment/failed", "dalesegment/left"
_LOST = ("gloo", "nccl", "connection", "peer", "broken pipe", "socket")


class _Ending:
    """The ranks' common knowledge of what went wrong first."""

    def __init__(self, store: dist.Store, rank: int, stop: threading.Event) -> None:
        self._store, self._rank, self._stop = store, rank, stop
        self._left = threading.Event()
        self._known: EngineError | None = None
        """What ended another rank; the store goes with the first one."""
        threading.Thread(target=self._watch, name="ranks", daemon=True).start()

    def tell(self, problem: EngineError) -> EngineError:
        """Say that it has ended this rank, unless another one was first; the error to end with."""
        note = json.dumps([self._rank, problem.code, problem.sentence])
        with suppress(RuntimeError):
            first = json.loads(self._store.compare_set(FAILED, "", note))
            if first[0] != self._rank:
                return SaidElsewhere(first[1], first[2])
        return problem

    def elsewhere(self, seconds: float = 0.0) -> EngineError | None:
        """What ended another rank, if that is known within so many seconds."""
        until = time.monotonic() + seconds
        while self._known is None:
            with suppress(RuntimeError):
                if self._store.check([FAILED]):
                    rank, code, sentence = json.loads(self._store.get(FAILED))
                    if rank == self._rank:
                        return None
                    self._known = SaidElsewhere(code, sentence)
                    break
            if time.monotonic() >= until:
                return None
            time.sleep(LOOK_SECONDS)
        return self._known

    def leave(self, size: int) -> None:
        """The first rank, which may keep the store, waits a while until the others know all."""
        self._left.set()
        with suppress(RuntimeError):
            self._store.add(LEFT, 1)
            until = time.monotonic() + NEWS_SECONDS
            while self._rank == 0 and self._store.add(LEFT, 0) < size and time.monotonic() < until:
                time.sleep(0.05)

    def _watch(self) -> None:
        while not self._left.wait(LOOK_SECONDS):
            if self.elsewhere() is not None:
                self._stop.set()
                if not self._left.wait(GRACE_SECONDS):
                    os._exit(1)
                return


_ending: _Ending | None = None


@contextmanager
def joined(stop: threading.Event, explain: Callable[[BaseException], EngineError]) -> Iterator[Ranks]:
    """Join the other processes for the block. stop: is set where another rank fails, and asks this one to stop;
    explain: what to tell about an exception.

    Raises only EngineErrors; SaidElsewhere where another rank says why.
    """
    global _ending
    try:
        met = dist.rendezvous("env://", timeout=timedelta(minutes=10))  # type: ignore[no-untyped-call]
        store, rank, size = next(met)
        store.set_timeout(LONGEST_WAIT)
        gpu = torch.cuda.is_available() and dist.is_nccl_available()
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise EngineError(
            "ranks-not-joined",
            "The processes of this training did not find each other; start them with torchrun, and let the machines "
            "reach each other's port MASTER_PORT.",
        ) from error
    ending = _ending = _Ending(store, rank, stop)
    try:
        yield current()
        dist.barrier()  # none is gone while another still needs it
    except BaseException as problem:
        raise ending.tell(_cause(problem) or explain(problem)) from problem
    finally:
        ending.leave(size)
        _ending = None
        with suppress(RuntimeError):
            dist.destroy_process_group()


@contextmanager
def told_by_all() -> Iterator[None]:
    """What the block raises because another rank is gone, or asked all to stop, becomes what that rank said."""
    try:
        yield
    except Exception as problem:
        cause = _cause(problem)
        if cause is None:
            raise
        raise cause from problem


def _cause(problem: BaseException) -> EngineError | None:
    """What ended another rank, and with it this one; None where the problem is this rank's own."""
    if _ending is None or isinstance(problem, SaidElsewhere):
        return None
    own = isinstance(problem, EngineError) and problem.code != "cancelled"
    lost = isinstance(problem, RuntimeError) and any(word in str(problem).lower() for word in _LOST)
    if own or not (lost or isinstance(problem, EngineError)):
        return None
    cause = _ending.elsewhere(NEWS_SECONDS if lost else 0.0)
    if cause is None and lost:
        return EngineError(
            "rank-gone",
            "Another process of this training ended without a word, most often because its memory ran out; "
            "go on with --resume, or with fewer processes on a machine.",
        )
    return cause
