"""Corrections: the Segment Editor is opened on one region, and what changed there counts when it is left; or an outline
that was suggested is written into the segments, at one key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.dale.issues import Region
from ..engine.geometry.grid import Geometry
from ..mrml import correction as editing
from ..mrml.labelmap_snapshot import LabelmapSnapshot
from ..mrml.regions import regionIdentity
from ..mrml.segmentations import segmentIdOf, updateSegmentsWithin
from ..mrml.volumes import geometryFromVolume
from .workflow import Workflow

MARGIN_MM = 5.0  # around the region, where editing is allowed
TOO_MUCH = ("too large", "extra")


@dataclass(frozen=True)
class LabelPart:
    """A label in a box (slices of (k, j, i)); value: of the class in question."""

    box: tuple[slice, ...]
    label: np.ndarray
    value: int

    @property
    def first(self) -> tuple[int, ...]:
        """(i, j, k) where the box begins."""
        return tuple(part.start for part in reversed(self.box))


@dataclass
class _Open:
    region: Region
    kept: editing.OpenCorrection
    drawn: LabelmapSnapshot


class Correction:
    """At most one is open. What was drawn can be taken back for as long as the module lives."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._open: _Open | None = None
        self._drawn: list[tuple[tuple, editing.OpenCorrection, LabelmapSnapshot]] = []
        self._waiting: Region | None = None  # to be learned from once the step that runs is over

    @property
    def isOpen(self) -> bool:
        return self._open is not None

    def open(self, region: Region) -> None:
        """Take the reader to the Segment Editor, on the region's segment."""
        workflow = self._workflow
        drawn = workflow.session.segmentationSnapshot()
        geometry = geometryFromVolume(workflow.state.image)
        segmentId = segmentIdOf(workflow.state.segmentation, region.label_value, region.class_name)
        regionMap = workflow.review.regionMapView()
        place, part = editableVoxels(region, regionMap, geometry)
        kept = editing.openCorrection(workflow.state.image, workflow.state.segmentation, segmentId, place, part)
        self._open = _Open(region, kept, drawn)
        slicer.util.selectModule("SegmentEditor")
        self._setUpEditor(region, segmentId)

    def _setUpEditor(self, region: Region, segmentId: str) -> None:
        """The editor's own widget, which takes the nodes when its panel is shown."""
        state = self._workflow.state
        editor = segmentEditor()
        if editor is None:
            return
        editor.setSegmentationNode(state.segmentation)
        editor.setSourceVolumeNode(state.image)
        if segmentId:
            editor.setCurrentSegmentID(segmentId)
            editor.setActiveEffectByName("Erase" if region.suspicion in TOO_MUCH else "Paint")
        else:
            self._workflow.onMessage(
                _("No segment is called “{name}” any more; choose the one to correct in the Segment Editor.").format(
                    name=region.class_name
                )
            )

    def leave(self) -> None:
        """The reader is back: what changed becomes trusted, and is learned from at once where that is wanted."""
        if self._open is None:
            return
        one, self._open = self._open, None
        editing.endCorrection(one.kept)
        workflow = self._workflow
        if workflow.session is None or workflow.state.segmentation is None:
            return
        drawn = workflow.session.segmentationSnapshot()
        changed = drawn.changedVoxels(one.drawn)
        if not changed:
            workflow.onMessage(_("Nothing was changed in region {rank}.").format(rank=one.region.rank))
            return
        try:
            workflow.review.decide(one.region, "corrected")
        except EngineError:  # for instance, the disk is full: the next return to the module tries again
            self._open = one
            raise
        self._drawn.append((regionIdentity(one.region), one.kept, drawn))
        workflow.onMessage(
            _("Region {rank}: {count} voxels were changed; they count as right from now on.").format(
                rank=one.region.rank, count=changed
            )
        )
        self._waiting = one.region
        workflow.onChanged()  # which learns

    def draw(self, region: Region | None, found: LabelPart, decision: str = "corrected") -> int:
        """Write what the reader took, after the segments' state was saved for the editor's undo, and decide about the
        region, where there is one, that it was "accepted" or "corrected"; how many voxels changed. Where none would,
        nothing is decided. Without a region the editor's undo takes it back. Raises EngineError as `Review.decide`, and
        nothing is drawn then."""
        workflow, segmentation = self._workflow, self._workflow.state.segmentation
        workflow.review.reading.checkOpen()
        drawn = workflow.session.segmentationSnapshot()
        was, label = drawn.within(found.box), found.label
        changed = int((was != label).sum())
        if not changed:
            return 0
        kept = editing.keptSegments(workflow.state.image, segmentation)
        saveEditorState(segmentation)
        ids = {v: drawn.segmentIds[v - 1] for v in drawn.classNames if ((label == v) != (was == v)).any()}
        updateSegmentsWithin(segmentation, was, label, found.first, geometryFromVolume(workflow.state.image), ids)
        if region is None:
            return changed
        try:
            workflow.review.decide(region, decision)
        except EngineError:
            editing.undoCorrection(kept)
            raise
        self._drawn.append((regionIdentity(region), kept, workflow.session.segmentationSnapshot()))
        self._waiting = region
        return changed

    def learn(self) -> bool:
        """From a correction that was left, where that is wanted, as soon as nothing else runs; whether it has begun.
        Raises EngineError as `Workflow.refresh`."""
        workflow, region = self._workflow, self._waiting
        if region is None or workflow.busy:
            return False
        self._waiting = None
        if workflow.state.refreshAtOnce and workflow.state.model:
            workflow.refresh(region)
        return workflow.busy

    def undo(self, region: Region) -> None:
        """Take back what was drawn for a region whose correction was just undone."""
        if not self._drawn or self._drawn[-1][0] != regionIdentity(region):
            return
        if self._waiting is not None and regionIdentity(self._waiting) == regionIdentity(region):
            self._waiting = None
        _identity, kept, after = self._drawn.pop()
        try:
            now = self._workflow.session.segmentationSnapshot()
        except EngineError:
            return
        if now.changedVoxels(after) == 0 and editing.undoCorrection(kept):
            self._workflow.onMessage(_("The correction of region {rank} was taken back.").format(rank=region.rank))
        else:
            self._workflow.onMessage(
                _("The segmentation was changed since, so what was drawn in region {rank} stays.").format(
                    rank=region.rank
                )
            )

    def tidy(self) -> None:
        """Remove what a scene brought along that was saved during a correction."""
        if self._open is None:
            for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
                editing.closeUnusedFiles(node)

    def drop(self) -> None:
        """The scene goes: nothing of it is kept."""
        self._open, self._drawn, self._waiting = None, [], None


