"""Doubtful regions in the scene: the ranked table, the marks, and the way to each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import slicer
import vtk

from ..engine.dale.issues import Region
from ..engine.geometry.distance import scaled_mm
from ..engine.geometry.grid import Geometry
from .i18n import tr as _
from .parsed_attributes import keepParsed, keptParsed, parsedAttribute
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
Note = tuple[str, str, str]
UNDECIDED: Note = (OPEN, "", "")
READERS_DISAGREE = _("Readers disagree")
"""How the note of a row begins that is listed because two readers decided otherwise."""

FRAME = 4.0  # field of view, as a multiple of the region's box
SMALLEST_FRAME_MM = 30.0
TICK, TICK_OPACITY = 1.5, 0.5  # per cent of the view: a pointer, not a lid on the boundary
MOST_TICKS = 200  # of the most doubtful regions; more would hide the image, and each costs time in every view

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


class _Regions:
    """Regions in the order of the list, and the place of each by its `regionIdentity`."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self.all = regions

    @cached_property
    def identities(self) -> list[tuple]:
        return [regionIdentity(region) for region in self.all]

    @cached_property
    def places(self) -> dict[tuple, int]:
        found: dict[tuple, int] = {}
        for n, identity in enumerate(self.identities):
            found.setdefault(identity, n)
        return found

    @staticmethod
    def read(text: str) -> _Regions | None:
        return _Regions([Region.from_dict(data) for data in json.loads(text)]) if text else None


NO_REGIONS = _Regions([])


@dataclass(frozen=True)
class PreparedList:
    """A list of regions as a table node keeps it. rows: in rank order; regions: in the rows, each can be decided about;
    columns: of the table; texts: {attribute: JSON}; notes: of each region, that nothing is decided."""

    rows: _Regions
    regions: _Regions
    columns: tuple[Any, ...]
    texts: dict[str, str]
    notes: dict[tuple, Note]

    @staticmethod
    def of(regions: Sequence[Region]) -> PreparedList:
        """Of rows in any order; on any thread."""
        rows = sorted(regions, key=lambda region: region.rank)
        pieces = [leaf for row in rows for leaf in row.leaves]
        columns = tuple(_column(name, kind, [value(one) for one in pieces]) for name, kind, value in COLUMNS)
        texts = {REGIONS: _asText(pieces), ROWS: _asText(rows)}
        columns += tuple(
            _column(name, vtk.vtkStringArray, [text] * len(pieces)) for name, text in zip(NOTES, UNDECIDED, strict=True)
        )
        listed = _Regions(pieces)
        return PreparedList(_Regions(rows), listed, columns, texts, dict.fromkeys(listed.places, UNDECIDED))


def updateRegionTable(regions: Sequence[Region] | PreparedList, tableNode: Any = None) -> Any:
    """Write the regions, one a row in rank order, into tableNode (default: the scene's review table).

    Of a row of the list that has pieces, those are written: each can be decided about. A region that was in the table
    before keeps its state, and who decided it when; a new one is "open".
    """
    node = tableNode or ensureNodeWithRole("vtkMRMLTableNode", TABLE, _("Doubtful regions"))
    made = regions if isinstance(regions, PreparedList) else PreparedList.of(regions)
    earlier = {identity: note for identity, note in regionNotes(node).items() if note != UNDECIDED}
    kept = {identity: note for identity, note in earlier.items() if identity in made.regions.places}
    modified = node.StartModify()
    node.RemoveAllColumns()
    for column in made.columns:
        node.AddColumn(column)
    for identity, note in kept.items():
        for name, text in zip(NOTES, note, strict=True):
            node.SetCellText(made.regions.places[identity], node.GetColumnIndex(name), text)
    for attribute, text in made.texts.items():
        node.SetAttribute(attribute, text)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    node.EndModify(modified)
    for attribute, listed in ((REGIONS, made.regions), (ROWS, made.rows)):
        keepParsed(node, attribute, listed)
    notes = {**made.notes, **kept}
    keepParsed(node, NOTES, _Decided.of(_stamp(node), notes))
    return node


def _column(name: str, arrayClass: type, values: Sequence[Any]) -> Any:
    column = arrayClass()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    return column


def _asText(regions: Sequence[Region]) -> str:
    """JSON, made region by region: other threads may run in between."""
    return f"[{', '.join(json.dumps(region.as_dict()) for region in regions)}]"


def _listed(tableNode: Any) -> _Regions:
    return parsedAttribute(tableNode, REGIONS, _Regions.read) or NO_REGIONS


