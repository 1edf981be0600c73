"""The goals of the method, each with the figure that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .groups import Group
from .statistics import mean, paired_interval

APART = ("none", "biased", "sr", "se")
"""Noise kinds that are not averaged with the others: where labels are right, or all wrong in the same way, which nobody
can know of without reviewed voxels."""
USER_STEPS = (600, 2500)
"""Lengths of the user's path that have a goal."""
LOST = 0.1
"""Dice that a case has lost grievously."""
WIDE = 0.05
"""Dice. Cells where noise costs plain training so much have something to win back."""
Figure = float | None


@dataclass(frozen=True)
class Goal:
    """figure: None where the run did not measure it. at_least: else the goal is an upper limit."""

    name: str
    goal: float
    figure: Figure
    unit: str = ""
    at_least: bool = True
    interval: tuple[float, float] | None = None

    @property
    def met(self) -> bool | None:
        if self.figure is None:
            return None
        return self.figure >= self.goal if self.at_least else self.figure <= self.goal


def make_goals(groups: Sequence[Group]) -> list[Goal]:
    """Means over groups, each a mean over draws, so that every set, noise and network counts alike. Goals on judging
    sets come first: nothing was chosen on those."""
    users = [g for g in groups if g.path == "user" and g.noise == "none" and g.length == 1]
    groups = [g for g in groups if g.path == "bench"]
    plain = [g for g in groups if not g.trusted and g.of("dale") and g.of("plain")]
    once = [g for g in plain if g.length == 1]
    noisy = [g for g in once if g.noise not in APART]
    biased = [g for g in groups if g.noise == "biased" and g.trusted == 0.05 and g.of("dale")]
    raters = [g for g in once if g.noise == "raters"]
    goals = [
        Goal("harm: worst cell whose interval excludes 0, DALE - plain", -0.5, _worst_cell(plain), "Dice points"),
        Goal("harm: worst draw of any cell, DALE - plain", -2.0, _worst_draw(plain), "Dice points"),
        Goal(
            "harm by case: cases that lose more than 10 points, none and raters, more than by chance",
            0,
            _lost_cases([g for g in once if g.noise in ("none", "raters")]),
            "cases a draw",
            at_least=False,
        ),
        _gain("real raters: DALE - plain", 0, raters),
        Goal("real raters: DALE - plain, quarter with most disagreement", 1, _worst_quarter(raters), "Dice points"),
        _gain("no noise: DALE - plain", -0.5, [g for g in once if g.noise == "none"]),
        Goal(
            "no noise: regions listed with a confidence below .2",
            0.2,
            _mean([g for g in once if g.noise == "none"], "review_low_confidence"),
            "a case",
            at_least=False,
        ),
        *(
            _gain(f"user's path, {steps} steps: DALE - plain", -0.5, [g for g in users if g.steps == steps])
            for steps in USER_STEPS
        ),
    ]
    for role, recovery in (("judging", 0.6), ("tuning", 0.75)):
        goals += _of_role([g for g in noisy if g.role == role], f"{role} sets", recovery)
        here = [g for g in once if g.role == role]
        real = f"{role} sets: expected real errors among the first 20, against the truth: within 20 %"
        goals.append(Goal(real, 20, _expected_against_real(here), "%", at_least=False))
    for length in sorted({g.length for g in plain} - {1}):
        goals.append(Goal(f"{length}x: gap recovery against that of 1x", 0.9, _against_once(plain, length)))
    return [
        *goals,
        Goal("DALE first in the table", 80, _share_first(noisy), "% of the cells"),
        Goal("step time against plain", 1.10, _mean(once, "step_time_ratio"), "times", at_least=False),
        Goal("peak memory against plain", 1.10, _mean(once, "memory_ratio"), "times", at_least=False),
        Goal("biased annotator, 5 % trusted: gap recovery", 0.8, pooled_recovery(biased)),
    ]


