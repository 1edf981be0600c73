"""Data-parallel training in several processes: ranks, sums with gradients, and a common end.

Case i belongs to rank i mod N, with its image and its disagreement, which are never transferred. Small values (counts,
scores, samples of the disagreement) are gathered on all ranks, so that all decide alike. A single process is rank 0
of 1, and every function here then returns its input.

`all_reduce_sum` serves losses made of sums over a batch, such as batch Dice, which are not the mean of the losses of
the batch's parts. Every process contributes its sums, all get the total, and all compute the same loss L. In the
backward pass each propagates dL/d(total) through its own sum. The gradients of the weights, summed over the processes,
are then those of the whole batch in one process.

`joined` joins the processes that `torchrun` started. An error of one rank ends all with one sentence: the rank writes
it to the store where the processes met, and leaves. The others read it there. Those that can stop do so as at a cancel;
one that waits for the lost rank in a collective call is ended after a while. torchrun itself ends the other processes
of its machine by a signal within seconds, and a neighbour sees only a broken connection, so that neither gives the
sentence or the status in run.json (`elastic.multiprocessing.errors.record` does not change that).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from .errors import Cancelled, EngineError, SaidElsewhere
from .progress import Progress

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """rank of size processes; `here`: which of the local_size processes on this machine."""

    rank: int = 0
    size: int = 1
    here: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether it is this one that writes files and reports."""
        return self.rank == 0

    def owns(self, case: int) -> bool:
        return case % self.size == self.rank

    def shard(self, of_all: Sequence[T]) -> list[T]:
        """What is this rank's of a list, one entry a case."""
        return list(of_all[self.rank :: self.size])

    def all_gather(self, own: Sequence[T]) -> list[T]:
        """The list of all cases from every rank's share, the opposite of `shard`. Each share must be as long as that of
        `shard`. For small things, pickled ones."""
        if self.size == 1:
            return list(own)
        shares = self._of_all(list(own))
        return [shares[i % self.size][i // self.size] for i in range(sum(len(s) for s in shares))]

    def gather_all(self, value: T) -> list[T]:
        """Every rank's value, in their order. For small things, pickled ones."""
        return [value] if self.size == 1 else self._of_all(value)

    def broadcast(self, value: T) -> T:
        """The first rank's value, for all."""
        if self.size == 1:
            return value
        box = [value if self.is_main else None]
        dist.broadcast_object_list(box)
        return box[0]  # type: ignore[return-value]

    def check(self, progress: Progress) -> None:
        """`progress.check`, but all ranks stop at the same step. Raises Cancelled."""
        if self.size == 1:
            progress.check()
            return
        stops = torch.tensor([float(progress.cancelled)])
        dist.all_reduce(stops)
        if stops.item():
            raise Cancelled

    def check_same(self, what: str, value: Any) -> None:
        """Raises EngineError("ranks-differ") where the ranks were started with different ones."""
        if self.size > 1 and len({repr(each) for each in self._of_all(value)}) > 1:
            raise EngineError(
                "ranks-differ",
                f"The processes of this training have different {what}; start all of them with the same command, "
                "on machines that are set up alike.",
            )

    def gather(self, own: Sequence[Mapping[str, Tensor]]) -> Iterator[tuple[int, Mapping[str, Tensor]]]:
        """On the first rank, one case after the other: its number, and its tensors by name; nothing elsewhere, but
        every rank has to ask for all. own: of each of the rank's cases; those without tensors are passed over."""
        known = self.all_gather([{n: (tuple(v.shape), v.dtype) for n, v in tensors.items()} for tensors in own])
        for i, kinds in enumerate(known):
            if self.owns(i):
                if kinds and self.is_main:
                    yield i, own[i // self.size]
                for name in () if self.is_main else kinds:
                    dist.send(_bytes(own[i // self.size][name]), 0)
            elif kinds and self.is_main:
                received = {name: torch.empty(shape, dtype=kind) for name, (shape, kind) in kinds.items()}
                for values in received.values():
                    dist.recv(_bytes(values), i % self.size)
                yield i, received

    def _of_all(self, value: Any) -> list[Any]:
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


def current() -> Ranks:
    """This process's place among those that were joined, see `joined`."""
    if alone():
        return Ranks()
    size = dist.get_world_size()
    here, local = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", size))
    return Ranks(dist.get_rank(), size, here, local)


def _bytes(values: Tensor) -> Tensor:
    """The same memory, as bytes: not every backend sends every type."""
    return values.contiguous().flatten().view(torch.uint8)


def alone() -> bool:
    """Whether this process trains on its own."""
    return not (dist.is_available() and dist.is_initialized())


def all_reduce_sum(*own: Tensor) -> tuple[Tensor, ...]:
    """Each of the tensors, added up over all processes; float tensors of any shapes on one device.

    All processes must ask for the same sums in the same order. One message, however many tensors.
    """
    if alone():
        return own
    whole = _Sum.apply(torch.cat([values.flatten() for values in own]))
    parts = whole.split([values.numel() for values in own])
    return tuple(part.reshape(values.shape) for part, values in zip(parts, own, strict=True))


class _Sum(torch.autograd.Function):
    """Of all processes. `torch.distributed.nn.functional.all_reduce` sends a second message for each sum backwards, to
    give every process the same gradient times their number, and is deprecated."""

    @staticmethod
    def forward(_context: Any, own: Tensor) -> Tensor:
        whole = own.detach().clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


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
def errors_on_all_ranks() -> Iterator[None]:
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