def editableVoxels(region: Region, regionMap: np.ndarray | None, geometry: Geometry) -> tuple[np.ndarray, Geometry]:
    """(k, j, i) bool in a part of the image, and that part's grid: the region and a margin; its box and the margin
    where the region map does not fit the image."""
    from ..engine.geometry.distance import grow_mm, margin_voxels  # brings scipy

    margins = margin_voxels(MARGIN_MM, geometry.array_spacing)
    corners = list(zip(reversed(region.first_voxel), reversed(region.last_voxel), strict=True))
    corners = [(0, 0)] * (3 - len(corners)) + corners
    sides = zip(corners, margins, geometry.array_shape, strict=True)
    box = tuple(slice(max(a - m, 0), min(b + m + 1, n)) for (a, b), m, n in sides)
    place = np.zeros([part.stop - part.start for part in box], bool)
    if regionMap is not None and regionMap.shape == geometry.array_shape:
        place = regionPlace(region, regionMap[box])
    if not place.any():
        place[tuple(slice(a - s.start, b + 1 - s.start) for (a, b), s in zip(corners, box, strict=True))] = True
    ends = tuple(part.start for part in reversed(box)), tuple(part.stop - 1 for part in reversed(box))
    return grow_mm(place, geometry.array_spacing, MARGIN_MM), geometry.part(*ends)


def regionPlace(region: Region, regionMap: np.ndarray) -> np.ndarray:
    """(k, j, i) bool: the voxels of a row, or of a piece."""
    return np.isin(regionMap, [leaf.region_id for leaf in region.leaves])


def segmentEditor() -> Any:
    """The Segment Editor's widget; None before that module was opened for the first time."""
    return getattr(getattr(slicer.modules, "SegmentEditorWidget", None), "editor", None)


def saveEditorState(segmentation: Any) -> None:
    """So that the Segment Editor's own undo takes back what is written next."""
    editor = segmentEditor()
    if editor is not None:
        editor.setSegmentationNode(segmentation)
        editor.saveStateForUndo()