def _of_role(noisy: Sequence[Group], sets: str, recovery: float) -> list[Goal]:
    wide = [g for g in noisy if _gap(g) >= WIDE]
    by_set = [pooled_recovery([g for g in wide if g.set == name]) for name in dict.fromkeys(g.set for g in wide)]
    least = min((r for r in by_set if r is not None), default=None)
    return [
        Goal(f"{sets}: gap recovery where noise costs 5 points or more", recovery, pooled_recovery(wide)),
        Goal(f"{sets}: the same, worst set", 0.3, least),
        _gain(f"{sets}: gain over plain, all noise", 0, noisy),
        Goal(f"{sets}: drawn volume, from clean labels' by", 10, _volume_off(noisy), "%", at_least=False),
        Goal(f"{sets}: label-error AUROC", 0.95, _mean(noisy, "label_error_auroc")),
        Goal(f"{sets}: the same within 3 mm of the outline", 0.88, _mean(noisy, "label_error_auroc_band")),
        Goal(f"{sets}: AUROC above cleanlab's, worst set", 0, _above_cleanlab(noisy, "")),
        Goal(f"{sets}: the same within 3 mm", 0, _above_cleanlab(noisy, "_band")),
        Goal(f"{sets}: ECE of the confidence", 0.05, _mean(noisy, "ece"), at_least=False),
        Goal(f"{sets}: right labels at a confidence of .1 to .2", 25, _right_when_doubted(noisy), "%", at_least=False),
        Goal(f"{sets}: review, share of the best possible in a tenth of the band", 0.85, _of_the_best(noisy)),
        Goal(f"{sets}: review above foreground-aware random and ClaSP PE, same share", 0, _above_peers(noisy)),
    ]


def _gap(group: Group) -> float:
    clean, plain = group.mean("clean"), group.plain_mean()
    return 0.0 if clean is None or plain is None else clean - plain


def _worst_cell(groups: Sequence[Group]) -> Figure:
    """The lowest mean over draws of those that chance does not explain; 0 where it explains all."""
    known = [(g, d) for g in groups if (d := g.differences("dale")) is not None]
    if not known:
        return None
    worst = [float(d.mean()) for g, d in known if (g.interval("dale") or (0.0, 0.0))[1] < 0]
    return 100 * min(worst, default=0.0)


def _worst_draw(groups: Sequence[Group]) -> Figure:
    draws = [float(d.mean(1).min()) for g in groups if (d := g.differences("dale")) is not None]
    return 100 * min(draws) if draws else None


def _lost_cases(groups: Sequence[Group]) -> Figure:
    """How many test cases lose more than LOST against plain, less how many do where plain is trained again; the mean
    over draws, all groups together."""
    found = []
    for g in groups:
        ours, again = g.differences("dale"), g.differences("plain-again")
        if ours is not None and again is not None:
            found.append(float((ours < -LOST).sum(1).mean() - (again < -LOST).sum(1).mean()))
    return sum(found) if found else None


def _against_once(groups: Sequence[Group], length: int) -> Figure:
    """Of the cells that are there at both lengths, over the draws that each has."""
    places = {(g.set, g.noise, g.network): g for g in groups if g.length == 1 and g.noise not in APART}
    longer = [g for g in groups if g.length == length and (g.set, g.noise, g.network) in places]
    now = pooled_recovery(longer)
    once = pooled_recovery([places[g.set, g.noise, g.network] for g in longer])
    return None if now is None or not once or once <= 0 else now / once


def pooled_recovery(groups: Sequence[Group]) -> Figure:
    """Σ (DALE - plain) / Σ (clean - plain), so that cells with hardly any gap do not blow it up."""
    rows = [(g.mean("dale"), g.plain_mean(), g.mean("clean")) for g in groups]
    known = [(d, p, c) for d, p, c in rows if d is not None and p is not None and c is not None]
    gap = sum(c - p for _, p, c in known)
    return sum(d - p for d, p, _ in known) / gap if gap > 0 else None


