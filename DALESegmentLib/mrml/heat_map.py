"""Label confidence over the slices: coloured where the label is doubtful, nothing where it is not.

Colours run from magenta (doubtful) over orange to pale yellow (nearly sure). Lightness rises all the way, so
the order holds with any colour vision and on a grey print, and none of the hues occurs in a grey image or
among the colours of our segments. Slicer draws a colour either wholly or not at all, so a threshold makes
confident voxels transparent and one opacity lets the image show through the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from ..engine.geometry.grid import Geometry
from ..engine.io.terminology import CONFIDENCE_RAMP
from .i18n import tr as _
from .outlines import drawOutlinesAlone, restoreFills
from .scene import ROLE, currentScene, freeName, nodeWithRole, removeWithDisplay
from .views import SliceLayer
from .volumes import gridArray, vtkImage

HEAT_MAP = "heatMap"
COLOURS = "confidenceColours"

THRESHOLD = 0.9  # confidence above which nothing is drawn, until the clinician chooses another
OPACITY = 0.5
LAYER = SliceLayer("Foreground", HEAT_MAP, OPACITY, usual=0.0)
AROUND_MM = 10.0
LEGEND_FONT = 12  # pixels
LEGEND_SIZE, LEGEND_PLACE = (0.1, 0.35), (0.98, 0.82)  # of the view; the lower right corner says what is drawn


def showConfidence(confidence: np.ndarray, geometry: Geometry, name: str, label: np.ndarray | None = None) -> Any:
    """A heat map of label confidence, (k, j, i) in [0, 1], laid over all slice views.

    Where `label` is given, what is merely uncertain far from its outlines is left out, see `shown_confidence`.
    The node holds what is shown, so those voxels read 1; the exact confidence stays with the caller.
    """
    shown = np.clip(confidence, 0.0, 1.0).astype(np.float32, copy=False)
    if label is not None:
        shown = wholeConfidence(confidence, geometry, label).reshape(geometry.array_shape)
    return addHeatMap(vtkImage(shown, geometry), geometry, name)


def addHeatMap(image: Any, geometry: Geometry, name: str) -> Any:
    """The same with the voxels made already, by `vtkImage`; they are not copied."""
    scene = currentScene()
    # Display first: a volume that gets its default one reads all its voxels to find a window.
    display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetAndObserveColorNodeID(confidenceColours().GetID())
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", freeName(name))
    node.SetAttribute(ROLE, HEAT_MAP)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(geometry.ijk_to_ras()))
    node.SetAndObserveDisplayNodeID(display.GetID())
    node.SetAndObserveImageData(image)
    setHeatMapThreshold(node, THRESHOLD)
    addColourLegend(node).SetPosition(*LEGEND_PLACE)
    showHeatMap(node)
    return node


def addColourLegend(node: Any) -> Any:
    """The colours' meaning in the views that show the node, or the legend that is there; returns its display node."""
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(_("Label confidence"))
    legend.SetLabelFormat("%.1f")
    legend.SetNumberOfLabels(3)
    legend.SetSize(*LEGEND_SIZE)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontSize(LEGEND_FONT)
    legend.SetVisibility(True)
    legend.SetVisibility3D(node.IsA("vtkMRMLModelNode"))  # a volume is not in 3D
    return legend


def wholeConfidence(confidence: np.ndarray, geometry: Geometry, label: np.ndarray) -> np.ndarray:
    """What is drawn of the confidence for all segments, (k, j, i)."""
    from ..engine.dale.candidates import shown_confidence  # brings scipy

    arrays = (gridArray(array, geometry) for array in (confidence, label))
    return shown_confidence(*arrays, (1.0, *geometry.array_spacing)[-3:])


def confidenceAround(confidence: np.ndarray, geometry: Geometry, segment: np.ndarray) -> np.ndarray:
    """What is drawn for one segment, (k, j, i) bool: the confidence within 10 mm of its box, and 1 elsewhere."""
    values, mask = (gridArray(array, geometry) for array in (confidence, segment))
    shown = np.ones(values.shape, np.float32)
    where = np.nonzero(mask)
    if where[0].size:
        margin = [int(np.ceil(AROUND_MM / s)) for s in (1.0, *geometry.array_spacing)[-3:]]
        box = zip(where, margin, strict=True)
        place = tuple(slice(max(0, int(w.min()) - m), int(w.max()) + m + 1) for w, m in box)
        shown[place] = np.clip(values[place], 0.0, 1.0)
    return shown


