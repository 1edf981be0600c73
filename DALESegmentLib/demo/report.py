"""report.png: one page on which a radiologist sees what was doubted, whether rightly, and what it led to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ..engine.dale.issues import Region
from ..engine.dale.reasons import size_words
from ..engine.geometry.grid import Geometry
from .data import DemoData
from .demonstration import DemoResults
from .planes import AxialPlane
from .report_case import GIVEN, MODEL, REFERENCE, REGION, SURE, ReportCase, draw_colour_bar
from .tables import Rows, agreement_rows, label_rows, verdict

# Inches; a page is 1600 points wide, and as high as the shape of the image wants.
DOTS, WIDTH, EDGE = 100, 16.0, 0.25
PANEL, PANEL_STEP = 3.55, 3.74
HIGHEST, LOWEST = 3.7, 1.8
TILE, TILE_STEP = 1.8, 3.12
TILE_MM = 24.0
DARK, FAINT = "#222222", "#777777"
TITLE: dict[str, Any] = {"fontsize": 12.5, "weight": "bold"}


class Page:
    """A figure on which things are placed in inches from its left upper corner."""

    def __init__(self, height: float) -> None:
        self.height = height
        self.figure = plt.figure(figsize=(WIDTH, height), dpi=DOTS, facecolor="white")

    def place(self, left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
        """As shares of the figure, from its left lower corner."""
        return left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        return self.figure.add_axes(self.place(left, top, width, height))

    def text(self, left: float, top: float, words: str, **style: Any) -> None:
        self.figure.text(left / WIDTH, 1 - top / self.height, words, va="top", **style)


def write_report(data: DemoData, done: DemoResults, found: dict[str, Any], out: Path) -> Path:
    """Needs all that the rounds wrote under `out`. Returns the path of the picture."""
    cases = {region.case: ReportCase(data, out, region.case) for region in done.worst}
    plane = cases[done.worst[0].case].plane(done.worst[0]) if cases else None
    high = min(max(PANEL * plane.height / plane.width, LOWEST), HIGHEST) if plane else LOWEST
    with plt.rc_context({"font.size": 10.5, "text.color": DARK, "axes.edgecolor": FAINT}):
        page = Page(7.35 + high)
        first, *others = verdict(found)
        page.text(EDGE, 0.2, first, fontsize=15, weight="bold")
        page.text(EDGE, 0.53, " ".join(others))
        if plane is not None:
            _pictures(page, cases[done.worst[0].case], plane, done.worst[0], high)
            _tiles(page, cases, done, 1.75 + high)
        else:
            page.text(EDGE, 2.0, "No doubtful place was found in the labels.", **TITLE)
        _curves(page, done, 4.55 + high)
        _tables(page, found, 4.55 + high)
        page.figure.savefig(out / "report.png")
        plt.close(page.figure)
    return out / "report.png"


def _pictures(page: Page, case: ReportCase, plane: AxialPlane, region: Region, high: float) -> None:
    page.text(EDGE, 0.95, f"Case {case.name}, the slice with most of the worst region", **TITLE)
    _legend(page, 0.97)
    panels = [page.axes(EDGE + n * PANEL_STEP, 1.55, PANEL, high) for n in range(4)]
    titles = ("Image", "Label as given, and reference", "DALE's segmentation, and reference", "Label confidence")
    for ax, title in zip(panels, titles, strict=True):
        case.draw_image(ax, plane)
        ax.set_title(title, fontsize=11, pad=5)
    _image, drawn, answer, heat = panels
    for ax in panels:
        _sides(ax, plane)
    case.draw_outline(drawn, plane, case.reference, REFERENCE)
    case.draw_outline(drawn, plane, case.label, GIVEN)
    case.draw_outline(answer, plane, case.reference, REFERENCE)
    case.draw_outline(answer, plane, case.prediction, MODEL)
    case.draw_heat(heat, plane)
    case.draw_outline(heat, plane, case.label, GIVEN, 1.2)
    case.draw_outline(drawn, plane, case.mask(region), REGION, 1.2)
    for ax in (drawn, heat):
        _number(ax, case, plane, region)
    place = page.place(15.27, 1.62, 0.13, high - 0.14)
    bar = draw_colour_bar(page.figure, place)
    bar.set_yticklabels(["0\nwrong", "0.25", "0.5", "0.75", "1\nright"])
    page.text(13.3, 1.6 + high, f"not drawn from {SURE:g} on", fontsize=9)


def _legend(page: Page, top: float) -> None:
    entries = {"label as given": GIVEN, "reference": REFERENCE, "DALE": MODEL}
    keys: list[Any] = [Line2D([], [], color=colour, linewidth=3) for colour in entries.values()]
    keys.append(Patch(color=REGION, alpha=0.6))
    place = (1 - EDGE / WIDTH, 1 - (top - 0.12) / page.height)
    words = [*entries, "suspected region"]
    page.figure.legend(keys, words, loc="upper right", bbox_to_anchor=place, ncols=4, frameon=False)


def _number(ax: Axes, case: ReportCase, plane: AxialPlane, region: Region) -> None:
    """The rank, at the upper right corner of the region's box, or inside it where there is no room."""
    _, top, right, bottom = plane.box(case.mask(region))
    style: dict[str, Any] = {"color": "white", "fontsize": 15, "weight": "bold", "va": "center"}
    inside = right > 0.94 * plane.width
    text = ax.text(right, (top + bottom) / 2, f" {region.rank} ", ha="right" if inside else "left", **style)
    text.set_path_effects([withStroke(linewidth=3, foreground="black")])


