"""report.png: one page on which a radiologist sees what was doubted, what was right, and what it gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from DALESegmentLib.engine.cases.case_files import read_case
from DALESegmentLib.engine.cases.source import CaseSource
from DALESegmentLib.engine.review.region import Region

from .data import DemoData
from .planes import AxialPlane
from .rounds import WORST, Rounds, load
from .tables import held_out_rows, label_rows

# Okabe and Ito's colours, which most colour-blind people can tell apart.
GIVEN, REFERENCE, MODEL, MARK = "#E69F00", "#56B4E9", "#CC79A7", "#F0E442"
TILE_MM = 24.0


class ReportCase:
    """One training case with all its maps, and what can be drawn of it."""

    def __init__(self, data: DemoData, out: Path, name: str) -> None:
        self.item = data.items([name])[0]
        self.case, self.reference = load(self.item)
        self.geometry = self.case.geometry
        self.confidence = self._map(out / "review" / name / ("confidence" + data.extension))
        self.regions = self._map(out / "review" / name / ("regions" + data.extension))
        shown = self.case.image[0] if self.case.channels != 3 else self.case.image.mean(0)
        self.image = shown
        self.window = np.percentile(shown, (1, 99.5))
        self.prediction: np.ndarray | None = None

    def _map(self, path: Path) -> np.ndarray:
        return read_case(CaseSource(path.name, images=(path,))).image[0]

    def plane(self, region: Region) -> AxialPlane:
        return AxialPlane(self.geometry, region.centre_ras)

    def grey(self, ax: Axes, plane: AxialPlane) -> None:
        low, high = self.window
        ax.imshow(plane.cut(self.image), cmap="gray", vmin=low, vmax=high, aspect=plane.aspect)
        ax.set_xticks([])
        ax.set_yticks([])

    def outline(self, ax: Axes, plane: AxialPlane, label: np.ndarray, colour: str, width: float = 1.6) -> None:
        cut = plane.cut(label)
        for value in np.unique(cut[cut > 0]):
            ax.contour(cut == value, [0.5], colors=colour, linewidths=width)


def write_report(data: DemoData, done: Rounds, found: dict[str, Any], out: Path, prediction: np.ndarray | None) -> Path:
    """prediction: DALE's answer (*grid) on the case of the first region, or None."""
    plt.rcParams.update({"font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold"})
    figure = plt.figure(figsize=(17, 12.5), dpi=100, layout="constrained")
    pictures, tiles, bottom = figure.subfigures(3, 1, height_ratios=[1.25, 1.0, 0.95], hspace=0.06)
    cases = {r.case: ReportCase(data, out, r.case) for r in done.regions[:WORST]}
    if done.regions:
        first = cases[done.regions[0].case]
        first.prediction = prediction
        _pictures(pictures, first, done.regions[0])
        _tiles(tiles, cases, done.regions[:WORST])
    else:
        pictures.text(0.5, 0.5, "No doubtful region was found.", ha="center")
    _bottom(bottom, done, found)
    path = out / "report.png"
    figure.savefig(path)
    plt.close(figure)
    return path


def _pictures(figure: Any, case: ReportCase, region: Region) -> None:
    figure.suptitle(f"Case {region.case}: the slice through the most doubtful region", fontsize=14, weight="bold")
    plane = case.plane(region)
    image, drawn, answer, heat = figure.subplots(1, 4)
    for ax, title in (
        (image, "Image"),
        (drawn, "Label as given and reference"),
        (answer, "DALE's segmentation and reference"),
        (heat, "Label confidence"),
    ):
        case.grey(ax, plane)
        ax.set_title(title)
    case.outline(drawn, plane, np.asarray(case.case.label), GIVEN)
    case.outline(drawn, plane, case.reference, REFERENCE)
    _legend(drawn, {"as given": GIVEN, "reference": REFERENCE})
    if case.prediction is not None:
        case.outline(answer, plane, case.prediction, MODEL)
        case.outline(answer, plane, case.reference, REFERENCE)
        _legend(answer, {"DALE": MODEL, "reference": REFERENCE})
    confidence = plane.cut(case.confidence)
    shown = np.ma.masked_where(confidence > 0.9, confidence)
    mesh = heat.imshow(shown, cmap="inferno_r", vmin=0, vmax=1, alpha=0.75, aspect=plane.aspect)
    case.outline(heat, plane, np.asarray(case.case.label), GIVEN, 1.0)
    figure.colorbar(mesh, ax=heat, shrink=0.8, label="0: surely wrong        1: surely right")
    column, row = plane.place(confidence.shape)
    heat.plot(column, row, marker="o", markersize=16, markerfacecolor="none", markeredgecolor=MARK, markeredgewidth=2)


