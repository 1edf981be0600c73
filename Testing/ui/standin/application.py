"""`slicer.app` and the base classes of a scripted module, as far as the module uses them."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

import slicer
from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QVBoxLayout, QWidget

from .proxy import wrap
from .views import qMRMLLayoutManager

__all__ = [
    "Application",
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


class _ModuleManager(QObject):
    moduleAboutToBeUnloaded = Signal(str)


class qSlicerScriptedLoadableModuleWidget(QWidget):
    """What Slicer makes around the module's Python widget: it knows whether the panel is the one on screen."""

    def __init__(self) -> None:
        super().__init__()
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)
        self.entered = False

    isEntered = Property(bool, lambda self: self.entered)

    def reload(self) -> None:
        """As in the application: a new Python widget is set up in the same place, and not entered."""
        name = slicer.app.moduleName
        made = getattr(sys.modules[name], f"{name}Widget")(wrap(self))
        setattr(slicer.modules, f"{name}Widget", made)
        made.setup()


class Application:
    """`slicer.app`: what is not here is refused, `processEvents` above all."""

    def __init__(self) -> None:
        self.applicationName = "Slicer"
        self.temporaryPath = tempfile.mkdtemp(prefix="slicer-standin-")
        self.slicerUserSettingsFilePath = os.path.join(self.temporaryPath, "settings", "Slicer.ini")
        self._modules = _ModuleManager()
        self._layout = qMRMLLayoutManager()
        self.testing = False
        self.moduleName = "DALESegment"
        self.dialogs: list[str] = []  # what message boxes said, which a person would have had to click away
        self.popups: list[str] = []  # what was shown for a while by delayDisplay
        self.agrees = False  # whether the person answers a question with OK
        self._whenStarted: list[Any] = []

    def connect(self, signal: str, slot: Any) -> bool:
        if signal != "startupCompleted()":
            return False
        self._whenStarted.append(slot)
        return True

    def start(self) -> None:
        """For tests: the application has started."""
        for slot in self._whenStarted:
            slot()

    def testingEnabled(self) -> bool:
        """Whether Slicer was started with --testing. Who sits at it has not done that."""
        return self.testing

    def layoutManager(self) -> Any:
        return wrap(self._layout)

    def moduleManager(self) -> Any:
        return wrap(self._modules)


def messageBox(text: str, parent: Any = None, **_keywords: Any) -> int:
    """Slicer's own functions end here unless it was started for testing; a person has to answer."""
    import qt

    slicer.app.dialogs.append(str(text))
    return qt.QMessageBox.Ok if slicer.app.agrees else qt.QMessageBox.Cancel


def delayDisplay(message: str, *_arguments: Any, **_keywords: Any) -> None:
    """A pop-up with an event loop of its own: what waits in the queue, dialogs too, opens inside it."""
    slicer.app.popups.append(str(message))
    print(message)
    QTest.qWait(30)


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        slicer.selfTests = {**getattr(slicer, "selfTests", {}), self.moduleName: self.runTest}

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def runTest(self) -> None:
        raise NotImplementedError


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent
        self.layout = parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def setup(self) -> None:
        pass

    def cleanup(self) -> None:
        pass

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            manager = slicer.app.moduleManager()
            manager.disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetAttribute("ModuleName", self.moduleName)
            node = scene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest:
    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        slicer.util.delayDisplay(message)

    def assertTrue(self, value: Any, message: str = "") -> None:
        assert value, message