def _sides(ax: Axes, plane: AxialPlane) -> None:
    """Patient sides and a scale, which only volumes have; of pictures a scale in pixels."""
    _scale(ax, plane.width, (0.04 * plane.width, 0.95 * plane.height), plane.geometry)
    if plane.geometry.dims == 2:
        return
    style: dict[str, Any] = {"color": "white", "fontsize": 11, "weight": "bold"}
    marks = [ax.text(0.02, 0.5, "R", va="center", transform=ax.transAxes, **style)]
    marks += [ax.text(0.98, 0.5, "L", va="center", ha="right", transform=ax.transAxes, **style)]
    marks += [ax.text(0.5, 0.97, "A", ha="center", va="top", transform=ax.transAxes, **style)]
    marks += [ax.text(0.5, 0.03, "P", ha="center", va="bottom", transform=ax.transAxes, **style)]
    for mark in marks:
        mark.set_path_effects([withStroke(linewidth=2.5, foreground="black")])


def _scale(ax: Axes, width: float, corner: tuple[float, float], geometry: Geometry, size: float = 11) -> None:
    """A bar of a round length, less than two fifths of the width, from `corner` to the right."""
    length = round_length(0.4 * width)
    x, y = corner
    for colour, line in (("black", 5), ("white", 3)):
        ax.plot([x, x + length], [y, y], color=colour, linewidth=line, solid_capstyle="butt")
    unit = "mm" if geometry.unit == "mm" else "px"
    words = {"color": "white", "fontsize": size, "weight": "bold"}
    text = ax.text(x, y, f"{length:g} {unit}", va="bottom", **words)  # type: ignore[arg-type]
    text.set_path_effects([withStroke(linewidth=2.5, foreground="black")])


def round_length(longest: float) -> float:
    """The longest of 1, 2, 5, 10, 20, 50, ... (and of 0.5, 0.2, ...) that is not longer."""
    power = 10.0 ** math.floor(math.log10(longest))
    return next(step * power for step in (5, 2, 1) if step * power <= longest)


def _tiles(page: Page, cases: dict[str, ReportCase], done: DemoResults, top: float) -> None:
    title = f"The {len(done.worst)} worst regions of all training cases, in the order of the review list"
    page.text(EDGE, top, title, **TITLE)
    page.text(EDGE, top + 0.24, "\n".join(done.notes), fontsize=9.5)
    for n, (region, share) in enumerate(zip(done.worst, done.review["truly_wrong_each"], strict=True)):
        left = EDGE + n * TILE_STEP
        _tile(page.axes(left, top + 0.4, TILE, TILE), cases[region.case], region)
        caption = _caption(region, share, cases[region.case])
        page.text(left + TILE + 0.07, top + 0.4, caption, fontsize=9.5, linespacing=1.6)


def _tile(ax: Axes, case: ReportCase, region: Region) -> None:
    plane = case.plane(region)
    case.draw_image(ax, plane)
    case.draw_region(ax, plane, region)
    case.draw_outline(ax, plane, case.reference, REFERENCE)
    case.draw_outline(ax, plane, case.label, GIVEN)
    left, top, edge = plane.window(case.mask(region), TILE_MM)
    _scale(ax, edge, (left + 0.05 * edge, top + 0.94 * edge), plane.geometry, 8)
    ax.set(xlim=(left, left + edge), ylim=(top + edge, top))


def _caption(region: Region, truly_wrong: float, case: ReportCase) -> str:
    lines = (
        f"{region.rank}.  {region.suspicion}",
        region.case,
        region.class_name,
        size_words(region),
        f"confidence {region.mean_confidence:.2f}",
        f"truly wrong {100 * truly_wrong:.0f} %",
    )
    return "\n".join(lines)


def _curves(page: Page, done: DemoResults, top: float) -> None:
    page.text(EDGE, top, "Training loss", **TITLE)
    ax = page.axes(EDGE + 0.4, top + 0.4, 3.2, 1.65)
    for name, colour, words in (("plain", FAINT, "plain training"), ("dale", MODEL, "DALE")):
        history = done.histories[name]
        epochs, losses = [r["epoch"] for r in history], [r["loss"] for r in history]
        marker = "o" if len(history) < 3 else None  # of one epoch there is no line
        if history:
            ax.plot(epochs, losses, color=colour, linewidth=2.5, label=words, marker=marker)
    ax.set_xlabel("epoch\nDALE weighs its loss: the heights do not compare", fontsize=9.5)
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)


def _tables(page: Page, found: dict[str, Any], top: float) -> None:
    page.text(4.25, top, "Held-out cases against the reference", **TITLE)
    _table(page.axes(4.25, top + 0.35, 5.7, 2.2), agreement_rows(found, "held_out"), 0.46)
    page.text(10.2, top, "What was found in the labels", **TITLE)
    _table(page.axes(10.2, top + 0.35, 5.55, 2.2), label_rows(found)[1:], 0.66)


def _table(ax: Axes, rows: Rows, first: float) -> None:
    ax.axis("off")
    rest = (1 - first) / (len(rows[0]) - 1)
    height = min(1 / len(rows), 0.13)
    table = ax.table(
        rows,
        bbox=(0, 1 - height * len(rows), 1, height * len(rows)),
        cellLoc="left",
        colWidths=[first, *[rest] * (len(rows[0]) - 1)],
    )
    table.auto_set_font_size(False)
    table.set_fontsize(10.5)
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor("#cccccc")
        cell.visible_edges = "B"
        cell.PAD = 0.02
        if row == 0 and column and not rows[0][0]:
            cell.set_text_props(weight="bold")
