"""How this layer reaches the scene, in the application and without the desktop."""

from __future__ import annotations

import os
import sys
import uuid
from types import SimpleNamespace
from typing import Any

import slicer

ROLE = "DALESegment.Role"
IMAGE = "DALESegment.Image"
SEGMENTATION = "DALESegment.Segmentation"
LASTING_ID = "DALESegment.ID"
FINGERPRINT = "DALESegment.Fingerprint"  # of the image that a result is about

_headless: Any = None


def currentScene() -> slicer.vtkMRMLScene:
    """The scene everything here works on."""
    return slicer.mrmlScene


def startHeadless() -> Any:
    """Set up the real MRML classes for use without the desktop; views render off screen.

    Afterwards `slicer.mrmlScene`, `slicer.modules` and the array functions of `slicer.util` work as they do
    in the application. Returns trame-slicer's SlicerApp, the same one at each call. Inside the application,
    where all of this exists, it changes nothing and returns None.
    """
    global _headless
    if _headless is None:
        if hasattr(slicer, "app"):
            return None
        if sys.platform == "linux" and not os.environ.get("DISPLAY"):
            os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
        from trame_slicer.core import SlicerApp
        from trame_slicer.views import DirectViewFactory

        _headless = SlicerApp()
        _headless.view_manager.register_factory(DirectViewFactory(do_render_offscreen=True))
        slicer.mrmlScene = _headless.scene
        slicer.mrmlScene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())  # the Colors module does it there
        slicer.modules = SimpleNamespace(
            volumes=SimpleNamespace(logic=lambda: _headless.volumes_logic),
            segmentations=SimpleNamespace(logic=lambda: _headless.segmentations_logic),
        )
    return _headless


def nodeWithRole(className: str, role: str) -> Any:
    """The node that plays `role` for this module, or None. A role survives renaming, saving and loading."""
    nodes = slicer.util.getNodesByClass(className, currentScene())
    return next((node for node in nodes if node.GetAttribute(ROLE) == role), None)


def ensureNodeWithRole(className: str, role: str, name: str) -> Any:
    """The node that plays `role`, created under `name` where the scene has none."""
    node = nodeWithRole(className, role)
    if node is None:
        node = currentScene().AddNewNodeByClass(className, freeName(name))
        node.SetAttribute(ROLE, role)
    return node


def freeName(name: str) -> str:
    """The name itself while no node has it: Slicer's own count goes on after a node of that name was removed."""
    return name if currentScene().GetFirstNodeByName(name) is None else currentScene().GenerateUniqueName(name)


def persistentId(node: Any) -> str:
    """An ID that a node keeps when it is saved, loaded and imported, where MRML may give it another; a copy gets
    one of its own."""
    own = node.GetAttribute(LASTING_ID)
    alike = slicer.util.getNodesByClass(node.GetClassName(), currentScene())
    first = next((other for other in alike if own and other.GetAttribute(LASTING_ID) == own), None)
    if first is None or first.GetID() != node.GetID():
        own = uuid.uuid4().hex
        node.SetAttribute(LASTING_ID, own)
    return own


def setReferencedNodes(node: Any, image: Any, segmentation: Any) -> None:
    """Note on a result which image and segmentation it is about. It survives saving, loading and renaming."""
    for role, source in ((IMAGE, image), (SEGMENTATION, segmentation)):
        node.SetNodeReferenceID(role, source.GetID() if source is not None else None)


def referencedNodes(node: Any) -> tuple[Any, Any]:
    """The image and the segmentation a result is about; None for one that is no longer in the scene."""
    if node is None:
        return None, None
    return node.GetNodeReference(IMAGE), node.GetNodeReference(SEGMENTATION)


def saveForUndo(node: Any = None) -> None:
    """Before a node (default: the scene) is changed: remember it as it is, where the scene has undo enabled."""
    if currentScene().GetUndoFlag():
        currentScene().SaveStateForUndo(*([] if node is None else [node]))


def removeWithDisplay(node: Any) -> None:
    """Remove a displayable node together with its display and storage nodes."""
    belongings = [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    belongings.append(node.GetStorageNode())
    currentScene().RemoveNode(node)
    for belonging in belongings:
        if belonging is not None and belonging.GetScene() is not None:
            currentScene().RemoveNode(belonging)
