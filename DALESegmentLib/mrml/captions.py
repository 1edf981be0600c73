"""Lines of text in the lower right corner of a view: what is drawn there, each in the colour it is drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

from .i18n import tr as _
from .outlines import LINE
from .scene import currentScene
from .segmentations import userSegmentIds
from .suggestion import SAID, SUGGESTION

FONT_PIXELS, LINE_PIXELS, EDGE_PIXELS = 12, 16, 6
LONGEST = 20  # characters of a name
HIGHEST = 0.25  # of the view's height: a region in the middle, and its frame, stay in sight
BACKGROUND = (0.0, 0.0, 0.0), 0.6  # colour and opacity, so that the text is read over any image
GREY = (0.9, 0.9, 0.9)


@dataclass(frozen=True)
class CaptionLine:
    text: str
    colour: tuple[float, float, float] = GREY
    bold: bool = False


class Caption:
    """Drawn by actors in the first renderer of a view's window; the view itself has to be told to render."""

    def __init__(self, renderWindow: Any) -> None:
        self._renderer = renderWindow.GetRenderers().GetFirstRenderer()
        self._actors: list[vtk.vtkTextActor] = []
        self.lines: tuple[CaptionLine, ...] = ()

    def isIn(self, renderWindow: Any) -> bool:
        """Whether it is drawn in that window, which may be another one after the layout changed."""
        return bool(renderWindow.GetRenderers().IsItemPresent(self._renderer))

    def show(self, lines: Sequence[CaptionLine]) -> bool:
        """These lines from top to bottom, as many as leave the middle of the view free; whether anything changed."""
        height = self._renderer.GetRenderWindow().GetSize()[1]
        room = int((HIGHEST * height - EDGE_PIXELS) / LINE_PIXELS)
        lines = lines[: max(room, 1)] if height else lines
        if tuple(lines) == self.lines:
            return False
        self.remove()
        self.lines = tuple(lines)
        for place, line in enumerate(reversed(self.lines)):
            actor = _textActor(line, EDGE_PIXELS + place * LINE_PIXELS)
            self._renderer.AddViewProp(actor)
            self._actors.append(actor)
        return True

    def remove(self) -> None:
        for actor in self._actors:
            self._renderer.RemoveViewProp(actor)
        self._actors, self.lines = [], ()


def segmentationLines() -> list[CaptionLine]:
    """A line for each segmentation that is drawn: its name, whose outline it is, in the colour of its first segment."""
    lines = []
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", currentScene()):
        display, ids = node.GetDisplayNode(), userSegmentIds(node)
        hidden = node.GetHideFromEditors() and node.GetAttribute(LINE) != SUGGESTION
        if display is None or not ids or hidden:
            continue
        if not (display.GetVisibility() and display.GetVisibility2D()):
            continue
        seen = [i for i in ids if display.GetSegmentVisibility(i)]
        if seen:
            colour = node.GetSegmentation().GetSegment(seen[0]).GetColor()
            whose = node.GetAttribute(SAID) or _whose(node.GetAttribute(LINE))
            text = _("{name}: {whose}").format(name=shortened(node.GetName()), whose=whose)
            lines.append(CaptionLine(text, tuple(colour), bold=node.GetAttribute(LINE) is None))
    return lines


def shortened(name: str) -> str:
    """A long name with its middle left out: what tells two apart is often at its end."""
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[-half:]}"


def _whose(line: str | None) -> str:
    known = {
        "model": _("model"),
        "refreshed": _("model, refreshed"),
        SUGGESTION: _("Enter takes it"),
    }
    return known.get(line or "", _("as drawn"))


def _textActor(line: CaptionLine, height: int) -> vtk.vtkTextActor:
    actor = vtk.vtkTextActor()
    actor.SetInput(line.text)
    corner = vtk.vtkCoordinate()
    corner.SetCoordinateSystemToNormalizedViewport()
    corner.SetValue(1.0, 0.0)
    place = actor.GetPositionCoordinate()
    place.SetCoordinateSystemToViewport()
    place.SetReferenceCoordinate(corner)
    place.SetValue(-EDGE_PIXELS, height)
    text = actor.GetTextProperty()
    text.SetFontSize(FONT_PIXELS)
    text.SetColor(*line.colour)
    text.SetBold(line.bold)
    text.SetShadow(True)
    text.SetBackgroundColor(*BACKGROUND[0])
    text.SetBackgroundOpacity(BACKGROUND[1])
    text.SetJustificationToRight()
    text.SetVerticalJustificationToBottom()
    return actor
