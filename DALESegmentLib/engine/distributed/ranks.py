"""Which of the processes that train together this one is, which cases are its own, and what they tell each other.

Case i belongs to rank i mod N, with its image and its disagreement, which never move. What is small (counts, scores,
samples of the disagreement) all ranks get from all, so that they decide alike. A process on its own is the only rank.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import Cancelled, EngineError
from ..process.progress import Progress
from .totals import alone

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """rank of size processes; `here`: which of the local_size processes on this machine."""

    rank: int = 0
    size: int = 1
    here: int = 0
    local_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is this one that writes files and reports."""
        return self.rank == 0

    def owns(self, case: int) -> bool:
        return case % self.size == self.rank

    def share(self, of_all: Sequence[T]) -> list[T]:
        """What is this rank's of a list, one entry a case."""
        return list(of_all[self.rank :: self.size])

    def together(self, own: Sequence[T]) -> list[T]:
        """The list of all cases from every rank's share, the opposite of `share`. For small things, pickled ones."""
        if self.size == 1:
            return list(own)
        shares = self._of_all(list(own))
        return [shares[i % self.size][i // self.size] for i in range(sum(len(s) for s in shares))]

    def first(self, value: T) -> T:
        """The first rank's value, for all."""
        if self.size == 1:
            return value
        box = [value if self.leads else None]
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

    def to_first(self, own: Sequence[Mapping[str, Tensor]]) -> Iterator[tuple[int, Mapping[str, Tensor]]]:
        """On the first rank, one case after the other: its number, and its tensors by name; nothing elsewhere, but
        every rank has to ask for all. own: of each of the rank's cases; those without tensors are passed over."""
        known = self.together([{n: (tuple(v.shape), v.dtype) for n, v in tensors.items()} for tensors in own])
        for i, kinds in enumerate(known):
            if self.owns(i):
                if kinds and self.leads:
                    yield i, own[i // self.size]
                for name in () if self.leads else kinds:
                    dist.send(_bytes(own[i // self.size][name]), 0)
            elif kinds and self.leads:
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
