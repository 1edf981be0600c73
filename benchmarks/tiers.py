"""Which cells a tier has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .cell import Cell
from .data_set import FULL, QUICK, data_set
from .methods.registry import ABLATIONS, AGAIN, CORE, DECIDED, METHODS, MISSING, TRUSTING, WORK
from .noise import KINDS, level_of

TRUSTED = (0.01, 0.05)
SECONDS = {
    "lidc_4rater": 15.0,
    "ph2_skin": 11.0,
    "msd_hippocampus": 12.0,
    "padufes_2rater": 12.0,
    "busi_breast_us": 16.0,
    "sts_sarcoma": 36.0,
}
"""Core seconds of a quick plain cell, as measured on a busy 2-core machine; finished cells replace them."""
ONLY = {"padufes_2rater": ("none", "raters")}
"""Sets that are there for their raters; what --noise names, they have as well."""
_NETWORK_WORK = {"UNet": 1.0, "AttentionUnet": 2.0, "SegResNet": 2.0, "DynUNet": 2.5, "SwinUNETR": 8.0}


MAIN = ("clean", "plain", "dale")
GOOD = ("none", "raters")
"""Labels as good as they come, where what chance alone does to single cases is looked at."""


@dataclass(frozen=True)
class Tier:
    """clean, plain and DALE with the first network in every set, kind of noise and draw; the other methods in the first
    `more_draws` of these; the parts of DALE and the other networks there too, on `part_sets` with `part_noise`.
    long: what is trained longer: these three, and where there are other methods, those that decide on unseen cases."""

    noise: tuple[str, ...]
    sets: tuple[str, ...]
    networks: tuple[str, ...]
    draws: tuple[int, ...]
    more_draws: int
    part_sets: tuple[str, ...]
    part_noise: tuple[str, ...]
    long: tuple[Longer, ...] = ()


@dataclass(frozen=True)
class Longer:
    """length: times the set's own number of steps; draws: the first so many of the tier's."""

    length: int
    sets: tuple[str, ...]
    noise: tuple[str, ...]
    draws: int


TIERS = {
    "quick": Tier(
        tuple(kind for kind in KINDS if kind != "biased"),
        tuple(QUICK),
        ("UNet",),
        (0, 1, 2, 3, 4),
        0,
        (),
        (),
        (
            Longer(4, ("lidc_4rater", "ph2_skin", "msd_hippocampus"), ("none", "missed"), 1),
            Longer(16, ("ph2_skin",), ("missed",), 1),
        ),
    ),
    "methods": Tier(
        KINDS,
        ("lidc_4rater", "ph2_skin", "msd_hippocampus", "padufes_2rater"),
        ("UNet", "SegResNet"),
        (0,),
        1,
        ("lidc_4rater", "ph2_skin"),
        ("morph", "markov"),
        (Longer(4, ("lidc_4rater", "ph2_skin", "msd_hippocampus"), ("none", "markov", "missed"), 1),),
    ),
    "full": Tier(
        KINDS,
        tuple(FULL),
        ("UNet", "SegResNet", "AttentionUnet", "DynUNet"),
        (0, 1, 2, 3, 4),
        5,
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
    draws: Sequence[int] | None = None
    noise: Sequence[str] | None = None
    networks: Sequence[str] | None = None
    lengths: Sequence[int] | None = None


def cells(wanted: Wanted) -> list[Cell]:
    """All cells, draw by draw, so that a run that was stopped has run everything at least once."""
    tier = TIERS[wanted.tier]
    draws = tuple(tier.draws if wanted.draws is None else wanted.draws)
    methods = set(wanted.methods or METHODS)
    found: dict[Cell, None] = {}
    for n, draw in enumerate(draws):
        more = n < tier.more_draws or wanted.methods is not None
        for name in wanted.sets or tier.sets:
            for noise in _noise_of(name, wanted):
                for length, rows in _rows(name, noise, n, tier, wanted, more):
                    chosen = (row for row in rows if row[1] in methods)
                    found |= dict.fromkeys(_cell(name, noise, draw, length, row, wanted.tier) for row in chosen)
    return list(found)


Row = tuple[str, str, float]
"""Network, method, trusted share."""


def _rows(name: str, noise: str, n: int, tier: Tier, wanted: Wanted, more: bool) -> Iterable[tuple[int, list[Row]]]:
    """By length what is trained on a set with a kind of noise in the nth draw."""
    networks = tuple(wanted.networks or tier.networks)
    main = [(networks[0], m, 0.0) for m in MAIN]
    again = [(networks[0], AGAIN, 0.0)] if noise in GOOD else []
    for length in wanted.lengths or (1,):
        here = name in (wanted.sets or tier.part_sets) and noise in (wanted.noise or tier.part_noise)
        rows = [*main, *again, *((networks[0], m, 0.0) for m in (*CORE, *DECIDED) if more)]
        rows += [(networks[0], m, 0.0) for m in ABLATIONS if more and here]
        rows += [(networks[0], m, 0.0) for m in MISSING if more and noise == "missed"]
        rows += [(network, m, 0.0) for network in networks[1:] for m in MAIN if more and here]
        rows += [(networks[0], m, t) for t in TRUSTED for m in TRUSTING if more and noise == "biased"]
        yield length, rows
    for longer in tier.long if wanted.lengths is None else ():
        if name in longer.sets and noise in longer.noise and n < longer.draws:
            yield longer.length, [*main, *((networks[0], m, 0.0) for m in DECIDED if more)]


def _noise_of(name: str, wanted: Wanted) -> Iterable[str]:
    raters = bool(data_set(name, wanted.tier).raters)
    kinds = wanted.noise or ONLY.get(name, TIERS[wanted.tier].noise)
    return [n for n in kinds if n != "raters" or raters]


def _cell(name: str, noise: str, draw: int, length: int, row: Row, tier: str) -> Cell:
    network, method, trusted = row
    data = data_set(name, tier)
    level = level_of(noise, data.volumes)
    return Cell(
        data=data,
        noise=noise,
        level=level,
        network=network,
        method=method,
        trusted=trusted,
        draw=draw,
        length=length,
    )


def expected_work(cell: Cell) -> float:
    """How much a cell costs against a plain one of its set with a UNet."""
    return cell.length * WORK.get(cell.method, 1.0) * _NETWORK_WORK.get(cell.network, 2.0)
