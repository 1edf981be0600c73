"""Named, coloured segments that may overlap, as arrays: whatever kind of file they come from.

They lie in layers on one grid. A segment is one label value in one layer; those that overlap lie in different layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.errors import EngineError
from ..core.notes import note
from ..geometry.grid import Geometry, onto_grid
from .checks import as_label

GREY = (0.5, 0.5, 0.5)


@dataclass
class Segment:
    """One segment: where it lies in the layers, and what it is called. colour: red, green, blue in [0, 1]."""

    id: str
    name: str
    colour: tuple[float, float, float] = GREY
    tags: dict[str, str] = field(default_factory=dict)
    layer: int = 0
    label_value: int = 1


@dataclass
class Segmentation:
    """Segments in the order of Slicer's list. layers: (L, k, j, i) whole numbers on `geometry`.

    attributes: the file's other `Segmentation_...` entries (without that prefix), kept as they are.
    """

    segments: list[Segment]
    layers: np.ndarray
    geometry: Geometry
    attributes: dict[str, str] = field(default_factory=dict)

    def mask(self, segment: Segment) -> np.ndarray:
        """(k, j, i) bool on the segmentation's own grid."""
        return self.layers[segment.layer] == segment.label_value

    def layers_on(self, geometry: Geometry, name: str = "", grid_name: str = "") -> np.ndarray | None:
        """The layers (L, k, j, i) on another grid of the same lattice; None on another lattice. name, grid_name: what
        the two are called, for errors and notes. Raises EngineError("segments-outside")."""
        layers = onto_grid(self.layers, self.geometry, geometry)
        if layers is not None:
            check_inside(int(np.count_nonzero(self.layers)), int(np.count_nonzero(layers)), name, grid_name)
        return layers


def from_masks(masks: Iterable[np.ndarray], segments: Sequence[Segment], geometry: Geometry) -> Segmentation:
    """Put (k, j, i) masks into as few layers as their overlaps allow; sets the segments' layer and value."""
    layers: list[np.ndarray] = []
    used: list[int] = []  # highest value in each layer, be its segment empty or not
    for mask, segment in zip(masks, segments, strict=True):
        inside = np.asarray(mask, bool)
        free = (n for n, layer in enumerate(layers) if used[n] < 255 and not layer[inside].any())
        segment.layer = next(free, len(layers))
        if segment.layer == len(layers):
            layers.append(np.zeros(geometry.array_shape, np.uint8))
            used.append(0)
        used[segment.layer] += 1
        segment.label_value = used[segment.layer]
        layers[segment.layer][inside] = segment.label_value
    stacked = np.stack(layers) if layers else np.zeros((1, *geometry.array_shape), np.uint8)
    return Segmentation(list(segments), stacked, geometry)


def to_label_map(
    segmentation: Segmentation,
    geometry: Geometry,
    values: Mapping[str, int] | None = None,
    name: str = "The segmentation",
    image_name: str = "the image",
) -> tuple[np.ndarray, dict[int, str], int]:
    """One label map on the image's grid: (label (k, j, i) as `as_label` has it, class names, voxels in several
    segments).

    Where segments overlap, the later one wins. Values are 1, 2, ... in the order of the segments, or
    `values[name]`. Raises EngineError("geometry-mismatch") where a resampling would be needed, ("segments-outside")
    where nothing lies on the image, and ("unknown-segment") for a name that `values` lacks, unless that segment is
    empty.
    """
    layers = segmentation.layers_on(geometry, name, image_name)
    if layers is None:
        raise EngineError(
            "geometry-mismatch",
            f"{name} and {image_name} do not lie on the same voxels; in Slicer, make {image_name} the source "
            "geometry of the segmentation and save it again.",
        )
    label = np.zeros(geometry.array_shape, np.int32)
    covered = np.zeros(geometry.array_shape, np.int16)
    class_names: dict[int, str] = {}
    for number, segment in enumerate(segmentation.segments, 1):
        inside = layers[segment.layer] == segment.label_value
        if values is not None and segment.name not in values:
            if not inside.any():
                continue
            raise EngineError(
                "unknown-segment",
                f"{name} has the segment {segment.name}, which is none of the classes {', '.join(values)}; "
                "rename or remove it.",
            )
        value = number if values is None else values[segment.name]
        label[inside] = value
        covered += inside
        class_names[value] = segment.name
    return as_label(label), class_names, int(np.count_nonzero(covered > 1))


def check_inside(labelled: int, inside: int, name: str, image_name: str) -> None:
    """Note what is lost outside the image. labelled, inside: voxels of one size. Raises
    EngineError("segments-outside")."""
    if labelled and not inside:
        raise EngineError(
            "segments-outside",
            f"All that is labelled in {name} lies outside {image_name}; choose the image that it was drawn on.",
        )
    if inside < labelled:
        note(
            f"{name}: {labelled - inside:,} of {labelled:,} labelled voxels lie outside {image_name} and are left over."
        )
