"""The layout manager with its slice views: real ones of VTK, drawn off screen."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6.QtCore import Property, QObject, Signal

from DALESegmentLib.mrml.pictures import VIEWS, sliceView


class qMRMLSliceView(QObject):
    """What is asked of a slice view: its render window, and to be drawn soon."""

    def __init__(self, view: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._view = view

    def renderWindow(self) -> Any:
        return self._view.render_window()

    def scheduleRender(self) -> None:
        """It is drawn when a picture is taken."""


class qMRMLSliceWidget(QObject):
    """drawn: trame-slicer's view, for tests to look at."""

    def __init__(self, view: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._slice_view, self.drawn = qMRMLSliceView(view, self), view

    def sliceView(self) -> qMRMLSliceView:
        return self._slice_view


class qMRMLLayoutManager(QObject):
    """An object, as in the application; without slice views until a test opens them, as in a layout of plots."""

    layoutChanged = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._widgets: dict[str, qMRMLSliceWidget] = {}

    def open_slice_views(self, size: int = 300) -> None:
        """For tests: the three views of the usual layout. The scene must not be cleared of them afterwards."""
        self.close_slice_views()
        for orientation, name in VIEWS.items():
            view = sliceView(orientation, size)
            view._update_slice_size()  # the node has to know it before an image is fitted into the view
            self._widgets[name] = qMRMLSliceWidget(view, self)
        self.layoutChanged.emit(3)

    def close_slice_views(self) -> None:
        for widget in self._widgets.values():
            widget.deleteLater()
        self._widgets = {}

    def sliceViewNames(self) -> list[str]:
        return list(self._widgets)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._widgets.get(name)

    def mrmlSliceLogics(self) -> vtk.vtkCollection:
        """The logics of the views, which fit an image into them."""
        logics = vtk.vtkCollection()
        for widget in self._widgets.values():
            logics.AddItem(widget.drawn._logic)
        return logics

    threeDViewCount = Property(int, lambda self: 0)
