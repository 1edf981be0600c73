"""An outline that is suggested, in the views: thin and of a colour of its own, beside the label, and no part of it.

It is never saved, no selector shows it, and it goes without a trace. Slicer draws no dashed outlines of segments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from ..engine.geometry.grid import Geometry
from .i18n import tr as _
from .outlines import LINE
from .scene import ROLE, currentScene, nodeWithRole, removeWithDisplay
from .segmentations import labelmapName, orientedImage

SUGGESTION = "suggestion"
SAID = "DALESegment.SuggestionSaid"
PARTS = {
    "outline": (1.0, 1.0, 0.35),
    "inside": (0.2, 0.9, 0.3),
    "outside": (0.95, 0.25, 0.2),
}
"""Segments and their colours: what is suggested, and the strokes that it was asked for with."""
PIXELS = 1


def showSuggestion(
    parts: dict[str, np.ndarray], first: tuple[int, ...], geometry: Geometry, referenceVolumeNode: Any, said: str = ""
) -> Any:
    """Draw masks {name of `PARTS`: (k, j, i) bool}, all on the box of `geometry` that begins at the voxel `first`
    (i, j(, k)), in the place of what was suggested before. said: what a key does with it, for the caption."""
    node = suggestionNode() or _added(referenceVolumeNode)
    transform = referenceVolumeNode.GetParentTransformNode()
    node.SetAndObserveTransformNodeID(transform.GetID() if transform else None)
    segmentation = node.GetSegmentation()
    modified = node.StartModify()
    for name, colour in PARTS.items():
        mask = parts.get(name)
        segment = segmentation.GetSegment(name)
        if mask is None or not mask.any():
            if segment is not None:
                segmentation.RemoveSegment(name)
            continue
        if segment is not None:
            segmentation.RemoveSegment(name)
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetColor(*colour)
        box = geometry.part(first, tuple(a + n - 1 for a, n in zip(first, reversed(mask.shape), strict=True)))
        segment.AddRepresentation(labelmapName(), orientedImage(mask.astype(np.uint8), box, node))
        segmentation.AddSegment(segment, name)
    node.SetAttribute(SAID, said)
    node.EndModify(modified)
    return node


def removeSuggestion() -> None:
    """Nothing is suggested any more."""
    node = suggestionNode()
    if node is not None:
        removeWithDisplay(node)


def suggestionNode() -> Any:
    """The node that is there while something is suggested, or None."""
    return nodeWithRole("vtkMRMLSegmentationNode", SUGGESTION)


def _added(referenceVolumeNode: Any) -> Any:
    node = currentScene().CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetName(_("Suggested"))
    node.SetAttribute(ROLE, SUGGESTION)
    node.SetAttribute(LINE, SUGGESTION)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    currentScene().AddNode(node)
    node.SetReferenceImageGeometryParameterFromVolumeNode(referenceVolumeNode)
    node.SetSourceRepresentationToBinaryLabelmap()
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetVisibility2DFill(False)
    display.SetVisibility3D(False)
    display.SetSliceIntersectionThickness(PIXELS)
    return node
