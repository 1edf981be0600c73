"""The slice views: centred on a place and framed."""

from __future__ import annotations

from collections.abc import Sequence

import slicer

from .scene import currentScene

OURS = "DALESegment.Crosshair"
"""On a crosshair that was off before."""


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
