"""The pictures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .groups import RANKED, Group

COLOURS = {
    "clean": "#444444",
    "plain": "#999999",
    "gce": "#e69f00",
    "nr-dice": "#f0e442",
    "t-loss": "#882255",
    "adele": "#56b4e9",
    "cleanlab": "#009e73",
    "coteaching": "#cc79a7",
    "lopsided": "#0072b2",
    "aio2": "#332288",
    "dale": "#d55e00",
}


def draw(groups: Sequence[Group], folder: Path) -> list[Path]:
    """dice.png, review.png, reliability.png and recovery.png, each where there is something to show."""
    import matplotlib as mpl

    mpl.use("Agg")
    main = [g for g in groups if not g.trusted]
    figures = {"dice": _dice(main), "recovery": _recovery(groups), "review": _review(main)}
    figures["reliability"] = _reliability(main)
    written = []
    for name, figure in figures.items():
        if figure is not None:
            path = folder / f"{name}.png"
            figure.savefig(path, dpi=110, bbox_inches="tight")
            written.append(path)
    return written


def _axes(count: int, width: float, height: float) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height * count))
    return figure, list(figure.subplots(count, 1, squeeze=False)[:, 0])


def _dice(groups: Sequence[Group]) -> Any:
    """Test Dice by noise, one panel a set and network: a line is the mean, a dot a draw."""
    panels = list(dict.fromkeys((g.set, g.network) for g in groups))
    if not panels:
        return None
    figure, axes = _axes(len(panels), 10, 2.6)
    methods = [m for m in ("clean", *RANKED) if any(g.of(m) for g in groups)]
    for axis, (name, network) in zip(axes, panels, strict=True):
        here = [g for g in groups if (g.set, g.network) == (name, network)]
        for n, method in enumerate(methods):
            place = np.arange(len(here)) + (n - (len(methods) - 1) / 2) * 0.8 / len(methods)
            means = [g.mean(method) or np.nan for g in here]
            half = 0.35 / len(methods)
            axis.hlines(means, place - half, place + half, color=COLOURS[method], linewidth=3, label=method)
            for x, g in zip(place, here, strict=True):
                draws = [v for v in g.values(method, "dice") if v is not None]
                axis.plot([x] * len(draws), draws, ".", color=COLOURS[method], markersize=5)
        axis.set_xticks(range(len(here)), [f"{g.noise}{g.longer}".replace(", user", ",\nuser") for g in here])
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
        axis.set_title(f"{name}, {network}")
        axis.set_ylabel("test Dice")
    names = axes[0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
    figure.legend(*names, ncols=len(methods), loc="upper center", frameon=False)
    return figure


def _recovery(groups: Sequence[Group]) -> Any:
    ordered = sorted(groups, key=lambda g: g.role != "judging")
    rows = [(f"{g.title} ({g.role})", r) for g in ordered if (r := g.recovery("dale")) is not None]
    if not rows:
        return None
    figure, (axis,) = _axes(1, 8, 0.28 * len(rows) + 1)
    axis.barh([t for t, _ in rows], [r for _, r in rows], color=COLOURS["dale"])
    axis.axvline(0.6, color="black", linestyle=":", linewidth=1)
    axis.axvline(0.0, color="black", linewidth=0.8)
    axis.invert_yaxis()
    axis.set_xlabel("gap recovery (DALE - plain) / (clean - plain); dotted: the goal on judging sets")
    return figure


def _review(groups: Sequence[Group]) -> Any:
    rows = [g for g in groups if g.mean("dale", "review_found_10pct") is not None]
    rows.sort(key=lambda g: g.role != "judging")
    if not rows:
        return None
    figure, (axis,) = _axes(1, 8, 0.34 * len(rows) + 1)
    kinds = {
        "review_found_10pct_best": "best possible",
        "review_found_10pct": "review",
        "review_found_10pct_entropy": "entropy",
        "review_found_10pct_clasp_pe": "ClaSP PE",
        "review_found_10pct_random": "foreground-aware random",
    }
    for n, (figure_name, label) in enumerate(kinds.items()):
        values = [100 * (g.mean("dale", figure_name) or 0.0) for g in rows]
        axis.barh(np.arange(len(rows)) + (n - (len(kinds) - 1) / 2) * 0.16, values, 0.16, label=label)
    axis.axvline(10, color="black", linestyle=":", linewidth=1, label="by chance")
    axis.set_yticks(range(len(rows)), [f"{g.title} ({g.role})" for g in rows])
    axis.invert_yaxis()
    axis.set_xlabel("label errors found in a tenth of the band, %")
    axis.legend()
    return figure


def _reliability(groups: Sequence[Group]) -> Any:
    """Confidence against the share of right labels, all noisy cells together, weighted by voxels."""
    tables = [r["reliability"] for g in groups if g.noise != "none" for r in g.of("dale") if r.get("reliability")]
    if not tables:
        return None
    figure, (axis,) = _axes(1, 4, 4)
    points = []
    for bins in zip(*tables, strict=True):
        filled = [(b["voxels"], b["confidence"], b["right"]) for b in bins if b["voxels"]]
        if filled:
            voxels, confidence, right = map(np.array, zip(*filled, strict=True))
            points.append((np.average(confidence, weights=voxels), np.average(right, weights=voxels)))
    axis.plot([0, 1], [0, 1], ":", color="black", linewidth=1)
    axis.plot(*zip(*points, strict=True), "o-", color=COLOURS["dale"])
    axis.set_xlabel("confidence of the label")
    axis.set_ylabel("share of right labels")
    return figure
