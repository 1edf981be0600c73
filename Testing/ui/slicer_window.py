"""The module's panel as Slicer would open it: found, built, clicked, left."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import shiboken6
import standin
from PySide6 import QtCore, QtTest, QtWidgets
from standin.application import qSlicerScriptedLoadableModuleWidget
from standin.ctk_widgets import ctkCollapsibleButton
from standin.module_panel import ModulePanel

MODULE = Path(__file__).parents[2] / "DALESegment" / "DALESegment.py"


def open_module():
    """The module's widget object, set up in a dock as wide as Slicer's module panel."""
    import slicer

    module = importlib.import_module("DALESegment")
    window = qSlicerScriptedLoadableModuleWidget()
    dock = ModulePanel(window)
    slicer.modules.dalesegment = SimpleNamespace(path=str(MODULE), widgetRepresentation=lambda: standin.wrap(window))
    slicer.app.mainWindow = standin.wrap(dock)
    widget = slicer.modules.DALESegmentWidget = module.DALESegmentWidget(standin.wrap(window))
    widget.window, widget.dock = window, dock
    widget.setup()
    window.entered = True
    widget.enter()
    dock.show()
    return widget


def enter(widget) -> None:
    """The module is chosen."""
    widget.window.entered = True
    widget.dock.choose(True)
    widget.enter()


def leave(widget) -> None:
    """Another module is chosen."""
    widget.window.entered = False
    widget.exit()
    widget.dock.choose(False)


def reload(widget):
    """The developer's Reload button; the widget object that is there now."""
    import slicer

    widget.onReload()
    now = slicer.modules.DALESegmentWidget
    now.window, now.dock, now.case = widget.window, widget.dock, widget.case
    return now


def close(widget) -> None:
    """Slicer quits: the module is told, and its widgets go at once, not when Python comes to collect them."""
    widget.cleanup()
    shiboken6.delete(widget.dock)


def click(wrapped) -> None:
    """A mouse click in the middle of a widget that can be clicked; on a check box, whose text may be short, on it."""
    held = standin.unwrap(wrapped)
    reveal(held)
    place = QtCore.QPoint(8, held.height() // 2) if isinstance(held, QtWidgets.QCheckBox) else QtCore.QPoint()
    assert held.isVisible(), f"{held.objectName()} is not on screen"
    assert held.isEnabled(), f"{held.objectName()} is disabled"
    QtTest.QTest.mouseClick(held, QtCore.Qt.MouseButton.LeftButton, pos=place)


def reveal(held) -> None:
    """Open what the control lies in, as a reader does who looks for it."""
    parents = []
    while held.parentWidget() is not None:
        held = held.parentWidget()
        parents.append(held)
    for box in reversed(parents):
        if isinstance(box, ctkCollapsibleButton) and box.collapsed:
            header = QtCore.QPoint(40, ctkCollapsibleButton.HEADER // 2)
            QtTest.QTest.mouseClick(box, QtCore.Qt.MouseButton.LeftButton, pos=header)
            QtTest.QTest.qWait(20)  # until what came into sight has its place
            assert not box.collapsed, box.objectName()


def click_row(wrapped_table, row: int) -> None:
    table = standin.unwrap(wrapped_table)
    place = table.visualItemRect(table.item(row, 0)).center()
    QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=place)


def click_heading(wrapped_table, column: int) -> None:
    header = standin.unwrap(wrapped_table).horizontalHeader()
    place = QtCore.QPoint(header.sectionViewportPosition(column) + 8, header.height() // 2)
    QtTest.QTest.mouseClick(header.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=place)


def wait_until(condition, seconds: float = 20) -> bool:
    """Let events be handled until condition() holds; whether it came to hold."""
    for _ in range(int(50 * seconds)):
        if condition():
            return True
        QtTest.QTest.qWait(20)
    return condition()


def press(widget, key: str) -> None:
    """A key pressed while the window has the focus."""
    widget.dock.activateWindow()
    widget.dock.setFocus()
    QtTest.QTest.qWaitForWindowActive(widget.dock)
    QtTest.QTest.keyClick(widget.dock, getattr(QtCore.Qt.Key, f"Key_{key}"))


def picture(widget, path: Path) -> Path:
    QtTest.QTest.qWait(50)
    assert widget.window.grab().save(str(path))
    return path


def states(widget) -> list[str]:
    """What the region table says was decided, row by row."""
    table = widget.ui.regionsTable
    return [table.item(row, 5).text() for row in range(table.rowCount)]
