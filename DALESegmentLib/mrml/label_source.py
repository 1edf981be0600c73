"""Why voxels were learned as they were, as a label map with named colours in the label layer of the slice views.

Slicer's Data Probe shows the name under the mouse. Voxels that were learned as given have no colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer

from ..engine.geometry.grid import Geometry
from .i18n import tr as _
from .scene import ROLE, currentScene, freeName, removeWithDisplay
from .views import SliceLayer
from .volumes import geometryFromVolume

LABEL_SOURCE = "labelSource"
LAYER = SliceLayer("Label", LABEL_SOURCE, opacity=0.8, usual=1.0)

NAMES = {
    "given": _("given"),
    "reviewed": _("reviewed"),
    "corrected": _("corrected"),
    "annotator_bias": _("annotator bias"),
    "image_evidence": _("image evidence"),
    "missed_objects": _("missed objects"),
    "not_annotated": _("not annotated"),
}
# Blues and greens, of which the heat map below has none, of different lightness.
COLOURS = {
    "reviewed": (0.60, 0.60, 0.60),
    "corrected": (0.70, 0.95, 0.75),
    "annotator_bias": (0.34, 0.71, 0.91),
    "image_evidence": (0.10, 0.25, 0.70),
    "missed_objects": (0.00, 0.62, 0.35),
    "not_annotated": (0.35, 0.35, 0.35),
}
OTHER = (0.80, 0.80, 0.80)
NOT_DRAWN = ("given", "reviewed")


def sourceName(source: str) -> str:
    """The name of a source as a reader sees it; that of an unknown corrector with spaces."""
    return NAMES.get(source, source.replace("_", " "))


def addLabelSource(image: Any, geometry: Geometry, name: str, sourceNames: Mapping[int, str]) -> Any:
    """A label map node, in no view yet. image: vtkImageData of the numbers (`vtkImage`), not copied; sourceNames:
    {number: source}."""
    scene = currentScene()
    display = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeDisplayNode")
    display.SetAndObserveColorNodeID(_colours(name, sourceNames).GetID())
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", freeName(name))
    node.SetAttribute(ROLE, LABEL_SOURCE)
    node.SetAndObserveDisplayNodeID(display.GetID())
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(geometry.ijk_to_ras()))
    node.SetAndObserveImageData(image)
    return node


def sourceNamesOf(node: Any) -> dict[int, str]:
    """{number: name as a reader sees it} of the sources that the label map has."""
    colours = node.GetDisplayNode().GetColorNode()
    values = np.unique(slicer.util.arrayFromVolume(node))
    return {int(value): colours.GetColorName(int(value)) for value in values}


def sourceColour(node: Any, number: int) -> tuple[float, float, float]:
    """Red, green and blue in [0, 1] of a number of the label map."""
    colour = [0.0] * 4
    node.GetDisplayNode().GetColorNode().GetColor(number, colour)
    return colour[0], colour[1], colour[2]


def labelSourceArray(node: Any) -> tuple[np.ndarray, Geometry]:
    """A copy of the numbers (k, j, i), and their grid."""
    return slicer.util.arrayFromVolume(node).copy(), geometryFromVolume(node)


def showLabelSource(node: Any) -> None:
    """Put it into the label layer of every slice view; what was there comes back with `hideLabelSource`."""
    LAYER.show(node)


def hideLabelSource(node: Any) -> None:
    """Take it out of the views; the node stays."""
    LAYER.hide(node)


def removeLabelSource(node: Any) -> None:
    """Remove the label map with its colours."""
    hideLabelSource(node)
    colours = node.GetDisplayNode().GetColorNode() if node.GetDisplayNode() else None
    removeWithDisplay(node)
    if colours is not None and colours.GetAttribute(ROLE) == LABEL_SOURCE:
        for belonging in (colours.GetStorageNode(), colours):
            if belonging is not None:
                currentScene().RemoveNode(belonging)


def _colours(name: str, sourceNames: Mapping[int, str]) -> Any:
    node = currentScene().AddNewNodeByClass("vtkMRMLColorTableNode", freeName(name))
    node.SetAttribute(ROLE, LABEL_SOURCE)
    node.SetHideFromEditors(True)
    node.SetTypeToUser()
    node.SetNumberOfColors(max(sourceNames, default=0) + 1)
    for number in range(node.GetNumberOfColors()):
        source = sourceNames.get(number, "")
        opacity = 0.0 if not source or source in NOT_DRAWN else 1.0
        node.SetColor(number, sourceName(source), *COLOURS.get(source, OTHER), opacity)
    return node