def _gain(name: str, goal: float, groups: Sequence[Group]) -> Goal:
    differences = [d for g in groups if (d := g.differences("dale")) is not None]
    if not differences:
        return Goal(name, goal, None, "Dice points")
    low, high = paired_interval(differences)
    figure = float(np.mean([d.mean() for d in differences]))
    return Goal(name, goal, 100 * figure, "Dice points", interval=(100 * low, 100 * high))


def _share_first(groups: Sequence[Group]) -> Figure:
    return _percent(mean([float(first == "dale") for g in groups if (first := g.first()) is not None]))


def _worst_quarter(groups: Sequence[Group]) -> Figure:
    """DALE - plain on the quarter of each draw's test cases whose raters disagree most."""
    figures = []
    for g in groups:
        d = g.differences("dale")
        if d is None:
            continue
        disagreement = {r["draw"]: r["test_disagreement"] for r in g.of("dale")}
        for gains, raters in zip(d, (disagreement[draw] for draw in g.draws_of("dale")), strict=True):
            if None not in raters:
                figures.append(float(gains[np.argsort(raters)[-max(len(raters) // 4, 1) :]].mean()))
    return None if not figures else 100 * float(np.mean(figures))


def _mean(groups: Sequence[Group], figure: str) -> Figure:
    return mean([g.mean("dale", figure) for g in groups])


def _volume_off(groups: Sequence[Group]) -> Figure:
    """How far drawn over true volume lies from that of training with clean labels, the mean of the groups."""
    pairs = [(g.mean("dale", "volume_ratio"), g.mean("clean", "volume_ratio")) for g in groups]
    return _percent(mean([abs(ours / clean - 1) for ours, clean in pairs if ours is not None and clean]))


def _above_cleanlab(groups: Sequence[Group], where: str) -> Figure:
    """In the set where it is least."""
    by_set: dict[str, list[float]] = {}
    for g in groups:
        ours, theirs = g.mean("dale", f"label_error_auroc{where}"), g.mean("dale", f"cleanlab_auroc{where}")
        if ours is not None and theirs is not None:
            by_set.setdefault(g.set, []).append(ours - theirs)
    return min((float(np.mean(each)) for each in by_set.values()), default=None)


def _right_when_doubted(groups: Sequence[Group]) -> Figure:
    """Percent of the voxels with such a confidence, all cells together, whose label is right."""
    bins = [r["reliability"][1] for g in groups for r in g.of("dale") if r.get("reliability")]
    voxels = sum(b["voxels"] for b in bins)
    return 100 * sum(b["voxels"] * b["right"] for b in bins if b["voxels"]) / voxels if voxels else None


def _expected_against_real(groups: Sequence[Group]) -> Figure:
    """Percent by which the expected number misses the real one, all cells together, good labels among them."""
    pairs = [(g.mean("dale", "review_expected_20"), g.mean("dale", "review_real_20")) for g in groups]
    known = [(expected, real) for expected, real in pairs if expected is not None and real is not None]
    truly = sum(real for _, real in known)
    return 100 * abs(sum(expected for expected, _ in known) - truly) / truly if truly else None


def _of_the_best(groups: Sequence[Group]) -> Figure:
    pairs = [(g.mean("dale", "review_found_10pct"), g.mean("dale", "review_found_10pct_best")) for g in groups]
    return mean([found / best for found, best in pairs if found is not None and best])


def _above_peers(groups: Sequence[Group]) -> Figure:
    """How much more of the best possible is found than in the better of the other orders, in the mean of the groups."""
    above = []
    for peer in ("random", "clasp_pe"):
        names = ("review_found_10pct", f"review_found_10pct_{peer}", "review_found_10pct_best")
        rows = [[g.mean("dale", name) for name in names] for g in groups]
        known = [
            (ours - theirs) / best for ours, theirs, best in rows if ours is not None and theirs is not None and best
        ]
        above.append(mean(known))
    return None if None in above else min(a for a in above if a is not None)


def _percent(value: Figure) -> Figure:
    return None if value is None else 100 * value
