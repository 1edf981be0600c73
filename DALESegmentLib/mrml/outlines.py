"""Segments as outlines alone while a heat map lies under them: Slicer draws their fill over every volume.

What a display node was like is noted on it, so that it comes back in a saved scene too. A fill that the reader
switches on meanwhile is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from .scene import currentScene

FILL, OUTLINE, THICKNESS = "DALESegment.Fill", "DALESegment.Outline", "DALESegment.OutlineThickness"
LINE = "DALESegment.Line"
"""On a segmentation of this module, which has a line of its own: whose outline it is, see `segmentations.LINES`."""
RESULTS = ("model", "refreshed")
HIDDEN = "DALESegment.HiddenAtRegion"
"""On the display of a result that is hidden while a region is at hand: "1" where it was shown before."""
OWN_PIXELS = 3  # outline of what the user drew; a model's are thinner, see segmentations.LINES


def drawOutlinesAlone() -> None:
    """Every segmentation of the scene, those that came since the last call included."""
    for display in _displayNodes():
        if display.GetAttribute(FILL) is not None:
            continue
        display.SetAttribute(FILL, str(int(display.GetVisibility2DFill())))
        display.SetAttribute(OUTLINE, str(int(display.GetVisibility2DOutline())))
        display.SetAttribute(THICKNESS, str(display.GetSliceIntersectionThickness()))
        modified = display.StartModify()
        display.SetVisibility2DFill(False)
        display.SetVisibility2DOutline(True)
        if not _hasLineOfItsOwn(display):
            display.SetSliceIntersectionThickness(OWN_PIXELS)
        display.EndModify(modified)


def restoreFills() -> None:
    """Give every segmentation back what `drawOutlinesAlone` took."""
    for display in _displayNodes():
        fill = display.GetAttribute(FILL)
        if fill is None:
            continue
        modified = display.StartModify()
        if fill == "1":
            display.SetVisibility2DFill(True)
        if display.GetAttribute(OUTLINE) == "0":
            display.SetVisibility2DOutline(False)
        display.SetSliceIntersectionThickness(int(display.GetAttribute(THICKNESS) or 1))
        for name in (FILL, OUTLINE, THICKNESS):
            display.RemoveAttribute(name)
        display.EndModify(modified)


def matchOutlines(heatMapIsOn: bool) -> None:
    """As one of the two above."""
    if heatMapIsOn:
        drawOutlinesAlone()
    else:
        restoreFills()


def hideResults(lines: Sequence[str] = RESULTS) -> None:
    """Hide what a model drew (of these `LINE`s), each once: what the reader switches on meanwhile stays on."""
    for display in _displayNodes():
        node = display.GetDisplayableNode()
        if node is None or node.GetAttribute(LINE) not in lines or display.GetAttribute(HIDDEN) is not None:
            continue
        display.SetAttribute(HIDDEN, str(int(display.GetVisibility())))
        display.SetVisibility(False)


def restoreResults() -> None:
    """Show again what `hideResults` hid."""
    for display in _displayNodes():
        shown = display.GetAttribute(HIDDEN)
        if shown is not None:
            display.RemoveAttribute(HIDDEN)
            display.SetVisibility(shown == "1" or bool(display.GetVisibility()))


def _hasLineOfItsOwn(display: Any) -> bool:
    """Whether it is of a result of this module, which has its line already."""
    node = display.GetDisplayableNode()
    return node is not None and node.GetAttribute(LINE) is not None


def _displayNodes() -> list[Any]:
    return list(slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", currentScene()))
