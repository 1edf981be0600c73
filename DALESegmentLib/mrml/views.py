"""The slice views: centred on a place and framed, and volumes of ours in their layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from .scene import ROLE, currentScene

OURS = "DALESegment.Crosshair"
"""On a crosshair that was off before."""


@dataclass(frozen=True)
class SliceLayer:
    """A layer of the slice views that volumes of one role lie in while they are shown.

    name: "Foreground" or "Label", as in vtkMRMLSliceCompositeNode; opacity: of what is shown; usual: of the layer,
    where none was noted before.
    """

    name: str
    role: str
    opacity: float
    usual: float

    def show(self, node: Any) -> None:
        """In every slice view; what lay there comes back with `hide`, also in a saved scene."""
        for view in self._views():
            covered = currentScene().GetNodeByID(self._volumeId(view) or "")
            if covered is None or covered.GetAttribute(ROLE) != self.role:
                view.SetNodeReferenceID(self._covered, covered.GetID() if covered else None)
                view.SetAttribute(f"{self._covered}Opacity", str(self.viewOpacity(view)))
                self.setViewOpacity(view, self.opacity)
            self._setVolumeId(view, node.GetID())

    def hide(self, node: Any) -> None:
        """Take it out of the views and give them back what it covered; the node stays."""
        for view in self.viewsShowing(node):
            self._setVolumeId(view, view.GetNodeReferenceID(self._covered))
            self.setViewOpacity(view, float(view.GetAttribute(f"{self._covered}Opacity") or self.usual))

    def viewsShowing(self, node: Any) -> list[Any]:
        return [view for view in self._views() if self._volumeId(view) == node.GetID()]

    def viewOpacity(self, view: Any) -> float:
        return float(getattr(view, f"Get{self.name}Opacity")())

    def setViewOpacity(self, view: Any, opacity: float) -> None:
        getattr(view, f"Set{self.name}Opacity")(float(opacity))

    @property
    def _covered(self) -> str:
        return f"DALESegment.Covered{self.name}"

    def _volumeId(self, view: Any) -> str | None:
        return getattr(view, f"Get{self.name}VolumeID")()

    def _setVolumeId(self, view: Any, nodeId: str | None) -> None:
        getattr(view, f"Set{self.name}VolumeID")(nodeId)

    @staticmethod
    def _views() -> list[Any]:
        return list(slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", currentScene()))


def centreSliceViews(ras: Sequence[float], frameMm: float | None = None) -> None:
    """Bring a point (RAS mm) to the middle of every slice view; frameMm: what the shorter side then spans.

    By position, never by slice offset, whose sign depends on the view's orientation.
    """
    slicer.vtkMRMLSliceNode.JumpAllSlices(currentScene(), *map(float, ras), slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode", currentScene()):
        view.SetXYZOrigin(0.0, 0.0, view.GetXYZOrigin()[2])  # a panned view would show it off centre
        if frameMm is not None:
            width, height, depth = view.GetFieldOfView()
            zoom = frameMm / min(width, height)
            view.SetFieldOfView(width * zoom, height * zoom, depth)


def showWholeImage(volume: Any) -> None:
    """In the background of every slice view, its middle in the middle of the view and all of it in sight."""
    for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", currentScene()):
        view.SetBackgroundVolumeID(volume.GetID())
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    low, high = bounds[::2], bounds[1::2]
    middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    centreSliceViews(middle, 1.05 * max(b - a for a, b in zip(low, high, strict=True)))


def markPlace(ras: Sequence[float]) -> None:
    """Show a point (RAS mm) by Slicer's crosshair, with a gap in its middle; `unmarkPlace` puts back what was there."""
    crosshair = currentScene().GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is None:
        return
    if crosshair.GetCrosshairMode() == crosshair.NoCrosshair:
        crosshair.SetAttribute(OURS, "1")
        crosshair.SetCrosshairMode(crosshair.ShowSmallIntersection)
    crosshair.SetCrosshairRAS(*map(float, ras))


def unmarkPlace() -> None:
    crosshair = currentScene().GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None and crosshair.GetAttribute(OURS):
        crosshair.RemoveAttribute(OURS)
        crosshair.SetCrosshairMode(crosshair.NoCrosshair)
