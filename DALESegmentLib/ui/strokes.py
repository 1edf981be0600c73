"""Strokes of the mouse in the slice views: the left button inside, with Shift or the right button outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk

from ..engine.geometry.grid import Geometry

PRIORITY = 100.0
"""Above that of the views' own tools, which then do not get these events."""

Voxel = tuple[int, ...]


class Strokes:
    """While it is open, the slice views draw strokes. onStroke(voxels, inside) is called when a button is let go, with
    the voxels (i, j, k) of the image that it was drawn over, without gaps; onPart(voxels, inside) while it is drawn."""

    def __init__(self, geometry: Geometry, onStroke: Callable[[list[Voxel], bool], None]) -> None:
        self._geometry, self._onStroke = geometry, onStroke
        self._observed: list[tuple[Any, int]] = []
        self._drawing: tuple[Any, bool, list[Voxel]] | None = None  # interactor, inside, voxels so far

    def open(self) -> int:
        """In all slice views of the layout; how many these are."""
        layout = slicer.app.layoutManager()
        names = layout.sliceViewNames() if layout is not None else ()
        for name in names:
            widget = layout.sliceWidget(name)
            interactor, node = widget.sliceView().interactor(), widget.sliceLogic().GetSliceNode()
            for event, begin, right in (
                ("LeftButtonPressEvent", True, False),
                ("RightButtonPressEvent", True, True),
                ("MouseMoveEvent", None, False),
                ("LeftButtonReleaseEvent", False, False),
                ("RightButtonReleaseEvent", False, True),
            ):
                self._observe(interactor, node, event, begin, right)
        return len(names)

    def close(self) -> None:
        """The views are as before."""
        for interactor, tag in self._observed:
            interactor.RemoveObserver(tag)
        self._observed, self._drawing = [], None

    def _observe(self, interactor: Any, node: Any, event: str, begin: bool | None, right: bool) -> None:
        def take(_caller: Any, _event: str) -> None:
            if self._take(interactor, node, begin, right):
                interactor.GetCommand(tag).SetAbortFlag(1)  # no tool of the views is to zoom or to pan with it

        tag = interactor.AddObserver(event, take, PRIORITY)
        self._observed.append((interactor, tag))

    def _take(self, interactor: Any, node: Any, begin: bool | None, right: bool) -> bool:
        """Whether the event was one of a stroke."""
        if begin:
            self._drawing = interactor, not (right or interactor.GetShiftKey()), []
        if self._drawing is None or self._drawing[0] is not interactor:
            return False
        voxels = self._drawing[2]
        voxel = self._voxel(interactor.GetEventPosition(), node)
        if voxel is not None:
            voxels.extend(_line(voxels[-1], voxel) if voxels else [voxel])
        if begin is False:
            _interactor, inside, voxels = self._drawing
            self._drawing = None
            if voxels:
                self._onStroke(list(dict.fromkeys(voxels)), inside)
        return True

    def _voxel(self, position: tuple[int, int], node: Any) -> Voxel | None:
        """Of the image under a pixel of a view; None beside it."""
        ras = vtk.vtkMatrix4x4()
        ras.DeepCopy(node.GetXYToRAS())
        point = ras.MultiplyPoint((float(position[0]), float(position[1]), 0.0, 1.0))[:3]
        index = tuple(int(n) for n in np.rint(self._geometry.ras_to_index(point)))
        return index if all(0 <= n < size for n, size in zip(index, self._geometry.size, strict=True)) else None


def _line(first: Voxel, last: Voxel) -> list[Voxel]:
    """The voxels from one to another, without gaps; the first left out."""
    steps = max(1, int(np.abs(np.subtract(last, first)).max()))
    points = np.rint(np.linspace(first, last, steps + 1)[1:]).astype(int)
    return [tuple(int(n) for n in point) for point in points]
