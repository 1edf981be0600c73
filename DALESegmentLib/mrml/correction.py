"""The Segment Editor made ready to correct one region, and put back as it was.

While a correction is open, the segmentation holds one passing segment: the region with a margin, hidden, to
which the editor's masking is limited; the views show its outline. It is marked by a tag, is no part of any
label, and goes when the correction ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from ..engine.geometry.distance import bounding_box
from ..engine.geometry.grid import Geometry
from .i18n import tr as _
from .labelmap_snapshot import LabelmapSnapshot, labelmapName
from .region_marks import markEditableArea, unmarkEditableArea
from .scene import currentScene, saveForUndo
from .segmentations import PASSING, drawInSegment, orientedImage, segmentationSnapshot
from .volumes import geometryFromVolume

EDITOR = "SegmentEditor"  # singleton tag of the node that the Segment Editor module works with
BRUSH = ("BrushAbsoluteDiameter", "BrushDiameterIsRelative", "BrushSphere")
SMALLEST_BRUSH_MM, LARGEST_BRUSH_MM = 1.0, 20.0


@dataclass
class OpenCorrection:
    """What has to be put back when the correction ends, or is undone. copy: a vtkSegmentation, where the snapshot does
    not hold the segments' own voxels."""

    imageNode: Any
    segmentationNode: Any
    before: LabelmapSnapshot
    copy: Any
    maskMode: int
    maskSegmentId: str | None
    overwriteMode: int
    brush: dict[str, str | None]


def openCorrection(
    imageNode: Any, segmentationNode: Any, segmentId: str, region: np.ndarray, geometry: Geometry
) -> OpenCorrection:
    """Aim the Segment Editor at a segment, with a brush that fits the region and editing limited to it.

    region: (k, j, i) bool, where editing is allowed. An empty segmentId leaves the choice to the reader.
    """
    closeUnusedFiles(segmentationNode)
    saveForUndo(segmentationNode)
    editor = segmentEditorNode()
    kept = keptSegments(imageNode, segmentationNode)
    kept.brush = {name: editor.GetAttribute(name) for name in BRUSH}
    maskId = _addPassingSegment(segmentationNode, region, geometry)
    markEditableArea(region, geometry)  # the segment itself is hidden, and so drawn nowhere
    modified = editor.StartModify()
    editor.SetAndObserveSegmentationNode(segmentationNode)
    editor.SetAndObserveSourceVolumeNode(imageNode)
    if segmentId:
        editor.SetSelectedSegmentID(segmentId)
    editor.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    editor.SetMaskSegmentID(maskId)
    # Painting over all segments would eat up the mask; hidden ones are left alone.
    editor.SetOverwriteMode(editor.OverwriteVisibleSegments)
    for name, value in zip(BRUSH, (f"{brushMm(region, geometry):.1f}", "0", "1"), strict=True):
        editor.SetAttribute(name, value)
    editor.EndModify(modified)
    return kept


def keptSegments(imageNode: Any, segmentationNode: Any) -> OpenCorrection:
    """What `undoCorrection` gives back, where no editor was opened."""
    before, copy = segmentationSnapshot(segmentationNode, imageNode), None
    if not before.asDrawn or segmentationNode.GetSegmentation().GetSourceRepresentationName() != labelmapName():
        copy = slicer.vtkSegmentation()
        copy.DeepCopy(segmentationNode.GetSegmentation())
    editor = segmentEditorNode()
    settings = editor.GetMaskMode(), editor.GetMaskSegmentID(), editor.GetOverwriteMode()
    return OpenCorrection(imageNode, segmentationNode, before, copy, *settings, {})


def endCorrection(kept: OpenCorrection) -> None:
    """Take the passing segment away and give the Segment Editor its settings back."""
    if kept.segmentationNode.GetScene() is not None:
        closeUnusedFiles(kept.segmentationNode)
    unmarkEditableArea()
    editor = segmentEditorNode()
    modified = editor.StartModify()
    editor.SetMaskMode(kept.maskMode)
    editor.SetMaskSegmentID(kept.maskSegmentId)
    editor.SetOverwriteMode(kept.overwriteMode)
    for name, value in kept.brush.items():
        if value is None:
            editor.RemoveAttribute(name)
        else:
            editor.SetAttribute(name, value)
    editor.EndModify(modified)


def undoCorrection(kept: OpenCorrection) -> bool:
    """Give the segments the voxels they had before the correction; False where segments came or went since."""
    node, before = kept.segmentationNode, kept.before
    if node.GetScene() is None or tuple(node.GetSegmentation().GetSegmentIDs()) != before.segmentIds:
        return False
    saveForUndo(node)
    if kept.copy is not None:
        node.GetSegmentation().DeepCopy(kept.copy)
        return True
    now, geometry = segmentationSnapshot(node, kept.imageNode), geometryFromVolume(kept.imageNode)
    box = now.changedBox(before)
    for value, segmentId in enumerate(before.segmentIds, 1):
        wanted, there = before.maskOf(value, box), now.maskOf(value, box)
        corner = tuple(side.start for side in box)
        drawInSegment(node, segmentId, there & ~wanted, wanted & ~there, corner, geometry)
    return True


def closeUnusedFiles(segmentationNode: Any) -> None:
    """Remove the passing segment of a correction, for instance one that was saved with the scene."""
    segmentation = segmentationNode.GetSegmentation()
    for segmentId in segmentation.GetSegmentIDs():
        if segmentation.GetSegment(segmentId).HasTag(PASSING):
            segmentation.RemoveSegment(segmentId)


def segmentEditorNode() -> Any:
    """The node in which the Segment Editor module keeps its settings, made as that module makes it."""
    node = currentScene().GetSingletonNode(EDITOR, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = currentScene().CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(EDITOR)
        node = currentScene().AddNode(node)
    return node


def brushMm(region: np.ndarray, geometry: Geometry) -> float:
    """A diameter that needs a few strokes for the region: a third of the longest side of its box."""
    box = bounding_box(region)
    if box is None:
        return SMALLEST_BRUSH_MM
    sides = [(side.stop - side.start) * s for side, s in zip(reversed(box), geometry.spacing, strict=False)]
    return float(np.clip(max(sides) / 3, SMALLEST_BRUSH_MM, LARGEST_BRUSH_MM))


def _addPassingSegment(segmentationNode: Any, region: np.ndarray, geometry: Geometry) -> str:
    segment = slicer.vtkSegment()
    segment.SetName(_("Region under correction"))
    segment.SetColor(1.0, 1.0, 1.0)
    segment.SetTag(PASSING, "1")
    segment.AddRepresentation(labelmapName(), orientedImage(region.astype(np.uint8), geometry, segmentationNode))
    segmentationNode.GetSegmentation().AddSegment(segment)
    segmentId = segmentationNode.GetSegmentation().GetSegmentIdBySegment(segment)
    if segmentationNode.GetDisplayNode() is None:
        segmentationNode.CreateDefaultDisplayNodes()
    segmentationNode.GetDisplayNode().SetSegmentVisibility(segmentId, False)
    return segmentId
