"""Pictures of Slicer's own slice views, off screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..engine.core.errors import EngineError
from .drawing import missingForDrawing
from .heat_map import showInEmptyViews
from .scene import currentScene, startHeadless
from .views import centreSliceViews
from .volumes import asList, geometryFromVolume

VIEWS = {"Axial": "Red", "Sagittal": "Yellow", "Coronal": "Green"}  # Slicer's names for these views


def sliceView(orientation: str = "Axial", size: int = 400) -> Any:
    """trame-slicer's slice view of that orientation, size × size pixels; reused while its node is in the scene.

    Raises EngineError "cannot-draw" where a system library is missing.
    """
    missing = missingForDrawing()
    if missing:
        raise EngineError("cannot-draw", f"Slicer's views cannot be drawn here. {missing}")
    from trame_slicer.views import ViewLayoutDefinition, ViewProps, ViewType

    props = ViewProps(orientation=orientation)
    definition = ViewLayoutDefinition(VIEWS[orientation], ViewType.SLICE_VIEW, props)
    application = startHeadless()
    known = application.view_manager.get_view(definition.singleton_tag)
    if known is not None and application.scene.GetNodeByID(known.get_view_node_id()) is None:
        application.view_manager.remove_view(definition.singleton_tag)
    # trame-slicer 2.0 observes an event that VTK 9.6 warns about; the size is set by hand below.
    vtk.vtkObject.GlobalWarningDisplayOff()
    view = application.view_manager.create_view(definition)
    vtk.vtkObject.GlobalWarningDisplayOn()
    view.update_size(size, size)
    view.set_render_blocked(True)  # it renders when a picture is taken, not at every change of the scene
    return view


def renderSlices(
    volumeNode: Any,
    segmentationNode: Any | Sequence[Any] = (),
    heatMapNode: Any = None,
    ras: Sequence[float] | None = None,
    size: int = 400,
    frameMm: float | None = None,
) -> np.ndarray:
    """Axial, sagittal and coronal view side by side, (size, 3 × size, 3) uint8, first row on top.

    Shows the given segmentations and no others, and the heat map where one is given. ras: the point in the
    middle (default: that of the volume); frameMm: what each view spans (default: the whole volume).
    Raises EngineError as `sliceView` does.
    """
    views = [sliceView(orientation, size) for orientation in VIEWS]
    for view in views:
        view.set_background_volume_id(volumeNode.GetID())
        view.set_foreground_volume_id(heatMapNode.GetID() if heatMapNode else None)
        view.fit_view_to_content()
    if heatMapNode:
        showInEmptyViews(heatMapNode)
    geometry = geometryFromVolume(volumeNode)
    middle = geometry.index_to_ras(tuple((n - 1) / 2 for n in geometry.size))
    centreSliceViews(middle if ras is None else ras, frameMm)
    shown = asList(segmentationNode or ())
    others = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", currentScene())
    hidden = [node for node in others if node not in shown and node.GetDisplayVisibility()]
    for node in hidden:
        node.SetDisplayVisibility(False)
    try:
        return np.concatenate([pixelsOf(view) for view in views], axis=1)
    finally:
        for node in hidden:
            node.SetDisplayVisibility(True)


def viewSides() -> dict[str, tuple[str, str, str, str]]:
    """What the left, right, lower and upper edge of each view of `renderSlices` look at: R, L, A, P, S or I."""
    sides = {}
    for orientation, layout in VIEWS.items():
        nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode", currentScene())
        matrix = next(node for node in nodes if node.GetLayoutName() == layout).GetSliceToRAS()
        across, up = ([matrix.GetElement(row, column) for row in range(3)] for column in (0, 1))
        towards = [[-x for x in across], across, [-x for x in up], up]
        sides[orientation] = tuple(_letter(direction) for direction in towards)
    return sides


def _letter(direction: Sequence[float]) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return ("RL", "AP", "SI")[axis][int(direction[axis] < 0)]


def writePicture(path: str | Path, picture: np.ndarray) -> Path:
    """Write (rows, columns, 3) uint8, first row on top, as a PNG file."""
    rows, columns, channels = picture.shape
    image = vtk.vtkImageData()
    image.SetDimensions(columns, rows, 1)
    pixels = np.ascontiguousarray(picture[::-1]).reshape(-1, channels)
    image.GetPointData().SetScalars(numpy_to_vtk(pixels, deep=True))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    writer.Write()
    return path


def pixelsOf(view: Any) -> np.ndarray:
    """What a slice view shows now, (rows, columns, 3) uint8, first row on top."""
    view.render_window().Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(view.render_window())
    grab.SetInputBufferTypeToRGB()
    grab.ReadFrontBufferOff()
    grab.Update()
    columns, rows, _ = grab.GetOutput().GetDimensions()
    return vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1].copy()