def updateHeatMap(node: Any, shown: np.ndarray) -> None:
    """Draw other values, (k, j, i), in a heat map that is there."""
    slicer.util.updateVolumeFromArray(node, shown)


def updatePart(node: Any, box: tuple[slice, ...], shown: np.ndarray) -> np.ndarray:
    """Draw other values in a box (slices of (k, j, i), or of (j, i) for a picture); returns those that were there."""
    values = slicer.util.arrayFromVolume(node)
    place = box if len(box) == values.ndim else (0, *box)
    before = values[place].copy()
    values[place] = np.clip(shown, 0.0, 1.0)
    slicer.util.arrayFromVolumeModified(node)
    return before


def fillPart(node: Any, box: tuple[slice, ...], mask: np.ndarray, values: Any) -> None:
    """Draw these values where mask (bool, of the box's shape) is set; box: slices of (k, j, i)."""
    slicer.util.arrayFromVolume(node)[box][mask] = values
    slicer.util.arrayFromVolumeModified(node)


def _showLegend(node: Any, shown: bool) -> None:
    """Slicer shows the legend of a volume in every view, also where the volume is not."""
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    if legend is not None:
        legend.SetVisibility(shown)


def setHeatMapThreshold(node: Any, confidence: float) -> None:
    """Colour only voxels whose confidence is below this."""
    display = node.GetDisplayNode()
    display.SetAutoThreshold(False)
    display.SetThreshold(-1.0, float(confidence))
    display.SetApplyThreshold(True)


def setHeatMapOpacity(node: Any, opacity: float) -> None:
    """Opacity in [0, 1] of the heat map in every view that shows it."""
    for view in LAYER.viewsShowing(node):
        LAYER.setViewOpacity(view, opacity)


def showInEmptyViews(node: Any) -> None:
    """Make the heat map visible in views that were opened after it, whose foreground is fully transparent."""
    for view in LAYER.viewsShowing(node):
        if LAYER.viewOpacity(view) == 0:
            LAYER.setViewOpacity(view, OPACITY)


def showHeatMap(node: Any) -> None:
    """Lay the heat map over every slice view, and draw segments as outlines alone: Slicer draws their fill over it.

    What it covers and the fill come back with `hideHeatMap`.
    """
    LAYER.show(node)
    _showLegend(node, True)
    drawOutlinesAlone()


def hideHeatMap(node: Any) -> None:
    """Take the heat map out of the views and give them back what it covered, and segments their fill; the node
    stays."""
    LAYER.hide(node)
    _showLegend(node, False)
    if not any(LAYER.viewsShowing(other) for other in _heatMaps()):
        restoreFills()


def removeHeatMap(node: Any) -> None:
    """Remove the heat map with all that was made for it; the colours go with the last one."""
    hideHeatMap(node)
    colours = node.GetDisplayNode().GetColorNode() if node.GetDisplayNode() else None
    removeWithDisplay(node)
    if colours is not None and nodeWithRole("vtkMRMLScalarVolumeNode", HEAT_MAP) is None:
        for belonging in (colours.GetStorageNode(), colours):
            if belonging is not None:
                currentScene().RemoveNode(belonging)


def heatMapIds() -> list[str]:
    """The IDs of all heat maps of the scene: none of them is an image to work on."""
    return [node.GetID() for node in _heatMaps()]


def _heatMaps() -> list[Any]:
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", currentScene())
    return [node for node in nodes if node.GetAttribute(ROLE) == HEAT_MAP]


def confidenceColours() -> Any:
    """The colour table of all heat maps of the scene, slices and surfaces."""
    node = nodeWithRole("vtkMRMLColorTableNode", COLOURS)
    if node is None:
        node = currentScene().AddNewNodeByClass("vtkMRMLColorTableNode", _("Label confidence"))
        node.SetAttribute(ROLE, COLOURS)
        node.SetTypeToUser()
        node.SetNumberOfColors(256)
        for index, value in enumerate(np.linspace(0.0, 1.0, 256)):
            colour = [float(np.interp(value, CONFIDENCE_RAMP[:, 0], column)) for column in CONFIDENCE_RAMP[:, 1:].T]
            node.SetColor(index, f"{value:.2f}", *colour, 1.0)
        node.GetLookupTable().SetRange(0.0, 1.0)
    return node
