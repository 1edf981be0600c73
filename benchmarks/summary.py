"""The methods side by side, each as its mean over cells: the first table to read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .goals import APART
from .groups import RANKED, Group
from .methods.registry import ABLATIONS
from .statistics import mean, paired_interval


def method_rows(groups: Sequence[Group]) -> list[list[str]]:
    """Gain over plain in Dice points, of cells of the first network that have every method; a set, noise kind and
    draw counts like any other."""
    network = groups[0].network if groups else ""
    ours = [g for g in groups if g.path == "bench"]
    here = [g for g in ours if g.network == network and not g.trusted and all(g.of(m) for m in RANKED)]
    columns = {
        "all noise": [g for g in here if g.noise not in APART],
        **{g.noise: [h for h in here if h.noise == g.noise] for g in here},
    }
    head = ["gain over plain", *columns]
    return [head, *([m, *(gain(cells, m) for cells in columns.values())] for m in RANKED if m != "plain")]


def ablation_rows(groups: Sequence[Group]) -> list[list[str]]:
    """What is left of DALE without one of its parts, over the cells that have all of them."""
    ours = [g for g in groups if g.path == "bench" and not g.trusted]
    here = [g for g in ours if all(g.of(m) for m in ("plain", "dale", *ABLATIONS))]
    rows = [["", "gain over plain", "AUROC", "AUROC 3 mm", "ECE"]]
    for m in ("dale", *ABLATIONS) if here else ():
        own = [mean([g.mean(m, f) for g in here]) for f in ("label_error_auroc", "label_error_auroc_band", "ece")]
        rows.append([m, gain(here, m), *("–" if v is None else f"{v:.3f}" for v in own)])
    return rows


def gain(groups: Sequence[Group], method: str) -> str:
    """Mean gain over plain in Dice points with its 95 % interval; “–” where there is none."""
    found = [d for g in groups if (d := g.differences(method)) is not None]
    if not found:
        return "–"
    low, high = paired_interval(found)
    middle = float(np.mean([d.mean() for d in found]))
    return f"{100 * middle:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *rest = rows
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rest]]
