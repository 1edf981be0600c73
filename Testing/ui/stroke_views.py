"""A slice view whose mouse events a test makes: VTK's own interactor and Slicer's own slice node."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

PIXELS = 300


class StrokeView:
    """An axial view through the image's middle. The layout manager knows it while it lives."""

    def __init__(self, image: Any) -> None:
        import slicer
        import vtk

        from DALESegmentLib.mrml.volumes import geometryFromVolume

        self.geometry = geometryFromVolume(image)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.taken: list[str] = []  # events that reached the view's own tools
        for event in ("LeftButtonPressEvent", "RightButtonPressEvent", "MouseMoveEvent"):
            self.interactor.AddObserver(event, lambda _caller, name: self.taken.append(name), 0.0)
        node = self.node = slicer.vtkMRMLSliceNode()
        node.SetLayoutName("Red")
        node.SetDimensions(PIXELS, PIXELS, 1)
        node.SetFieldOfView(120.0, 120.0, 1.0)
        self.through(self.geometry.size[2] // 2)
        widget = SimpleNamespace(
            sliceView=lambda: SimpleNamespace(interactor=lambda: self.interactor),
            sliceLogic=lambda: SimpleNamespace(GetSliceNode=lambda: node),
        )
        self._layout = SimpleNamespace(sliceViewNames=lambda: ("Red",), sliceWidget=lambda _name: widget)
        slicer.app.layoutManager = lambda: self._layout

    def through(self, k: int) -> None:
        middle = self.geometry.index_to_ras((self.geometry.size[0] // 2, self.geometry.size[1] // 2, k))
        self.node.SetSliceToRASByNTP(0, 0, 1, -1, 0, 0, *middle, 0)
        self.node.UpdateMatrices()

    def pixel(self, voxel: tuple[int, int, int]) -> tuple[int, int]:
        import slicer

        matrix = slicer.util.arrayFromVTKMatrix(self.node.GetXYToRAS())
        x, y, *_rest = np.linalg.solve(matrix, [*self.geometry.index_to_ras(voxel), 1.0])
        return round(x), round(y)

    def draw(self, first: tuple[int, int, int], last: tuple[int, int, int], *, shift=False, right=False) -> None:
        """Press, move, let go."""
        button = "Right" if right else "Left"
        for event, voxel in ((f"{button}ButtonPressEvent", first), ("MouseMoveEvent", last)):
            self._event(event, voxel, shift)
        self._event(f"{button}ButtonReleaseEvent", last, shift)

    def _event(self, name: str, voxel: tuple[int, int, int], shift: bool) -> None:
        self.interactor.SetEventInformation(*self.pixel(voxel), 0, int(shift))
        self.interactor.InvokeEvent(name)
