"""The module's panel as Slicer would open it: found, built, clicked, left."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import shiboken6
import standin
from PySide6 import QtCore, QtTest, QtWidgets
from standin.application import qSlicerScriptedLoadableModuleWidget

MODULE = Path(__file__).parents[2] / "DALESegment" / "DALESegment.py"
WIDTH = 380


def open_module():
    """The module's widget object, set up in a window as wide as Slicer's module panel."""
    import slicer

    slicer.modules.dalesegment = SimpleNamespace(path=str(MODULE))
    module = importlib.import_module("DALESegment")
    window = qSlicerScriptedLoadableModuleWidget()
    window.resize(WIDTH, 1000)
    slicer.app.mainWindow = standin.wrap(window)
    widget = module.DALESegmentWidget(standin.wrap(window))
    widget.window = window
    widget.setup()
    enter(widget)
    window.show()
    return widget


def enter(widget) -> None:
    """The module is chosen."""
    widget.window.entered = True
    widget.enter()


def leave(widget) -> None:
    """Another module is chosen."""
    widget.window.entered = False
    widget.exit()


def close(widget) -> None:
    """Slicer quits: the module is told, and its widgets go at once, not when Python comes to collect them."""
    widget.cleanup()
    shiboken6.delete(widget.window)


def click(wrapped) -> None:
    """A mouse click in the middle of a widget that can be clicked; on a check box, whose text may be short, on it."""
    held = standin.unwrap(wrapped)
    place = QtCore.QPoint(8, held.height() // 2) if isinstance(held, QtWidgets.QCheckBox) else QtCore.QPoint()
    assert held.isVisible(), f"{held.objectName()} is not on screen"
    assert held.isEnabled(), f"{held.objectName()} is disabled"
    QtTest.QTest.mouseClick(held, QtCore.Qt.MouseButton.LeftButton, pos=place)


def click_row(wrapped_table, row: int) -> None:
    table = standin.unwrap(wrapped_table)
    place = table.visualItemRect(table.item(row, 0)).center()
    QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=place)


def wait_until(condition, seconds: float = 20) -> bool:
    """Let events be handled until condition() holds; whether it came to hold."""
    for _ in range(int(50 * seconds)):
        if condition():
            return True
        QtTest.QTest.qWait(20)
    return condition()


def press(widget, key: str) -> None:
    """A key pressed while the window has the focus."""
    widget.window.activateWindow()
    widget.window.setFocus()
    QtTest.QTest.qWaitForWindowActive(widget.window)
    QtTest.QTest.keyClick(widget.window, getattr(QtCore.Qt.Key, f"Key_{key}"))


def picture(widget, path: Path) -> Path:
    QtTest.QTest.qWait(50)
    assert widget.window.grab().save(str(path))
    return path


def states(widget) -> list[str]:
    """What the region table says was decided, row by row."""
    table = widget.ui.regionsTable
    return [table.item(row, 5).text() for row in range(table.rowCount)]
