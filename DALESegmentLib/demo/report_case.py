"""One training case with all its maps, and how they are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ..engine.dale.issues import Region
from .data import DemoData
from .planes import AxialPlane
from .simulated_review import load, read_map

# Told apart with any colour vision, and on a grey print by their lightness. Each is one thing in every picture.
GIVEN, REFERENCE, MODEL, REGION = "#FFB000", "#4FC3F7", "#00D18B", "#E0218A"
# The heat map's colours in Slicer: magenta for doubtful, over orange to pale yellow.
HEAT = LinearSegmentedColormap.from_list(
    "confidence",
    [(0.0, (0.75, 0.0, 0.55)), (0.4, (0.93, 0.26, 0.30)), (0.7, (0.98, 0.58, 0.15)), (1.0, (1.0, 0.95, 0.55))],
)
SURE = 0.9  # confidence from which nothing is drawn


def draw_colour_bar(figure: Figure, place: tuple[float, float, float, float]) -> Axes:
    """From 0 to 1; what is not drawn, since the label can be trusted, is left open. place: as shares of the figure."""
    ax = figure.add_axes(place)
    ramp = np.linspace(0, SURE, 200)[:, None]
    ax.imshow(ramp, cmap=HEAT, vmin=0, vmax=1, alpha=0.75, extent=(0, 1, 0, SURE), aspect="auto", origin="lower")
    ax.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[0, 0.25, 0.5, 0.75, 1.0])
    ax.yaxis.tick_right()
    ax.tick_params(labelsize=9)
    return ax


class ReportCase:
    """All arrays (*grid), but image, which is (*grid) or (*grid, 3)."""

    def __init__(self, data: DemoData, out: Path, name: str) -> None:
        case, self.reference = load(data.items([name])[0])
        self.name, self.geometry = name, case.geometry
        self.channels, self.label = case.image, np.asarray(case.label)
        self.confidence = read_map(out / "review" / name / ("confidence" + data.extension))
        self.regions = read_map(out / "review" / name / ("regions" + data.extension)).astype(int)
        segmentation = out / "segmentations" / "dale" / name / ("segmentation" + data.extension)
        self.prediction = read_map(segmentation).astype(int)

    def mask(self, region: Region) -> np.ndarray:
        return np.isin(self.regions, [piece.region_id for piece in region.leaves])

    def plane(self, region: Region) -> AxialPlane:
        return AxialPlane.through(self.geometry, self.mask(region))

    def draw_image(self, ax: Axes, plane: AxialPlane) -> None:
        ax.imshow(self._shown(plane), cmap="gray", vmin=0, vmax=1, extent=plane.extent, interpolation="bilinear")
        ax.set(xticks=[], yticks=[], facecolor="black")
        ax.spines[:].set_visible(False)

    def draw_outline(self, ax: Axes, plane: AxialPlane, label: np.ndarray, colour: str, width: float = 1.8) -> None:
        """The outline of every class, with a thin dark edge that keeps it legible on bright images."""
        cut = np.pad(plane.cut(label), 1)  # so that outlines close at the edge of the image
        x, y = (np.array([c[0] - (c[1] - c[0]), *c, c[-1] + (c[1] - c[0])]) for c in plane.centres())
        for value in np.unique(cut[cut > 0]):
            lines = ax.contour(x, y, cut == value, [0.5], colors=colour, linewidths=width)
            lines.set_path_effects([withStroke(linewidth=width + 1.2, foreground="black", alpha=0.7)])
        ax.set(xlim=(0, plane.width), ylim=(plane.height, 0))

    def draw_heat(self, ax: Axes, plane: AxialPlane) -> object:
        confidence = plane.cut(self.confidence)
        shown = np.ma.masked_where(confidence >= SURE, confidence)
        return ax.imshow(shown, cmap=HEAT, vmin=0, vmax=1, alpha=0.75, extent=plane.extent, interpolation="nearest")

    def draw_region(self, ax: Axes, plane: AxialPlane, region: Region) -> None:
        cut = plane.cut(self.mask(region))
        shade = LinearSegmentedColormap.from_list("region", [REGION, REGION])
        ax.imshow(np.ma.masked_where(~cut, cut), cmap=shade, alpha=0.45, extent=plane.extent, interpolation="nearest")

    def _shown(self, plane: AxialPlane) -> np.ndarray:
        """(rows, columns) or (rows, columns, 3) in [0, 1]."""
        channels = self.channels if len(self.channels) == 3 and self.geometry.dims == 2 else self.channels[:1]
        low, high = np.percentile(channels, (0.5, 99.5))
        cuts = [(plane.cut(channel) - low) / max(high - low, 1e-6) for channel in channels]
        return np.clip(np.stack(cuts, axis=-1) if len(cuts) == 3 else cuts[0], 0, 1)
