"""Which cells a tier has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .cell import Cell
from .data_set import FULL, QUICK, data_set
from .methods.registry import ABLATIONS, CORE, METHODS, MISSING, TRUSTING, WORK
from .noise import KINDS, level_of

TRUSTED = (0.01, 0.05)
SECONDS = {"lidc_4rater": 15.0, "ph2_skin": 11.0, "msd_hippocampus": 12.0, "padufes_2rater": 12.0}
"""Core seconds of a quick plain cell, as measured on a busy 2-core machine; finished cells replace them."""
ONLY = {"padufes_2rater": ("none", "raters")}
"""Sets that are there for their raters; what --noise names, they have as well."""
_NETWORK_WORK = {"UNet": 1.0, "AttentionUnet": 2.0, "SegResNet": 2.0, "DynUNet": 2.5, "SwinUNETR": 8.0}


@dataclass(frozen=True)
class Tier:
    """The first network does everything; others only clean, plain and DALE. The parts of DALE, and the other
    networks, are run on `part_sets` with `part_noise`."""

    sets: tuple[str, ...]
    networks: tuple[str, ...]
    seeds: tuple[int, ...]
    part_sets: tuple[str, ...]
    part_noise: tuple[str, ...]


TIERS = {
    "quick": Tier(tuple(QUICK), ("UNet", "SegResNet"), (0, 1, 2), ("lidc_4rater", "ph2_skin"), ("morph", "markov")),
    "full": Tier(
        tuple(FULL),
        ("UNet", "SegResNet", "AttentionUnet", "DynUNet"),
        (0, 1, 2, 3, 4),
        ("lidc_4rater", "ph2_skin", "msd_hippocampus", "busi_breast_us"),
        ("none", "morph", "markov", "raters"),
    ),
}


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line; None leaves it to the tier. What is named is run in full."""

    tier: str = "quick"
    sets: Sequence[str] | None = None
    methods: Sequence[str] | None = None
    seeds: Sequence[int] | None = None
    noise: Sequence[str] | None = None
    networks: Sequence[str] | None = None


def cells(wanted: Wanted) -> list[Cell]:
    """All cells, seed by seed, so that a run that was stopped has run everything at least once."""
    tier = TIERS[wanted.tier]
    sets = tuple(wanted.sets or tier.sets)
    part_sets = wanted.sets or tier.part_sets
    part_noise = wanted.noise or tier.part_noise
    networks = tuple(wanted.networks or tier.networks)
    methods = set(wanted.methods or METHODS)
    found: dict[Cell, None] = {}
    for seed in wanted.seeds if wanted.seeds is not None else tier.seeds:
        for name in sets:
            parts = name in part_sets
            for noise in _noise_of(name, wanted):
                here = parts and noise in part_noise
                rows = [(networks[0], m, 0.0) for m in CORE]
                rows += [(networks[0], m, 0.0) for m in ABLATIONS if here]
                rows += [(networks[0], m, 0.0) for m in MISSING if noise == "missed"]
                rows += [(n, m, 0.0) for n in networks[1:] for m in ("clean", "plain", "dale") if here]
                rows += [(networks[0], m, t) for t in TRUSTED for m in TRUSTING if noise == "biased"]
                found |= dict.fromkeys(_cell(name, noise, seed, row, wanted.tier) for row in rows if row[1] in methods)
    return list(found)


def _noise_of(name: str, wanted: Wanted) -> Iterable[str]:
    raters = bool(data_set(name, wanted.tier).raters)
    return [n for n in wanted.noise or ONLY.get(name, KINDS) if n != "raters" or raters]


def _cell(name: str, noise: str, seed: int, row: tuple[str, str, float], tier: str) -> Cell:
    network, method, trusted = row
    data = data_set(name, tier)
    level = level_of(noise, data.volumes)
    return Cell(data=data, noise=noise, level=level, network=network, method=method, trusted=trusted, seed=seed)


def expected_work(cell: Cell) -> float:
    """How much a cell costs against a plain one of its set with a UNet."""
    return WORK.get(cell.method, 1.0) * _NETWORK_WORK.get(cell.network, 2.0)
