"""The qMRML widgets in use, on the real MRML scene."""

from __future__ import annotations

import weakref
from typing import Any

from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget


class qMRMLWidget(QWidget):
    """The top of a module's panel: hands the scene on, as the .ui file says."""

    mrmlSceneChanged = Signal(object)
    STANDS_FOR = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


def _stop_observing(observed: list[tuple[Any, int]]) -> None:
    while observed:
        scene, tag = observed.pop()
        scene.RemoveObserver(tag)


class qMRMLSortFilterProxyModel(QObject):
    """Which nodes of the right type a selector leaves out."""

    def __init__(self, selector: qMRMLNodeComboBox) -> None:
        super().__init__(selector)
        self._hidden: list[str] = []

    def _hide(self, node_ids: list[str]) -> None:
        self._hidden = list(node_ids)
        self.parent()._refresh()

    hiddenNodeIDs = Property("QStringList", lambda self: self._hidden, _hide)


class qMRMLNodeComboBox(QWidget):
    """Choose a node of the scene; follows what is added, removed and renamed."""

    currentNodeChanged = Signal(object)
    nodeAddedByUser = Signal(object)
    STANDS_FOR = ("currentNodeChanged(vtkMRMLNode*)", "nodeAddedByUser(vtkMRMLNode*)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._combo = QComboBox()
        self._combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._combo.setMinimumContentsLength(10)
        row.addWidget(self._combo)
        self._combo.currentIndexChanged.connect(lambda _index: self._announce())
        self._scene: Any = None
        # As in Slicer, a selector that is gone hears no more of the scene.
        observed = self._observed = []
        self.destroyed.connect(lambda *_: _stop_observing(observed))
        self._types: list[str] = []
        self._hidden_types: list[str] = []
        self._proxy = qMRMLSortFilterProxyModel(self)
        self._flags = {
            "noneEnabled": False,
            "addEnabled": True,
            "removeEnabled": True,
            "renameEnabled": False,
        }
        self._flags |= {"editEnabled": False, "showHidden": False, "showChildNodeTypes": True}
        self._flags |= {"selectNodeUponCreation": True}
        self._none_text, self._base_name = "None", ""
        self._last: str | None = None

    # --- scene
    def setMRMLScene(self, scene: Any) -> None:
        _stop_observing(self._observed)
        self._scene = scene
        if scene is not None:
            weak = weakref.ref(self)
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent):
                tag = scene.AddObserver(event, lambda *_: weak() and weak()._refresh())
                self._observed.append((scene, tag))
        self._refresh()

    def _matches(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self._flags["showHidden"]:
            return False
        if node.GetID() in self._proxy._hidden or any(node.IsA(t) for t in self._hidden_types):
            return False
        exact = not self._flags["showChildNodeTypes"]
        return any(node.GetClassName() == t if exact else node.IsA(t) for t in self._types)

    def _refresh(self) -> None:
        kept = self._combo.currentData()
        nodes = []
        if self._scene is not None:
            nodes = [self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes())]
        self._combo.blockSignals(True)
        self._combo.clear()
        if self._flags["noneEnabled"]:
            self._combo.addItem(self._none_text, None)
        for node in filter(self._matches, nodes):
            self._combo.addItem(node.GetName(), node.GetID())
        self._combo.setCurrentIndex(max(self._combo.findData(kept) if kept else 0, 0))
        self._combo.blockSignals(False)
        self._announce()

    def _announce(self) -> None:
        current = self._combo.currentData()
        if current != self._last:
            self._last = current
            self.currentNodeChanged.emit(self.currentNode())

    # --- what Slicer offers
    def currentNode(self) -> Any:
        node_id = self._combo.currentData()
        return self._scene.GetNodeByID(node_id) if self._scene is not None and node_id else None

    def setCurrentNode(self, node: Any) -> None:
        node_id = node if isinstance(node, str) else node.GetID() if node is not None else None
        self.setCurrentNodeID(node_id or "")

    def setCurrentNodeID(self, node_id: str) -> None:
        index = self._combo.findData(node_id) if node_id else (0 if self._flags["noneEnabled"] else -1)
        self._combo.setCurrentIndex(index)

    def addNode(self) -> Any:
        node = self._scene.AddNewNodeByClass(self._types[0], self._base_name or self._types[0])
        self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def nodeCount(self) -> int:
        return self._combo.count() - int(self._flags["noneEnabled"])

    def _set_types(self, types: list[str]) -> None:
        self._types = [t for t in types if t]
        self._refresh()

    def sortFilterProxyModel(self) -> qMRMLSortFilterProxyModel:
        return self._proxy

    def _set_hidden_types(self, types: list[str]) -> None:
        self._hidden_types = [t for t in types if t]
        self._refresh()

    def _set_none_text(self, text: str) -> None:
        self._none_text = text
        self._refresh()

    def _set_base_name(self, text: str) -> None:
        self._base_name = text

    def _flag(name):
        def write(self: qMRMLNodeComboBox, value: bool) -> None:
            self._flags[name] = value
            self._refresh()

        return Property(bool, lambda self: self._flags[name], write)

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    hideChildNodeTypes = Property("QStringList", lambda self: self._hidden_types, _set_hidden_types)
    currentNodeID = Property(str, lambda self: self._combo.currentData() or "", setCurrentNodeID)
    noneDisplay = Property(str, lambda self: self._none_text, _set_none_text)
    baseName = Property(str, lambda self: self._base_name, _set_base_name)
    noneEnabled = _flag("noneEnabled")
    addEnabled = _flag("addEnabled")
    removeEnabled = _flag("removeEnabled")
    renameEnabled = _flag("renameEnabled")
    editEnabled = _flag("editEnabled")
    showHidden = _flag("showHidden")
    showChildNodeTypes = _flag("showChildNodeTypes")
    selectNodeUponCreation = _flag("selectNodeUponCreation")


WIDGETS = (qMRMLNodeComboBox, qMRMLWidget)
