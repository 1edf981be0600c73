"""RTSTRUCT: the contours of radiotherapy as segments on the grid of their image.

A voxel is inside where its centre lies within an odd number of a structure's contours, or on one of them, so that holes
are holes, be they contours of their own or keyholes; DICOM PS3.3, C.8.8.6. Copies of a contour count once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.notes import note, quiet
from ..geometry.grid import LPS_TO_RAS, Geometry
from ..geometry.slice_stack import SliceStack
from .checks import unreadable
from .dicom_kind import read_header
from .integrity import check_size
from .other_grid import onto_other_grid, tell_other_frame
from .segments import GREY, Segment, Segmentation, from_masks

_BETWEEN = 0.1
"""Slices that a contour may lie off its slice: positions are rounded in headers."""
_SAME = 0.05
"""mm between slices that are one."""
_PARALLEL = 0.999
"""The cosine of axes that are taken for parallel."""
_DIGITS = 4
"""Of a place in voxels: contours come from decimal numbers in mm."""
_WITHIN = 1
"""As `grid_points_in_poly` has it: 0 is outside, 2 a corner, 3 a side."""
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


@dataclass
class Contours(Segmentation):
    """Segments as closed contours. contours: for each segment (points, 3) LPS mm. series: UIDs of the series that they
    refer to. They have no grid of their own; that of `geometry` names their frame of reference."""

    contours: list[list[np.ndarray]] = field(default_factory=list)
    series: frozenset[str] = frozenset()

    def layers_on(self, geometry: Geometry, name: str = "", grid_name: str = "") -> np.ndarray | None:
        """Drawn on the grid. Those of other slices are drawn on these, and brought onto the grid by nearest neighbour,
        which is noted.

        Raises EngineError("contours-between-slices", "contours-outside", "segments-outside" or "geometry-mismatch").
        """
        if geometry.dims != 3:
            return None
        own = self._own_slices(geometry)
        if own is not None:
            check_size(Path(name), math.prod(own.size), math.prod(own.size), packed=True)
            layers = self._drawn(own, name, grid_name)
            slices = SliceStack(own, np.zeros((own.size[2], 2)))
            return onto_other_grid(self.segments, layers, slices, geometry, name, grid_name, "slices")
        layers = self._drawn(geometry, name, grid_name)
        tell_other_frame(self.geometry, geometry, name, grid_name)
        return layers

    def _own_slices(self, geometry: Geometry) -> Geometry | None:
        """The grid of the slices that they were drawn on, where these are evenly spaced and others than those of the
        grid; None where they are its own, or cannot be told."""
        contours = [points for each in self.contours for points in each]
        if not contours:
            return None
        index = np.linalg.inv(geometry.ijk_to_ras())
        axes = np.array(geometry.direction).reshape(3, 3)
        places = [_plane(_indices(points, index)) for points in contours]
        on_slices = all(np.isfinite(at) and abs(at - round(at)) <= _BETWEEN for _, at in places)
        elsewhere = bool(geometry.series and self.series) and geometry.series not in self.series
        if on_slices and not elsewhere:
            return None
        grid = _slices_of(contours, axes, geometry)
        usual = geometry.spacing[places[0][0]]
        if grid is None or (on_slices and grid.spacing[2] <= (1 + _BETWEEN) * usual):
            return None
        return replace(grid, frame_of_reference=self.geometry.frame_of_reference)

    def _drawn(self, geometry: Geometry, name: str, grid_name: str) -> np.ndarray:
        index = np.linalg.inv(geometry.ijk_to_ras())
        placed = [[_indices(points, index) for points in contours] for contours in self.contours]
        _check_places(placed, self.segments, geometry, name, grid_name)
        return from_masks(_masks(placed, geometry), self.segments, geometry).layers


def _slices_of(contours: Sequence[np.ndarray], axes: np.ndarray, near: Geometry) -> Geometry | None:
    """The grid of parallel, evenly spaced slices that the contours lie in; None where they lie in none.

    contours: (points, 3) LPS mm. axes: columns to choose the axes of the slices from, as far as they fit. near: with
    its voxels in the slices, and in their place where it has the same axes.
    """
    normal = _normal_of(contours, axes, min(near.spacing))
    if normal is None:
        return None
    depths = np.array([float((points @ normal).mean()) for points in contours])
    along = np.abs(normal @ axes)
    distance = _slice_distance(depths, near.spacing[int(along.argmax())] if along.max() > _PARALLEL else 0.0)
    if not distance:
        return None
    across = [n for n in np.argsort(along) if n != int(along.argmax())]
    row = axes[:, min(across)] - (axes[:, min(across)] @ normal) * normal
    row = row / np.linalg.norm(row)
    column = np.cross(normal, row)
    spacing = near.spacing[min(across)], near.spacing[max(across)]
    own = np.stack([row, column, normal], axis=1)
    points = np.concatenate(list(contours)) @ own - np.array(near.origin) @ own
    first = np.floor(points[:, :2].min(axis=0) / spacing) - 1
    last = np.ceil(points[:, :2].max(axis=0) / spacing) + 1
    origin = own @ [*(first * spacing), 0] + np.array(near.origin)
    origin = origin + (depths.min() - origin @ normal) * normal
    return Geometry(
        (*(int(n) + 1 for n in last - first), round(float(np.ptp(depths)) / distance) + 1),
        (*spacing, distance),
        tuple(float(x) for x in origin),
        tuple(float(x) for x in own.ravel()),
    )


def _slice_distance(depths: np.ndarray, default: float) -> float:
    """mm between the slices of all contours; default: of a single one. 0 where they are not evenly spaced."""
    gaps = np.diff(np.unique(np.round(depths, 2)))
    gaps = gaps[gaps > _SAME]
    if not len(gaps):
        return default
    distance = float(np.ptp(depths)) / round(float(np.ptp(depths) / gaps.min()))
    steps = (depths - depths.min()) / distance
    return distance if np.abs(steps - np.rint(steps)).max() <= _BETWEEN else 0.0


def _normal_of(contours: Sequence[np.ndarray], axes: np.ndarray, spacing: float) -> np.ndarray | None:
    """The unit vector at right angles to all contours: one of the axes, the last first, or that of the widest contour;
    None where there is none."""
    widest = max(contours, key=lambda points: float(np.ptp(points, axis=0).max()))
    found = np.linalg.svd(widest - widest.mean(axis=0), full_matrices=False)[2]
    for normal in (*axes.T[::-1], *found[-1:]):
        if all(np.ptp(points @ normal) <= _BETWEEN * spacing for points in contours):
            return np.asarray(normal)
    return None


@quiet()
def read_rtstruct(path: Path) -> Contours:
    """The structures with their names, in the file's order; those without contours, too. Points and open lines are left
    over.

    Raises EngineError("unreadable-file" or "segmentation-header").
    """
    header = read_header(path, force=True)
    try:
        names = {
            int(item.ROINumber): str(item.get("ROIName") or f"structure {item.ROINumber}")
            for item in header.get("StructureSetROISequence") or ()
        }
        drawn = {int(item.ReferencedROINumber): item for item in header.get("ROIContourSequence") or ()}
        names |= {number: f"structure {number}" for number in drawn if number not in names}
        found = [(number, name, drawn.get(number)) for number, name in names.items()]
        contours = [_closed(path, name, item) for _, name, item in found]
        segments = [Segment(f"ROI_{number}", _own_name(names, number), _colour(item)) for number, _, item in found]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise unreadable(path, "its header makes no sense") from error
    if not segments:
        raise EngineError("segmentation-header", f"{path.name} is an RTSTRUCT without structures; export it again.")
    uids = _referenced(header)
    frame = uids["FrameOfReferenceUID"]
    nowhere = Geometry(
        (1, 1, 1),
        (1.0,) * 3,
        (0.0,) * 3,
        (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        frame_of_reference=min(frame) if len(frame) == 1 else "",
    )
    layers = np.zeros((1, 1, 1, 1), np.uint8)
    return Contours(segments, layers, nowhere, {}, contours, frozenset(uids["SeriesInstanceUID"]))


def _referenced(header: Any) -> dict[str, set[str]]:
    """The frames of reference and the series that the contours refer to."""
    found: dict[str, set[str]] = {"FrameOfReferenceUID": set(), "SeriesInstanceUID": set()}
    for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
        for element in frame.iterall():
            if element.keyword in found and element.value:
                found[element.keyword].add(str(element.value))
    for item in header.get("StructureSetROISequence") or ():
        if item.get("ReferencedFrameOfReferenceUID"):
            found["FrameOfReferenceUID"].add(str(item.ReferencedFrameOfReferenceUID))
    return found


def _own_name(names: dict[int, str], number: int) -> str:
    earlier = [other for other, name in names.items() if name == names[number]]
    return names[number] if earlier[0] == number else f"{names[number]} {number}"


def _closed(path: Path, name: str, item: Any) -> list[np.ndarray]:
    contours: list[np.ndarray] = []
    others = copies = 0
    for contour in (item.get("ContourSequence") or ()) if item is not None else ():
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        if contour.get("ContourGeometricType", "CLOSED_PLANAR") in _CLOSED and len(points) > 2:
            known = any(np.array_equal(points, other) for other in contours if len(other) == len(points))
            copies += known
            contours += [] if known else [points]
        else:
            others += 1
    if copies:
        note(f"{path.name}: {copies} contours of {name} are there twice; they count once.")
    if others:
        note(f"{path.name}: {others} points or open lines of {name} are left over; they enclose nothing.")
    return contours


def _colour(item: Any) -> tuple[float, float, float]:
    values = item.get("ROIDisplayColor") if item is not None else None
    if values is None or len(values) != 3:
        return GREY
    return int(values[0]) / 255, int(values[1]) / 255, int(values[2]) / 255


def _indices(points: np.ndarray, index: np.ndarray) -> np.ndarray:
    """(points, 3): i, j, k, with fractions."""
    ras = points @ LPS_TO_RAS.T
    return ras @ index[:3, :3].T + index[:3, 3]


def _plane(points: np.ndarray) -> tuple[int, float]:
    """The axis along which a contour does not move most, and where on it. Slices (k) come first."""
    spread = np.ptp(points, axis=0)
    axis = 2 if spread[2] <= 2 * _BETWEEN else int(spread.argmin())
    return axis, float(points[:, axis].mean()) if spread[axis] <= 2 * _BETWEEN else np.nan


def _check_places(
    placed: list[list[np.ndarray]], segments: list[Segment], geometry: Geometry, name: str, grid_name: str
) -> None:
    outside = total = 0
    for contours, segment in zip(placed, segments, strict=True):
        places = [_plane(points) for points in contours]
        between = sum(not abs(at - round(at)) <= _BETWEEN if np.isfinite(at) else True for _, at in places)
        if between:
            raise EngineError(
                "contours-between-slices",
                f"{between} of the {len(places)} contours of {segment.name} in {name} do not lie in the slices of "
                f"{grid_name}; choose the image that they were drawn on.",
            )
        outside += sum(not 0 <= round(at) < geometry.size[axis] for axis, at in places)
        total += len(places)
        _tell_gaps(places, segment.name, name)
    if total and outside == total:
        raise EngineError(
            "contours-outside",
            f"All contours of {name} lie outside {grid_name}; choose the image that they were drawn on.",
        )
    if outside:
        note(f"{name}: {outside} of {total} contours lie outside {grid_name} and are left over.")


def _tell_gaps(places: list[tuple[int, float]], segment: str, name: str) -> None:
    slices = sorted({round(at) for _, at in places})
    gaps = np.diff(slices)
    if len(gaps) > 1 and np.median(gaps) > 1:
        every = int(np.median(gaps))
        note(f"{name}: {segment} is drawn on one of {every} slices alone; between them nothing is labelled.")


def _masks(placed: list[list[np.ndarray]], geometry: Geometry) -> Iterator[np.ndarray]:
    """(k, j, i) of each segment."""
    for contours in placed:
        mask, outline = (np.zeros(geometry.array_shape, bool) for _ in range(2))
        for points in contours:
            axis, at = _plane(points)
            if not 0 <= round(at) < geometry.size[axis]:
                continue
            plane, edge = (np.moveaxis(array, 2 - axis, 0)[round(at)] for array in (mask, outline))
            across, down = [n for n in range(3) if n != axis]  # array axes run the other way round
            _fill(points[:, [down, across]], plane, edge)
        yield mask | outline


def _fill(points: np.ndarray, plane: np.ndarray, edge: np.ndarray) -> None:
    """Turn over the pixels of `plane` that lie within a contour, and set those of `edge` that lie on it: programs that
    draw contours through the centres of a mask's outermost pixels mean these to be inside, also round holes."""
    from skimage.measure import grid_points_in_poly

    points = np.round(points, _DIGITS)
    first = np.clip(np.floor(points.min(axis=0)).astype(int), 0, plane.shape)
    last = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, first, plane.shape)
    box = tuple(slice(start, stop) for start, stop in zip(first, last, strict=True))
    if plane[box].size:
        where = grid_points_in_poly(plane[box].shape, points - first, binarize=False)
        plane[box] ^= where == _WITHIN
        edge[box] |= where > _WITHIN
