"""Labels that were drawn on other voxels than those of their image, in its frame of reference, on the image's grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.errors import EngineError
from ..core.notes import note
from ..geometry.grid import Geometry
from ..geometry.slice_stack import SliceStack
from .segments import Segment, check_inside


def onto_other_grid(
    segments: Sequence[Segment],
    layers: np.ndarray,
    slices: SliceStack,
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
    silent = [who for who, grid in ((name, slices.geometry), (image_name, geometry)) if not grid.frame_of_reference]
    if silent:
        said += f", placed by their positions alone, since {silent[-1]} does not say its frame of reference"
    said += f"; outside it and left over: voxels {', '.join(outside.values())}" if outside else "; none lies outside it"
    said += f"; too small to have a voxel: {', '.join(lost)}" if lost else ""
    note(f"{said}.")
    return out


def _size_of(slices: SliceStack) -> str:
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
