"""Doubtful regions in the scene: the ranked table, the marks, and the way to each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import slicer
import vtk

from ..engine.dale.issues import Region
from ..engine.geometry.distance import scaled_mm
from ..engine.geometry.grid import Geometry
from .i18n import tr as _
from .scene import ROLE, currentScene, ensureNodeWithRole, freeName
from .views import centreSliceViews
from .volumes import geometryFromVolume

TABLE = "regionTable"
MARKUPS = "regionMarkups"
REGIONS = "DALESegment.Regions"
ROWS = "DALESegment.Rows"
LIST_NOTES = "DALESegment.ListNotes"
STATE_COLUMN, WHO_COLUMN, WHEN_COLUMN = NOTES = ("state", "who", "when")
OPEN, PARTLY = "open", "partly"
READERS_DISAGREE = _("Readers disagree")
"""How the note of a row begins that is listed because two readers decided otherwise."""

FRAME = 4.0  # field of view, as a multiple of the region's box
SMALLEST_FRAME_MM = 30.0
TICK, TICK_OPACITY = 1.5, 0.5  # per cent of the view: a pointer, not a lid on the boundary

# Column name, VTK array class, value. The table shows rounded values; the node's attribute holds the exact regions.
COLUMNS = (
    ("rank", vtk.vtkIntArray, lambda r: r.rank),
    ("case", vtk.vtkStringArray, lambda r: r.case),
    ("segment", vtk.vtkStringArray, lambda r: r.class_name),
    ("suspicion", vtk.vtkStringArray, lambda r: r.suspicion),
    (
        "size mm³",
        vtk.vtkDoubleArray,
        lambda r: round(r.size_mm3, 1) if r.size_mm3 >= 0.1 else float(f"{r.size_mm3:.2g}"),
    ),
    ("mean confidence", vtk.vtkDoubleArray, lambda r: round(r.mean_confidence, 3)),
    ("lowest confidence", vtk.vtkDoubleArray, lambda r: round(r.lowest_confidence, 3)),
    ("R", vtk.vtkDoubleArray, lambda r: round(r.centre_ras[0], 1)),
    ("A", vtk.vtkDoubleArray, lambda r: round(r.centre_ras[1], 1)),
    ("S", vtk.vtkDoubleArray, lambda r: round(r.centre_ras[2], 1)),
)


def regionIdentity(region: Region) -> tuple:
    """What makes a region the same one after the list is made anew: its place, class and suspicion.

    Not its rank or ID: both are counted afresh each time, and a decision must never slip to a neighbour.
    """
    return region.case, region.label_value, region.suspicion, tuple(region.centre_voxel)


def regionTables() -> list[Any]:
    """All region tables of the scene: one for each image and segmentation that was reviewed."""
    nodes = slicer.util.getNodesByClass("vtkMRMLTableNode", currentScene())
    return [node for node in nodes if node.GetAttribute(ROLE) == TABLE]


def addRegionTable() -> Any:
    """A new, empty table beside those that are there."""
    scene = currentScene()
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", freeName(_("Doubtful regions")))
    node.SetAttribute(ROLE, TABLE)
    return node


def updateRegionTable(regions: Sequence[Region], tableNode: Any = None) -> Any:
    """Write the regions, one a row in rank order, into tableNode (default: the scene's review table).

    Of a row of the list that has pieces, those are written: each can be decided about. A region that was in the table
    before keeps its state, and who decided it when; a new one is "open".
    """
    node = tableNode or ensureNodeWithRole("vtkMRMLTableNode", TABLE, _("Doubtful regions"))
    notes = regionNotes(node)
    rows = sorted(regions, key=lambda region: region.rank)
    ordered = [leaf for row in rows for leaf in row.leaves]
    modified = node.StartModify()
    node.RemoveAllColumns()
    for name, arrayClass, value in COLUMNS:
        _addColumn(node, name, arrayClass, [value(region) for region in ordered])
    for place, name in enumerate(NOTES):
        kept = [notes.get(regionIdentity(region), (OPEN, "", ""))[place] for region in ordered]
        _addColumn(node, name, vtk.vtkStringArray, kept)
    node.SetAttribute(REGIONS, json.dumps([region.as_dict() for region in ordered]))
    node.SetAttribute(ROWS, json.dumps([region.as_dict() for region in rows]))
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    node.EndModify(modified)
    return node


def _addColumn(node: Any, name: str, arrayClass: type, values: list) -> None:
    column = arrayClass()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    node.AddColumn(column)


def regionsFromTable(tableNode: Any) -> list[Region]:
    """The regions of the table, exact, in its row order."""
    return list(_regionsIn(tableNode.GetAttribute(REGIONS) or "[]"))


def rowsFromTable(tableNode: Any) -> list[Region]:
    """The rows of the list, with their pieces; in a scene of an earlier version each region is one."""
    return list(_regionsIn(tableNode.GetAttribute(ROWS) or tableNode.GetAttribute(REGIONS) or "[]"))


def rowState(row: Region, states: dict[tuple, str]) -> str:
    """What was decided about a row: of pieces that were decided differently, or not all, "partly". states: see
    `regionStates`."""
    found = {states.get(regionIdentity(leaf), OPEN) for leaf in row.leaves}
    return found.pop() if len(found) == 1 else PARTLY


@lru_cache(maxsize=16)
def _regionsIn(text: str) -> tuple[Region, ...]:
    """Read once: the panel asks many times for the same list."""
    return tuple(Region.from_dict(data) for data in json.loads(text))


def setListNotes(tableNode: Any, sentences: Sequence[str]) -> None:
    """Keep what the engine says about the list as a whole with the table."""
    tableNode.SetAttribute(LIST_NOTES, json.dumps(list(sentences)))


def listNotes(tableNode: Any) -> list[str]:
    """What the engine said about the list as a whole, in sentences."""
    return json.loads(tableNode.GetAttribute(LIST_NOTES) or "[]")


def regionStates(tableNode: Any) -> dict[tuple, str]:
    """The state of each region of the table, by `regionIdentity`."""
    return {identity: state for identity, (state, _who, _when) in regionNotes(tableNode).items()}


def setRegionState(tableNode: Any, region: Region, state: str, who: str = "", when: str = "") -> None:
    """Note what was decided about the region, by whom and when; state: a verdict of the review log."""
    rows = [regionIdentity(other) for other in regionsFromTable(tableNode)]
    for name, text in zip(NOTES, (state, who, when), strict=True):
        tableNode.SetCellText(rows.index(regionIdentity(region)), tableNode.GetColumnIndex(name), text)


def regionNotes(tableNode: Any) -> dict[tuple, tuple[str, str, str]]:
    """State, who and when of each region of the table; a table of an earlier version has the state alone."""
    columns = [tableNode.GetTable().GetColumnByName(name) for name in NOTES]
    regions = regionsFromTable(tableNode) if columns[0] is not None else []
    return {
        regionIdentity(region): tuple(column.GetValue(row) if column else "" for column in columns)
        for row, region in enumerate(regions)
    }


def updateRegionMarkups(regions: Sequence[Region], markupsNode: Any = None) -> Any:
    """One locked point a region at its centre, in markupsNode (default: the scene's review marks): a faint tick in
    the slices, nothing in 3D. The region at hand has an outline and a frame instead, see `region_marks`."""
    with _samePlaceNode():
        node = markupsNode or ensureNodeWithRole("vtkMRMLMarkupsFiducialNode", MARKUPS, _("Doubtful regions"))
    modified = node.StartModify()
    node.RemoveAllControlPoints()
    for region in sorted(regions, key=lambda region: region.rank):
        place = node.AddControlPointWorld(vtk.vtkVector3d(*region.centre_ras), str(region.rank))
        node.SetNthControlPointDescription(place, f"{region.class_name}: {region.suspicion}")
    node.SetLocked(True)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetGlyphTypeFromString("Cross2D")
    display.SetGlyphScale(TICK)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetSelectedColor(1.0, 1.0, 1.0)  # legible on the image and on the heat map
    display.SetOpacity(TICK_OPACITY)
    display.SetVisibility3D(False)
    node.EndModify(modified)
    return node


def showTicks(markupsNode: Any, shown: bool, in3D: bool = False, atHand: Region | None = None) -> None:
    """Whether the regions have ticks in the slices, and in 3D too; the one at hand has none."""
    markupsNode.SetDisplayVisibility(shown)
    markupsNode.GetDisplayNode().SetVisibility3D(in3D)
    for place in range(markupsNode.GetNumberOfControlPoints()):
        visible = atHand is None or markupsNode.GetNthControlPointLabel(place) != str(atHand.rank)
        if markupsNode.GetNthControlPointVisibility(place) != visible:
            markupsNode.SetNthControlPointVisibility(place, visible)


@contextmanager
def _samePlaceNode() -> Iterator[None]:
    """Slicer takes every new markups node for the one that the next click adds a point to; this undoes that."""
    selection = currentScene().GetFirstNodeByClass("vtkMRMLSelectionNode")
    before = selection and (selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID())
    yield
    if selection:
        selection.SetReferenceActivePlaceNodeClassName(before[0])
        selection.SetReferenceActivePlaceNodeID(before[1])


def jumpToRegion(region: Region, geometry: Geometry | None = None) -> None:
    """Centre every slice view on the region and frame it.

    geometry: the grid of the region's case, which turns its box into millimetres (default: the volume in the
    background of the views).
    """
    centreSliceViews(region.centre_ras, frameMm(region, geometry or _backgroundGeometry()))


def frameMm(region: Region, geometry: Geometry | None) -> float:
    """What a view spans that frames the region: four times its box, at least 30 mm (`scaled_mm`)."""
    least = SMALLEST_FRAME_MM if geometry is None else scaled_mm(SMALLEST_FRAME_MM, geometry.spacing)
    return max(least, FRAME * float(max(_boxMm(region, geometry))))


def _boxMm(region: Region, geometry: Geometry | None) -> np.ndarray:
    if geometry is None:
        return np.array([np.cbrt(region.size_mm3)])
    voxels = np.subtract(region.last_voxel, region.first_voxel) + 1
    return voxels * np.array(geometry.spacing[: len(voxels)])


def _backgroundGeometry() -> Geometry | None:
    scene = currentScene()
    for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene):
        volume = scene.GetNodeByID(view.GetBackgroundVolumeID() or "")
        if volume is not None and volume.GetImageData() is not None:
            return geometryFromVolume(volume)
    return None
