"""Segments of the scene as one label array, and back, without a voxel moving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..engine.core.errors import EngineError
from ..engine.geometry.distance import bounding_box
from ..engine.geometry.grid import Geometry
from .labelmap_snapshot import (
    LabelmapSnapshot,
    filledBox,
    firstInImage,
    isEmpty,
    labelmapName,
    takeLabelmapSnapshot,
)
from .outlines import LINE
from .scene import ROLE, currentScene, freeName, saveForUndo
from .volumes import gridArray, parentToWorld

# Bright, told apart with any colour vision, and away from the orange and magenta of the heat map.
PALETTE = ((0.20, 0.95, 0.70), (0.35, 0.75, 1.00), (0.72, 0.62, 1.00), (0.95, 0.95, 0.95))
LINES = {
    "model": (1, ((0.20, 0.95, 0.70), (0.95, 0.95, 0.95), (0.45, 0.80, 0.20))),
    "refreshed": (2, ((0.60, 0.40, 1.00), (0.35, 0.75, 1.00), (0.10, 0.35, 1.00))),
}
"""Whose outline: its width in pixels, and colours to choose from, none of them among those of the heat map."""
APART = 0.4  # Euclidean, in RGB of [0, 1]
OUTLINE_PIXELS = 2
RENEWABLE = "renewable"
PASSING = "DALESegment.Passing"  # tag of a segment that is there for a while only, and is no part of a label


@dataclass(frozen=True)
class PreparedLabel:
    """A label as segments are made of it; for one segmentation. image: Slicer's labelmap of the box that holds voxels,
    or of one voxel where there are none."""

    array: np.ndarray
    image: Any

    @staticmethod
    def of(label: np.ndarray, geometry: Geometry) -> PreparedLabel:
        """Of a label (k, j, i), on any thread. Raises EngineError "geometry-mismatch"."""
        array = gridArray(label, geometry)
        box = filledBox(array)
        if box[0].stop == 0:
            box = tuple(slice(0, 1) for _ in box)
        image = _labelmapOf(array[box])
        _moveTo(image, [part.start for part in reversed(box)], array[box].shape)
        return PreparedLabel(label, image)


def labelFromSegmentation(
    segmentationNode: Any, referenceVolumeNode: Any, segmentIds: Sequence[str] | None = None
) -> tuple[np.ndarray, dict[int, str], list[str], int]:
    """The chosen segments (default: all) on the voxels of the reference volume.

    Returns (label, classNames, segmentIds, overlapVoxels): label (k, j, i) uint8 or uint16, whose value v is
    the v-th of segmentIds; classNames {value: name}; overlapVoxels counts voxels claimed by more than one
    segment, where the later one wins. Segments drawn on another grid are resampled by Slicer (nearest).
    Raises EngineError "no-segment", "surface-segmentation", and those of `geometryFromVolume`.
    """
    drawn = segmentationSnapshot(segmentationNode, referenceVolumeNode, segmentIds)
    label, overlap = drawn.label()
    return label, drawn.classNames, list(drawn.segmentIds), overlap


def segmentationSnapshot(
    segmentationNode: Any, referenceVolumeNode: Any, segmentIds: Sequence[str] | None = None
) -> LabelmapSnapshot:
    """What `labelFromSegmentation` makes a label of, which may be done on another thread. Raises as that does."""
    ids = userSegmentIds(segmentationNode) if segmentIds is None else list(segmentIds)
    _requireSegments(segmentationNode, ids)
    source = _asLabelmaps(segmentationNode, referenceVolumeNode)
    try:
        return takeLabelmapSnapshot(source, referenceVolumeNode, ids)
    finally:
        if source is not segmentationNode:
            currentScene().RemoveNode(source)


def addSegmentation(
    label: np.ndarray | PreparedLabel,
    geometry: Geometry,
    classNames: Mapping[int, str],
    referenceVolumeNode: Any,
    name: str,
    likeSegmentationNode: Any = None,
    line: str = "",
) -> Any:
    """A new segmentation node with one segment for each of classNames, also where the class is empty.

    label: (k, j, i) on `geometry`, or what was made of it on another thread. The node lies under the reference volume's
    parent transform, so that the two move together. Segments named like one of likeSegmentationNode take its ID, colour
    and terminology; with `line`, a key of LINES, they have a colour and a width that differ from it.
    Raises EngineError "geometry-mismatch".
    """
    scene = currentScene()
    # first, so that a label which does not fit leaves no node behind
    prepared = label if isinstance(label, PreparedLabel) else PreparedLabel.of(label, geometry)
    saveForUndo()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", freeName(name))
    transform = referenceVolumeNode.GetParentTransformNode()
    node.SetAndObserveTransformNodeID(transform.GetID() if transform else None)
    node.SetReferenceImageGeometryParameterFromVolumeNode(referenceVolumeNode)
    node.SetSourceRepresentationToBinaryLabelmap()
    # One labelmap shared by all segments: they cannot overlap, and Slicer handles them in one pass.
    labelmap = prepared.image
    _giveAffine(labelmap, geometry, node)
    for order, (value, className) in enumerate(sorted(classNames.items())):
        segment = slicer.vtkSegment()
        likeId = segmentIdOf(likeSegmentationNode, value, className)
        if likeId:
            segment.DeepCopyMetadata(likeSegmentationNode.GetSegmentation().GetSegment(likeId))
            segment.RemoveTag(slicer.vtkSlicerSegmentationsModuleLogic.GetStatusTagName())
        else:
            segment.SetColor(*PALETTE[order % len(PALETTE)])
        segment.SetName(className)
        segment.SetLabelValue(int(value))
        segment.AddRepresentation(labelmapName(), labelmap)
        node.GetSegmentation().AddSegment(segment, likeId)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(False)  # the image and its heat map stay in sight
    display.SetSliceIntersectionThickness(OUTLINE_PIXELS)
    if line:
        _giveLine(node, line)
    return node


def _giveLine(node: Any, line: str) -> None:
    """Outlines of this width, in the first colours that are far from those the segment and its neighbours have."""
    pixels, colours = LINES[line]
    node.SetAttribute(LINE, line)
    node.GetDisplayNode().SetSliceIntersectionThickness(pixels)
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetSegment(i) for i in segmentation.GetSegmentIDs()]
    taken = [np.array(segment.GetColor()) for segment in segments]
    for segment in segments:
        distances = [min(np.linalg.norm(other - colour) for other in taken) for colour in colours]
        chosen = colours[next((n for n, d in enumerate(distances) if d > APART), int(np.argmax(distances)))]
        segment.SetColor(*chosen)
        taken.append(np.array(chosen))


def updateSegments(segmentationNode: Any, label: np.ndarray, geometry: Geometry, segmentIds: Mapping[int, str]) -> None:
    """Replace the named segments, {value: segmentId}, by the voxels of those values in label (k, j, i).

    Every other segment keeps its voxels, also where the new ones overlap it. Where the scene has undo
    enabled, its state is saved first. Raises EngineError "no-segment", "surface-segmentation".
    """
    _requireSegments(segmentationNode, list(segmentIds.values()))
    segmentation = segmentationNode.GetSegmentation()
    if segmentation.GetSourceRepresentationName() != labelmapName():
        raise EngineError(
            "surface-segmentation",
            f"“{segmentationNode.GetName()}” is made of surfaces; make “Binary labelmap” its source "
            "representation in the Segmentations module first.",
        )
    array = gridArray(label, geometry)
    saveForUndo(segmentationNode)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    for value, segmentId in segmentIds.items():
        # A layer of its own: a shared one would be resampled to the new grid with all who share it.
        segmentation.SeparateSegmentLabelmap(segmentId)
        labelmap = PreparedLabel.of((array == value).view(np.uint8), geometry).image
        _giveAffine(labelmap, geometry, segmentationNode)
        logic.SetBinaryLabelmapToSegment(labelmap, segmentationNode, segmentId, logic.MODE_REPLACE)


def updateSegmentsWithin(
    segmentationNode: Any,
    before: np.ndarray,
    after: np.ndarray,
    first: tuple[int, ...],
    geometry: Geometry,
    segmentIds: Mapping[int, str],
) -> None:
    """Change the named segments, {value: segmentId}, in a box alone, from a label to another (k, j, i).

    first: the voxel (i, j, k) of the image with that geometry where the box begins. What lies outside is not touched.
    Raises EngineError as `updateSegments`.
    """
    _requireSegments(segmentationNode, list(segmentIds.values()))
    segmentation = segmentationNode.GetSegmentation()
    if segmentation.GetSourceRepresentationName() != labelmapName():
        updateSegments(segmentationNode, after, geometry, segmentIds)  # which says what to do
    saveForUndo(segmentationNode)
    corner = tuple(reversed(first))
    for value, segmentId in segmentIds.items():
        less, more = (before == value) & (after != value), (after == value) & (before != value)
        drawInSegment(segmentationNode, segmentId, less, more, corner, geometry)


def drawInSegment(
    segmentationNode: Any,
    segmentId: str,
    less: np.ndarray,
    more: np.ndarray,
    corner: tuple[int, ...],
    geometry: Geometry,
) -> None:
    """Take voxels out of a segment and add others: (k, j, i) bool, both on a box that begins at the voxel `corner`
    (k, j, i) of the image, which may lie outside of it. Nothing is touched where nothing changes."""
    box = bounding_box(less | more)
    if box is None:
        return
    less, more = less[box], more[box]
    start = [c + side.start for c, side in zip(corner, box, strict=True)][::-1]
    segmentation, logic = segmentationNode.GetSegmentation(), slicer.vtkSlicerSegmentationsModuleLogic
    segmentation.SeparateSegmentLabelmap(segmentId)
    own = segmentation.GetSegment(segmentId).GetLabelValue()  # which its labelmap has for its voxels
    for wanted, mask, mode in ((less.any(), ~less, logic.MODE_MERGE_MIN), (more.any(), more, logic.MODE_MERGE_MAX)):
        if wanted:
            image = _onItsVoxels(own * mask.astype(np.int32), start, geometry, segmentationNode, segmentId)
            logic.SetBinaryLabelmapToSegment(image, segmentationNode, segmentId, mode, image.GetExtent())


def _onItsVoxels(array: np.ndarray, start: list[int], geometry: Geometry, node: Any, segmentId: str) -> Any:
    """A box that begins at the voxel `start` (i, j, k) of the image, as Slicer's labelmap. It is counted as the segment
    counts its voxels, where they are those of the image: else Slicer would resample the whole segment to it."""
    image = orientedImage(array, geometry, node)
    labelmap = node.GetBinaryLabelmapInternalRepresentation(segmentId)
    toImage = np.linalg.solve(geometry.ijk_to_ras(), parentToWorld(node))
    offset = None if isEmpty(labelmap) else firstInImage(labelmap, toImage)
    if offset is not None:
        matrix = vtk.vtkMatrix4x4()
        labelmap.GetImageToWorldMatrix(matrix)
        image.SetImageToWorldMatrix(matrix)
        start = [int(s - o) for s, o in zip(start, offset, strict=True)]
    _moveTo(image, start, array.shape)
    return image


def _moveTo(image: Any, start: Sequence[int], shape: tuple[int, ...]) -> None:
    """Let a box begin at that voxel (i, j, k)."""
    image.SetExtent(*(end for s, n in zip(start, reversed(shape), strict=True) for end in (s, s + n - 1)))


def userSegmentIds(segmentationNode: Any) -> list[str]:
    """The segments in their order, without those that this module put there for a while."""
    segmentation = segmentationNode.GetSegmentation()
    return [i for i in segmentation.GetSegmentIDs() if not segmentation.GetSegment(i).HasTag(PASSING)]


def markRenewable(segmentationNode: Any) -> None:
    """Mark a segmentation of our own making that a later result may take the place of."""
    segmentationNode.SetAttribute(ROLE, RENEWABLE)


def renewSegmentation(node: Any, label: np.ndarray, geometry: Geometry, classNames: Mapping[int, str]) -> bool:
    """Put a new result into a segmentation that was marked for it; False, and nothing done, for any other node."""
    if node is None or node.GetAttribute(ROLE) != RENEWABLE:
        return False
    ids = {value: segmentIdOf(node, value, name) for value, name in classNames.items()}
    if not all(ids.values()):
        return False
    updateSegments(node, label, geometry, ids)
    return True


def segmentIdOf(segmentationNode: Any, value: int, name: str) -> str:
    """ID of the segment of that name, or ""; where several have it, the one whose place is the value."""
    if segmentationNode is None:
        return ""
    segmentation = segmentationNode.GetSegmentation()
    named = [i for i in segmentation.GetSegmentIDs() if segmentation.GetSegment(i).GetName() == name]
    placed = segmentation.GetNthSegmentID(value - 1) if value <= segmentation.GetNumberOfSegments() else ""
    return placed if placed in named else next(iter(named), "")


def _requireSegments(segmentationNode: Any, segmentIds: list[str]) -> None:
    name, segmentation = segmentationNode.GetName(), segmentationNode.GetSegmentation()
    if not segmentIds:
        raise EngineError("no-segment", f"“{name}” holds no segments; draw one or choose another segmentation.")
    missing = ", ".join(f"“{i}”" for i in segmentIds if segmentation.GetSegment(i) is None)
    if missing:
        raise EngineError("no-segment", f"“{name}” has no segment {missing}; choose one of its segments.")


def _asLabelmaps(segmentationNode: Any, referenceVolumeNode: Any) -> Any:
    """The node itself or, where it holds surfaces only, a passing copy with labelmaps."""
    if segmentationNode.GetSegmentation().ContainsRepresentation(labelmapName()):
        return segmentationNode
    copy = currentScene().CreateNodeByClass("vtkMRMLSegmentationNode")
    copy.UnRegister(None)
    copy.SetName("passing copy")
    copy.SetHideFromEditors(True)  # no selector and no list shows it while it lives
    currentScene().AddNode(copy)
    copy.GetSegmentation().DeepCopy(segmentationNode.GetSegmentation())
    copy.SetAndObserveTransformNodeID(segmentationNode.GetTransformNodeID())
    copy.SetReferenceImageGeometryParameterFromVolumeNode(referenceVolumeNode)
    if not copy.CreateBinaryLabelmapRepresentation():
        currentScene().RemoveNode(copy)
        raise EngineError(
            "surface-segmentation",
            f"“{segmentationNode.GetName()}” could not be converted to voxels; create its “Binary labelmap” "
            "representation in the Segmentations module first.",
        )
    return copy


def orientedImage(array: np.ndarray, geometry: Geometry, node: Any) -> Any:
    """The array as Slicer's labelmap, in the coordinates of the node's parent transform."""
    image = _labelmapOf(array)
    _giveAffine(image, geometry, node)
    return image


def _labelmapOf(array: np.ndarray) -> Any:
    """The array as Slicer's labelmap, copied; its place is still to be given."""
    if array.dtype == bool or array.max(initial=0) < 256:
        kind: type = np.uint8
    else:
        kind = np.int16 if array.max() < 2**15 else np.int32
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*array.shape[::-1])
    voxels = array.astype(kind, order="C")  # numpy copies while other threads run, VTK would hold them up
    image.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=False))
    return image


def _giveAffine(image: Any, geometry: Geometry, node: Any) -> None:
    affine = np.linalg.solve(parentToWorld(node), geometry.ijk_to_ras())
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine))
