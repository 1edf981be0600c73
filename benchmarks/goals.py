"""The goals of the method, each with the figure that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .data_set import data_set
from .groups import Group
from .statistics import mean, paired_interval

APART = ("none", "biased")
"""Noise kinds that are not averaged with the others."""
DAMAGED = 0.9
"""Label Dice: labels have lost 10 points or more."""
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
    """Means over groups, each a mean over seeds, so that every set, noise and network counts alike."""
    plain = [g for g in groups if not g.trusted and g.of("dale") and g.of("plain")]
    noisy = [g for g in plain if g.noise not in APART]
    biased = [g for g in groups if g.noise == "biased" and g.trusted == 0.05 and g.of("dale")]
    raters = [g for g in plain if g.noise == "raters"]
    voted = [g for g in raters if data_set(g.set, "quick").truth.startswith("votes")]
    damaged = [g for g in noisy if (g.mean("dale", "label_dice") or 1.0) <= DAMAGED]
    return [
        Goal("gap recovery (mean gain over mean gap)", 0.9, pooled_recovery(noisy)),
        Goal("gap recovery (mean of the cells' ratios)", 0.9, mean([g.recovery("dale") for g in noisy])),
        Goal("DALE first in the table", 80, _share_first(noisy), "% of the cells"),
        _gain("gain over plain where labels lost 10 points or more", 5, damaged),
        _gain("no noise: DALE - plain", -0.5, [g for g in plain if g.noise == "none"]),
        _gain("real raters: DALE - plain", 0, raters),
        Goal("real raters: DALE - plain, quarter with most disagreement", 0, _worst_quarter(raters), "Dice points"),
        Goal("label-error AUROC, overall", 0.95, _mean(noisy, "label_error_auroc")),
        Goal("label-error AUROC, within 3 mm of the boundary", 0.85, _mean(noisy, "label_error_auroc_band")),
        Goal("AUROC above cleanlab's, overall", 0.05, _above_cleanlab(noisy, "")),
        Goal("AUROC above cleanlab's, within 3 mm", 0.05, _above_cleanlab(noisy, "_band")),
        Goal("one rater against the vote of several: AUROC for “differs”", 0.90, _mean(voted, "label_error_auroc")),
        Goal("all sets with raters: the same", 0.90, _mean(raters, "label_error_auroc")),
        Goal("review: label errors found in the first 10 %", 60, _percent(_mean(noisy, "review_found_10pct")), "%"),
        Goal("review: the same against prediction entropy's", 2, _times_entropy(noisy), "times"),
        Goal("ECE of the confidence", 0.05, _mean(noisy, "ece"), at_least=False),
        Goal("step time against plain", 1.10, _mean(plain, "step_time_ratio"), "times", at_least=False),
        Goal("peak memory against plain", 1.10, _mean(plain, "memory_ratio"), "times", at_least=False),
        Goal("biased annotator, 5 % trusted: gap recovery", 0.7, pooled_recovery(biased)),
    ]


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
    """DALE - plain on the quarter of a set's test cases whose raters disagree most."""
    figures = []
    for g in groups:
        d = g.differences("dale")
        disagreement = g.of("dale")[0]["test_disagreement"]
        if d is None or None in disagreement:
            continue
        worst = np.argsort(disagreement)[-max(len(disagreement) // 4, 1) :]
        figures.append(float(d[:, worst].mean()))
    return None if not figures else 100 * float(np.mean(figures))


def _mean(groups: Sequence[Group], figure: str) -> Figure:
    return mean([g.mean("dale", figure) for g in groups])


def _above_cleanlab(groups: Sequence[Group], where: str) -> Figure:
    pairs = [(g.mean("dale", f"label_error_auroc{where}"), g.mean("dale", f"cleanlab_auroc{where}")) for g in groups]
    return mean([ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None])


def _times_entropy(groups: Sequence[Group]) -> Figure:
    ours, theirs = _mean(groups, "review_found_10pct"), _mean(groups, "review_found_10pct_entropy")
    return ours / theirs if ours is not None and theirs else None


def _percent(value: Figure) -> Figure:
    return None if value is None else 100 * value
