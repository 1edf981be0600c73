"""The results in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .goals import Goal
from .groups import Group
from .methods.registry import METHODS
from .summary import ablation_rows, markdown, method_rows

HEAD = (
    "| set | role | noise | network | length | trusted | label Dice | method | Dice | ± draws "
    "| gain (95 %) | gap recovery | HD95 mm | NSD 2 mm | AUROC | AUROC 3 mm | ECE | draws |"
)


def make_table(groups: Sequence[Group], goals: Sequence[Goal], about: dict[str, Any]) -> str:
    lines = ["# Benchmark", "", *(f"- {name}: {value}" for name, value in about.items()), "", "## Bars", ""]
    lines += ["| | goal | figure | met |", "|---|---|---|---|", *map(_goal_row, goals)]
    methods, parts = method_rows(groups), ablation_rows(groups)
    if len(methods[0]) > 2:  # some cell has every method
        lines += ["", "## Methods", "", METHOD_NOTES, "", *markdown(methods)]
    if len(parts) > 1:
        lines += ["", "## Parts of DALE", "", PART_NOTES, "", *markdown(parts)]
    lines += ["", "## Every cell", "", NOTES, "", HEAD, "|" + "---|" * HEAD.count(" | ") + "---|"]
    for group in groups:
        lines += [_method_row(group, m) for m in METHODS if group.of(m)]
    lines += ["", "## Review and label errors", "", *_review_table(groups), ""]
    return "\n".join(lines)


METHOD_NOTES = """\
Mean gain over plain training in Dice points with its 95 % bootstrap interval, over the sets of a kind of noise, for the
first network. “All noise” leaves out none, biased, sr and se."""

PART_NOTES = """\
The same for DALE without one of its parts, with the figures of its confidence, over the cells that have all of them."""

NOTES = """\
Test Dice against the clean truth, mean over draws and its standard deviation over draws; a draw is one of training and
test cases, noise and weights. Gain = method - plain with the same trusted voxels, in Dice points, paired by draw and
test case, with a 95 % bootstrap interval over both. Gap recovery = (method - plain) / (clean - plain), plain without
trusted voxels; “–” where the gap is below one point. Length: of the training, in times the set's own; “user” and steps
where `dalesegment train` planned and trained with its defaults, and no label errors are scored. Constants may
be chosen on training cases of tuning sets; some were once chosen while looking at test cases of these, too. Judging
sets had no part in any. AUROC and ECE are those of the label confidence on the training cases.
“Best possible” is the share of all label errors that a tenth of the band can hold."""


def _goal_row(bar: Goal) -> str:
    goal = f"{'≥' if bar.at_least else '≤'} {bar.goal:g} {bar.unit}".strip()
    figure = number(bar.figure, 3)
    if bar.interval is not None:
        figure += f" ({bar.interval[0]:.2f} to {bar.interval[1]:.2f})"
    return (
        f"| {bar.name} | {goal} | {figure} | {'not measured' if bar.met is None else 'yes' if bar.met else '**no**'} |"
    )


def _method_row(group: Group, method: str) -> str:
    interval = group.interval(method) if method not in ("plain", "clean") else None
    difference = group.differences(method) if interval else None
    gain = "–"
    if interval is not None and difference is not None:
        gain = f"{100 * difference.mean():+.1f} ({100 * interval[0]:+.1f} to {100 * interval[1]:+.1f})"
    own = [number(group.mean(method, f), 3) for f in ("label_error_auroc", "label_error_auroc_band", "ece")]
    cells = [
        group.set,
        group.role,
        group.noise,
        group.network,
        f"{group.length}x" if group.path == "bench" else f"user, {group.steps}",
        f"{100 * group.trusted:g} %",
        number(group.mean(method, "label_dice"), 2),
        method,
        number(group.mean(method), 3),
        number(group.spread(method), 3),
        gain,
        number(group.recovery(method), 2) if method not in ("plain", "clean") else "–",
        number(group.mean(method, "hd95_mm"), 2),
        number(group.mean(method, "nsd_2mm"), 3),
        *own,
        str(len(group.of(method))),
    ]
    return "| " + " | ".join(cells) + " |"


def _review_table(groups: Sequence[Group]) -> list[str]:
    head = [
        "set",
        "noise",
        "network",
        "length",
        "trusted",
        "found in 10 %: DALE",
        "its doubt alone",
        "entropy",
        "foreground-aware random",
        "ClaSP PE",
        "best possible",
    ]
    head += ["AUROC DALE", "AUROC cleanlab", "3 mm DALE", "3 mm cleanlab"]
    figures = (
        "review_found_10pct",
        "review_found_10pct_doubt",
        "review_found_10pct_entropy",
        "review_found_10pct_random",
        "review_found_10pct_clasp_pe",
        "review_found_10pct_best",
    )
    figures += ("label_error_auroc", "cleanlab_auroc", "label_error_auroc_band", "cleanlab_auroc_band")
    rows = [
        [
            g.set,
            g.noise,
            g.network,
            f"{g.length}x",
            f"{100 * g.trusted:g} %",
            *(number(g.mean("dale", f), 3) for f in figures),
        ]
        for g in groups
        if g.mean("dale", "review_found_10pct") is not None
    ]
    return markdown([head, *rows])


def number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
