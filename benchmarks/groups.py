"""Records of one set, noise, network and trusted share together: methods against each other, draw by draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .methods.registry import BASELINES
from .records import Record, select
from .statistics import gap_recovery, mean, paired_interval, spread

RANKED = ("plain", *BASELINES, "dale")


@dataclass(frozen=True)
class Group:
    """records: of this noise, length and trusted share; plain and clean are those without trusted voxels too."""

    set: str
    noise: str
    network: str
    trusted: float
    length: int
    path: str
    steps: int
    role: str
    records: tuple[Record, ...]
    plain: tuple[Record, ...]
    clean: tuple[Record, ...]

    @property
    def title(self) -> str:
        trusted = f", {100 * self.trusted:g} % trusted" if self.trusted else ""
        return f"{self.set}, {self.noise}, {self.network}{trusted}{self.longer}"

    @property
    def longer(self) -> str:
        """What is said of the training where it is not the set's own."""
        if self.path == "user":
            return f", user's path, {self.steps} steps"
        return f", {self.length}x" if self.length > 1 else ""

    def values(self, method: str, figure: str) -> list[Any]:
        return [r.get(figure) for r in self.of(method)]

    def of(self, method: str) -> list[Record]:
        if method == "clean":
            return list(self.clean)
        return select(self.records, method=method)

    def mean(self, method: str, figure: str = "dice") -> float | None:
        return mean(self.values(method, figure))

    def spread(self, method: str) -> float | None:
        return spread([v for v in self.values(method, "dice") if v is not None])

    def plain_mean(self) -> float | None:
        """Plain training without any trusted voxel: what the noise did."""
        return mean([r["dice"] for r in self.plain])

    def recovery(self, method: str) -> float | None:
        ours, plain, clean = self.mean(method), self.plain_mean(), self.mean("clean")
        if ours is None or plain is None or clean is None:
            return None
        return gap_recovery(ours, plain, clean)

    def differences(self, method: str, against: str = "plain") -> np.ndarray | None:
        """(draws, cases) test Dice of method - against, for the draws that both have; None without any."""
        ours = {r["draw"]: r["test_dice"] for r in self.of(method)}
        theirs = {r["draw"]: r["test_dice"] for r in self.of(against)}
        both = self.draws_of(method, against)
        return np.array([np.subtract(ours[s], theirs[s]) for s in both]) if both else None

    def draws_of(self, method: str, against: str = "plain") -> list[int]:
        """The draws that both methods have."""
        ours, theirs = ({r["draw"] for r in self.of(m)} for m in (method, against))
        return sorted(ours & theirs)

    def interval(self, method: str) -> tuple[float, float] | None:
        d = self.differences(method)
        return None if d is None else paired_interval([d])

    def first(self) -> str | None:
        """The best of the methods that know nothing of the truth; None unless all of them are here."""
        means = {m: self.mean(m) for m in RANKED}
        if any(v is None for v in means.values()):
            return None
        return max(means, key=lambda m: means[m] or 0.0)


def make_groups(records: Sequence[Record]) -> list[Group]:
    names = ("set", "noise", "network", "trusted", "length", "path", "steps")
    groups = []
    for place in dict.fromkeys(tuple(r[name] for name in names) for r in records):
        name, noise, network, trusted, length, path, steps = place
        here = select(records, set=name, noise=noise, network=network, length=length, path=path, steps=steps)
        groups.append(
            Group(
                name,
                noise,
                network,
                trusted,
                length,
                path,
                steps,
                here[0]["role"],
                tuple(select(here, trusted=trusted)),
                tuple(select(here, method="plain", trusted=0.0)),
                tuple(select(here, method="clean")),
            )
        )
    return groups
