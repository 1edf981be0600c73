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
from ..geometry.stack import Stack
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


def onto_other_grid(
    segments: Sequence[Segment],
    layers: np.ndarray,
    slices: Stack,
    geometry: Geometry,
    name: str,
    image_name: str,
    words: str = "voxels",
) -> np.ndarray:
    """Layers (L, slices, rows, columns) on the image's grid, by nearest neighbour; noted, with what lies outside.
    words: what is said to be other than the image's.

    Raises EngineError("geometry-mismatch") in another frame of reference, ("segments-outside") where nothing overlaps.
    """
    if other_frame(slices.geometry, geometry):
        raise EngineError(
            "geometry-mismatch",
            f"{name} was drawn on other {words} than those of {image_name} and in another frame of reference, so "
            "nothing says where it lies there; choose the image that it was drawn on, or register the two first.",
        )
    out = slices.nearest_on(layers, geometry)
    outside, lost, labelled = {}, [], 0
    for segment in segments:
        inside = layers[segment.layer] == segment.label_value
        voxels = int(np.count_nonzero(inside))
        beyond = slices.outside(inside, geometry)
        labelled += voxels - beyond
        if beyond:
            outside[segment.name] = f"{beyond:,} of {voxels:,} of {segment.name}"
        elif voxels and not (out[segment.layer] == segment.label_value).any():
            lost.append(segment.name)
    if outside and not labelled:
        check_inside(1, 0, name, image_name)
    said = f"{name} was drawn on other {words} ({_size_of(slices)}; {image_name} has the label of the nearest of them"
    if not (slices.geometry.frame_of_reference and geometry.frame_of_reference):
        said += f", placed by their positions alone, since {image_name} does not say its frame of reference"
    said += f"; outside it and left over: voxels {', '.join(outside.values())}" if outside else "; none lies outside it"
    note(f"{said}{f'; too small to have a voxel: {chr(44).join(lost)}' if lost else ''}.")
    return out


def _size_of(slices: Stack) -> str:
    size, spacing = ("×".join(f"{v:.4g}" for v in values) for values in (slices.geometry.size, slices.geometry.spacing))
    tilted = " that are shifted against each other slice by slice" if np.abs(slices.shifts).max() > 0.01 else ""
    return f"{size} of {spacing} mm){tilted}"


def other_frame(one: Geometry, other: Geometry) -> bool:
    """Whether both say their frame of reference, and not the same."""
    uids = {one.frame_of_reference, other.frame_of_reference} - {""}
    return len(uids) > 1


def tell_other_frame(own: Geometry, geometry: Geometry, name: str, image_name: str) -> None:
    """Note where a label lies on the image's voxels, but says another frame of reference."""
    if other_frame(own, geometry):
        note(f"{name} lies on the voxels of {image_name}, but names another frame of reference; check that they match.")
