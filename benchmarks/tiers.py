"""Which cells a tier has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .cell import Cell
from .data_set import FULL, QUICK, USER, data_set
from .methods.registry import ABLATIONS, AGAIN, CORE, DECIDED, METHODS, MISSING, TRUSTING, USABLE, WORK
from .noise import BASIC, KINDS, level_of

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
USER_SECONDS = {"ph2_skin": 100.0}
USER_STEPS = 600
"""Core seconds of a plain cell of so many steps on the user's path, measured in the same way."""
_NETWORK_WORK = {"UNet": 1.0, "AttentionUnet": 2.0, "SegResNet": 2.0, "DynUNet": 2.5, "SwinUNETR": 8.0}


TUNING = ("lidc_4rater", "ph2_skin", "msd_hippocampus")
MAIN = ("clean", "plain", "dale")
GOOD = ("none", "raters")
"""Labels as good as they come, where what chance alone does to single cases is looked at."""


@dataclass(frozen=True)
class Tier:
    """clean, plain and DALE with the first network in every set, kind of noise and draw; the other methods in the first
    `more_draws` of these; the parts of DALE and the other networks there too, on `part_sets` with `part_noise`.
    long: what is trained longer: these three, and where there are other methods, those that decide on unseen cases.
    user: what is trained by the command, as a user does; alone in the tier of that name."""

    noise: tuple[str, ...]
    sets: tuple[str, ...]
    networks: tuple[str, ...]
    draws: tuple[int, ...]
    more_draws: int
    part_sets: tuple[str, ...]
    part_noise: tuple[str, ...]
    long: tuple[Longer, ...] = ()
    user: tuple[AsTheUser, ...] = ()


@dataclass(frozen=True)
class Longer:
    """length: times the set's own number of steps; draws: the first so many of the tier's."""

    length: int
    sets: tuple[str, ...]
    noise: tuple[str, ...]
    draws: int


@dataclass(frozen=True)
class AsTheUser:
    """Plain and DALE by the command `train`. epochs: of 50 steps, as the command's own; draws: how many."""

    epochs: int
    draws: int
    sets: tuple[str, ...] = tuple(USER)
    noise: tuple[str, ...] = ("none",)


TIERS = {
    "quick": Tier(
        tuple(kind for kind in BASIC if kind != "biased"),
        tuple(QUICK),
        ("UNet",),
        (0, 1, 2, 3, 4),
        0,
        (),
        (),
        (
            Longer(
                4, ("lidc_4rater", "ph2_skin", "msd_hippocampus", "busi_breast_us"), ("none", "missed", "markov"), 1
            ),
            Longer(16, ("ph2_skin",), ("missed",), 1),
        ),
        (AsTheUser(12, 3),),
    ),
    "user": Tier((), (), ("UNet",), (0, 1, 2), 0, (), (), user=(AsTheUser(12, 3), AsTheUser(50, 3))),
    "methods": Tier(
        KINDS,
        ("lidc_4rater", "ph2_skin", "msd_hippocampus", "padufes_2rater"),
        ("UNet", "SegResNet"),
        (0,),
        1,
        ("lidc_4rater", "ph2_skin"),
        ("morph", "markov"),
        (Longer(4, TUNING, ("none", "markov", "missed"), 1),),
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
        found |= dict.fromkeys(_user_cells(wanted, tier, n, draw))
        for name in (wanted.sets or tier.sets) if tier.sets else ():
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


def _user_cells(wanted: Wanted, tier: Tier, n: int, draw: int) -> Iterable[Cell]:
    """Of the nth draw. Alone in their tier, what is named is run; beside other cells, what is named and theirs."""
    alone = not tier.sets
    methods = [m for m in wanted.methods or ("plain", "dale") if m in ("clean", *USABLE)]
    network = tier.networks[0]
    for each in tier.user:
        if network not in (wanted.networks or tier.networks) or (n >= each.draws and not (alone and wanted.draws)):
            continue
        if wanted.lengths is not None and not alone:
            continue
        sets, kinds = wanted.sets or each.sets, wanted.noise or each.noise
        for name in (s for s in sets if alone or s in each.sets):
            data = data_set(name, "user").model_copy(update={"epochs": each.epochs})
            for noise in (k for k in kinds if (alone or k in each.noise) and (k != "raters" or data.raters)):
                common = {"data": data, "noise": noise, "level": level_of(noise, data.volumes), "network": network}
                for length in wanted.lengths or (1,):
                    for m in methods:
                        yield Cell(**common, method=m, trusted=0.0, draw=draw, length=length, path="user")


def _noise_of(name: str, wanted: Wanted) -> Iterable[str]:
    raters = bool(data_set(name, wanted.tier).raters)
    kinds = wanted.noise or TIERS[wanted.tier].noise
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
    """How much a cell costs against a plain one of its set with a UNet; on the user's path of USER_STEPS steps."""
    if cell.path == "user":
        return cell.steps / USER_STEPS * WORK.get(cell.method, 1.0)
    return cell.length * WORK.get(cell.method, 1.0) * _NETWORK_WORK.get(cell.network, 2.0)
