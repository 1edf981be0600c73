"""`slicer.app` and the base classes of a scripted module, as far as the module uses them."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import slicer
from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from .proxy import wrap

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


class Application:
    """`slicer.app`: what is not here is refused, `processEvents` above all."""

    def __init__(self) -> None:
        self.applicationName = "Slicer"
        self.temporaryPath = tempfile.mkdtemp(prefix="slicer-standin-")
        self.slicerUserSettingsFilePath = os.path.join(self.temporaryPath, "settings", "Slicer.ini")
        self._modules = _ModuleManager()
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
        return True

    def layoutManager(self) -> None:
        return None

    def moduleManager(self) -> Any:
        return wrap(self._modules)


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
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._unloaded)

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def setup(self) -> None:
        pass

    def cleanup(self) -> None:
        pass

    def onReload(self) -> None:
        pass

    def _unloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._unloaded)


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
    def delayDisplay(self, message: str, msec: int = 0) -> None:
        print(message)

    def assertTrue(self, value: Any, message: str = "") -> None:
        assert value, message