def regionsFromTable(tableNode: Any) -> list[Region]:
    """The regions of the table, exact, in its row order."""
    return list(_listed(tableNode).all)


def rowsFromTable(tableNode: Any) -> list[Region]:
    """The rows of the list, with their pieces; in a scene of an earlier version each region is one."""
    rows = parsedAttribute(tableNode, ROWS, _Regions.read)
    return regionsFromTable(tableNode) if rows is None else list(rows.all)


def rowState(row: Region, states: Mapping[tuple, str]) -> str:
    """What was decided about a row: of pieces that were decided differently, or not all, "partly". states: see
    `regionStates`."""
    if not row.pieces:
        return states.get(regionIdentity(row), OPEN)
    found = {states.get(regionIdentity(leaf), OPEN) for leaf in row.leaves}
    return found.pop() if len(found) == 1 else PARTLY


def setListNotes(tableNode: Any, sentences: Sequence[str]) -> None:
    """Keep what the engine says about the list as a whole with the table."""
    tableNode.SetAttribute(LIST_NOTES, json.dumps(list(sentences)))


def listNotes(tableNode: Any) -> list[str]:
    """What the engine said about the list as a whole, in sentences."""
    return json.loads(tableNode.GetAttribute(LIST_NOTES) or "[]")


@dataclass(frozen=True)
class _Decided:
    """stamp: what is another one once the columns were changed."""

    stamp: tuple
    notes: dict[tuple, Note]
    states: dict[tuple, str]

    @staticmethod
    def of(stamp: tuple, notes: dict[tuple, Note]) -> _Decided:
        return _Decided(stamp, notes, {identity: note[0] for identity, note in notes.items()})


def regionStates(tableNode: Any) -> Mapping[tuple, str]:
    """The state of each region of the table, by `regionIdentity`; the same object while nothing was decided."""
    return _decided(tableNode).states


def setRegionState(tableNode: Any, region: Region, state: str, who: str = "", when: str = "") -> None:
    """Note what was decided about the region, by whom and when; state: a verdict of the review log."""
    before, identity = _decided(tableNode), regionIdentity(region)
    place = _listed(tableNode).places.get(identity)
    if place is None:
        raise ValueError(f"{identity} is not in the list")
    note = (state, who, when)
    for name, text in zip(NOTES, note, strict=True):
        tableNode.SetCellText(place, tableNode.GetColumnIndex(name), text)
    notes, states = {**before.notes, identity: note}, {**before.states, identity: state}
    keepParsed(tableNode, NOTES, _Decided(_stamp(tableNode), notes, states))


def regionNotes(tableNode: Any) -> Mapping[tuple, Note]:
    """State, who and when of each region of the table; a table of an earlier version has the state alone."""
    return _decided(tableNode).notes


def _decided(tableNode: Any) -> _Decided:
    """Read once, for the panel asks many times."""
    kept, stamp = keptParsed(tableNode, NOTES), _stamp(tableNode)
    if kept is not None and kept.stamp == stamp:
        return kept
    columns = [tableNode.GetTable().GetColumnByName(name) for name in NOTES]
    regions = regionsFromTable(tableNode) if columns[0] is not None else ()
    texts = [[column.GetValue(n) for n in range(len(regions))] if column else [""] * len(regions) for column in columns]
    notes = dict(zip(_listed(tableNode).identities, zip(*texts, strict=True), strict=True)) if regions else {}
    found = _Decided.of(stamp, notes)
    keepParsed(tableNode, NOTES, found)
    return found


def _stamp(tableNode: Any) -> tuple:
    table = tableNode.GetTable()
    columns = [table.GetColumnByName(name) for name in NOTES]
    return id(_listed(tableNode)), table.GetMTime(), *(c.GetMTime() for c in columns if c is not None)


def updateRegionMarkups(regions: Sequence[Region], markupsNode: Any = None) -> Any:
    """One locked point a region at its centre, in markupsNode (default: the scene's review marks): a faint tick in
    the slices, nothing in 3D, of the MOST_TICKS most doubtful. The region at hand has an outline and a frame instead,
    see `region_marks`."""
    with _samePlaceNode():
        node = markupsNode or ensureNodeWithRole("vtkMRMLMarkupsFiducialNode", MARKUPS, _("Doubtful regions"))
    modified = node.StartModify()
    node.RemoveAllControlPoints()
    for region in sorted(regions, key=lambda region: region.rank)[:MOST_TICKS]:
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
