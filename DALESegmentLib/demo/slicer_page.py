"""slicer-views.png: Slicer's own slice views with what a reader needs beside them: title, sides, scale and legend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from .report import round_length
from .report_case import SURE, draw_colour_bar

DOTS, ABOVE, BELOW, BESIDE = 100, 90, 60, 130
"""Pixels of the page beside the views."""
WHITE: dict[str, Any] = {"color": "white", "fontsize": 13, "weight": "bold"}


def write_views(
    path: Path,
    views: np.ndarray,
    sides: Mapping[str, tuple[str, str, str, str]],
    frame_mm: float,
    title: str,
    outlines: Mapping[str, str],
    unit: str = "mm",
) -> None:
    """views: (size, n * size, 3) uint8, side by side; sides: by name of the view, the letters at its left, right, lower
    and upper edge; frame_mm: what a view spans, in `unit`; outlines: what is outlined, and in which colour."""
    size, width = views.shape[:2]
    whole, high = width + BESIDE, size + ABOVE + BELOW
    figure = plt.figure(figsize=(whole / DOTS, high / DOTS), dpi=DOTS, facecolor="white")
    figure.text(0.01, 1 - 12 / high, title, fontsize=14, weight="bold", va="top")
    ax = figure.add_axes((0, BELOW / high, width / whole, size / high))
    ax.imshow(views, extent=(0, width, size, 0), interpolation="nearest")
    ax.axis("off")
    length = round_length(0.4 * frame_mm)
    for n, (name, (left, right, low, up)) in enumerate(sides.items()):
        x = n * size
        figure.text((x + size / 2) / whole, 1 - (ABOVE - 8) / high, name, fontsize=12, ha="center", va="bottom")
        marks = [ax.text(x + 8, size / 2, left, va="center", **WHITE)]
        marks += [ax.text(x + size - 8, size / 2, right, va="center", ha="right", **WHITE)]
        marks += [ax.text(x + size / 2, 8, up, va="top", ha="center", **WHITE)]
        marks += [ax.text(x + size / 2, size - 8, low, va="bottom", ha="center", **WHITE)]
        start, row, pixels = x + 14, size - 16, length * size / frame_mm
        for colour, line in (("black", 5), ("white", 3)):
            ax.plot([start, start + pixels], [row, row], color=colour, linewidth=line, solid_capstyle="butt")
        marks += [ax.text(start, row - 6, f"{length:g} {unit}", va="bottom", **{**WHITE, "fontsize": 11})]
        for mark in marks:
            mark.set_path_effects([withStroke(linewidth=2.5, foreground="black")])
        if n:
            ax.axvline(x, color="white", linewidth=2)
    ax.set(xlim=(0, width), ylim=(size, 0))
    bar = draw_colour_bar(figure, ((width + 18) / whole, (BELOW + 20) / high, 16 / whole, (size - 60) / high))
    bar.set_yticklabels(["0 wrong", "0.25", "0.5", "0.75", "1 right"])
    figure.text((width + 8) / whole, (BELOW + size - 22) / high, "label confidence", fontsize=9, va="bottom")
    keys = [Line2D([], [], color=colour, linewidth=3) for colour in outlines.values()]
    figure.legend(keys, list(outlines), loc="lower left", bbox_to_anchor=(0.0, 0.0), ncols=len(keys), frameon=False)
    figure.text(1 - 10 / whole, 18 / high, f"confidence from {SURE:g} on is not drawn", fontsize=9, ha="right")
    figure.savefig(path)
    plt.close(figure)
