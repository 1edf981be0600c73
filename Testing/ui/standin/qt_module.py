"""The module `qt`: PySide6's names behind PythonQt's manners."""

from __future__ import annotations

import types
import xml.etree.ElementTree as ET
from typing import Any

import PySide6.QtCore
import PySide6.QtGui
import PySide6.QtUiTools
import PySide6.QtWidgets

from . import api, ctk_widgets, mrml_widgets
from .proxy import EnumNamespace, as_slot, class_attribute, unwrap, wrap, wrapper_class

#: Not in every build of Slicer, or in Qt 6 alone.
_REFUSED = {"Signal", "Slot", "Property", "QSvgRenderer", "QTest", "QWebEngineView", "QEnum", "QFlag"}


class QtNamespace:
    """`qt.Qt`"""

    def __getattr__(self, name: str) -> Any:
        found = class_attribute(PySide6.QtCore.Qt, name)
        if found is None:
            raise AttributeError(f"qt.Qt has no {name}")
        return found


class QUiLoader:
    """Loads a .ui file with its ctk and qMRML widgets, and makes the connections it lists."""

    def load(self, file: Any) -> Any:
        text = bytes(unwrap(file).readAll().data())
        root = ET.fromstring(text)
        wires = _take_connections(root)
        loader = PySide6.QtUiTools.QUiLoader()
        for custom in (*ctk_widgets.WIDGETS, *mrml_widgets.WIDGETS):
            loader.registerCustomWidget(custom)
        buffer = PySide6.QtCore.QBuffer()
        buffer.setData(ET.tostring(root))
        buffer.open(PySide6.QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = loader.load(buffer)
        for sender, signal, receiver, slot in wires:
            _wire(widget, sender, signal, receiver, slot)
        return wrap(widget)


def _take_connections(root: ET.Element) -> list[tuple[str, ...]]:
    found = root.find("connections")
    if found is None:
        return []
    root.remove(found)
    tags = ("sender", "signal", "receiver", "slot")
    return [tuple((row.findtext(tag) or "").strip() for tag in tags) for row in found]


def _wire(top: Any, sender: str, signal: str, receiver: str, slot: str) -> None:
    """One <connection> of a .ui file; a name that Slicer does not know is an error here."""

    def find(name: str) -> Any:
        found = top if top.objectName() == name else top.findChild(PySide6.QtCore.QObject, name)
        if found is None:
            raise ValueError(f"The .ui file connects '{name}', which it does not hold")
        return found

    target = find(receiver)
    table = api.table(type(target).__name__)
    if table is not None and slot not in table["slots"]:
        raise ValueError(f"{type(target).__name__} has no slot {slot}")
    function = getattr(target, slot.split("(")[0])
    if not wrap(find(sender)).connect(signal, lambda *arguments: function(*map(unwrap, arguments))):
        raise ValueError(f"'{sender}' has no signal {signal}")


def _single_shot(milliseconds: int, function: Any) -> None:
    PySide6.QtCore.QTimer.singleShot(int(milliseconds), as_slot(function))


class QtModule(types.ModuleType):
    """Looks names up when asked for, and refuses those PythonQt does not have."""

    Qt = QtNamespace()
    QUiLoader = QUiLoader

    def __getattr__(self, name: str) -> Any:
        if name in _REFUSED or name.startswith("__"):
            raise AttributeError(f"module 'qt' has no attribute '{name}'")
        for module in (PySide6.QtWidgets, PySide6.QtGui, PySide6.QtCore):
            found = getattr(module, name, None)
            if isinstance(found, type):
                made = wrapper_class(found)
                if name == "QTimer":
                    made.singleShot = staticmethod(_single_shot)
                return made
        raise AttributeError(f"module 'qt' has no attribute '{name}'")


class WidgetModule(types.ModuleType):
    """`ctk`: only what the module uses has been built, anything else is refused."""

    def __init__(self, name: str, widgets: tuple[type, ...]) -> None:
        super().__init__(name)
        for widget in widgets:
            setattr(self, widget.__name__, wrapper_class(widget))


__all__ = ["EnumNamespace", "QtModule", "WidgetModule"]