def _tiles(figure: Any, cases: dict[str, ReportCase], regions: list[Region]) -> None:
    figure.suptitle(
        "The worst regions, in the order in which they should be looked at", fontsize=13, weight="bold", y=1.07
    )
    for ax, region in zip(np.atleast_1d(figure.subplots(1, WORST)), [*regions, *[None] * WORST], strict=False):
        if region is None:
            ax.axis("off")
            continue
        case = cases[region.case]
        plane = case.plane(region)
        case.grey(ax, plane)
        case.outline(ax, plane, np.asarray(case.case.label), GIVEN)
        case.outline(ax, plane, case.reference, REFERENCE)
        case.outline(ax, plane, (case.regions == region.region_id).astype(int), MARK, 1.0)
        extent = max(b - a + 1 for a, b in zip(region.first_voxel, region.last_voxel, strict=True))
        shape = plane.cut(case.image).shape
        half = max(TILE_MM / plane.x_spacing / 2, 0.8 * extent) if case.geometry.dims == 3 else 1.2 * extent
        half = min(half, max(shape) / 2)
        column, row = plane.place(shape)
        ax.set_xlim(column - half, column + half)
        ax.set_ylim(row + half / plane.aspect, row - half / plane.aspect)
        unit = "mm³" if case.geometry.dims == 3 else "pixels"
        ax.set_title(f"{region.rank}. {region.class_name}: {region.suspicion}")
        ax.set_xlabel(f"{region.case}\n{region.size_mm3:.0f} {unit}, confidence {region.mean_confidence:.2f}")
    _legend(figure, {"as given": GIVEN, "reference": REFERENCE, "region": MARK}, loc="outside right upper")


def _bottom(figure: Any, done: Rounds, found: dict[str, Any]) -> None:
    curves, scores, labels = figure.subplots(1, 3, width_ratios=[1.0, 1.15, 1.25])
    for name, colour, word in (("plain", "#0072B2", "plain"), ("dale", "#D55E00", "DALE")):
        history = done.histories[name]
        curves.plot(
            [r["epoch"] for r in history],
            [r["loss"] for r in history],
            color=colour,
            marker="o",
            markersize=3,
            label=word,
        )
    curves.set_title("Training loss")
    curves.set_xlabel("epoch")
    curves.spines[["top", "right"]].set_visible(False)
    curves.legend(frameon=False)
    _table(scores, "Held-out cases against the reference", held_out_rows(found), 0.34)
    _table(labels, "What was found in the labels", label_rows(found), 0.8)


def _table(ax: Axes, title: str, rows: list[list[str]], first: float) -> None:
    ax.axis("off")
    ax.set_title(title)
    rest = (1 - first) / (len(rows[0]) - 1)
    table = ax.table(rows, loc="upper center", cellLoc="left", colWidths=[first, *[rest] * (len(rows[0]) - 1)])
    table.auto_set_font_size(False)
    table.set_fontsize(10)
    table.scale(1, 1.55)
    for (row, _), cell in table.get_celld().items():
        cell.set_edgecolor("#cccccc")
        cell.visible_edges = "B"
        if row == 0:
            cell.set_text_props(weight="bold")


def _legend(where: Any, entries: dict[str, str], loc: str = "lower left") -> None:
    lines = [Line2D([], [], color=colour, linewidth=2) for colour in entries.values()]
    where.legend(lines, list(entries), loc=loc, fontsize=9, framealpha=0.8)
