"""Arrays that belong to the work and must survive with the scene: hidden volumes, saved in the .mrb like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from ..engine.geometry.grid import Geometry
from .scene import ROLE, currentScene, freeName
from .volumes import geometryFromVolume, vtkImage

KEPT = "kept"


def setHiddenArray(array: np.ndarray, geometry: Geometry, name: str, node: Any = None) -> Any:
    """Put a (k, j, i) array into a hidden volume, a new one or `node`; no selector and no view shows it."""
    return setHiddenImage(vtkImage(array, geometry), geometry, name, node)


def setHiddenImage(image: Any, geometry: Geometry, name: str, node: Any = None) -> Any:
    """The same with the voxels made already, by `vtkImage`; they are not copied."""
    if node is None:
        node = currentScene().CreateNodeByClass("vtkMRMLScalarVolumeNode")
        node.UnRegister(None)
        node.SetName(freeName(name))
        node.SetHideFromEditors(True)
        node.SetAttribute(ROLE, KEPT)
        currentScene().AddNode(node)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(geometry.ijk_to_ras()))
    node.SetAndObserveImageData(image)
    return node


def hiddenArray(node: Any) -> np.ndarray:
    """The array as it was kept, (k, j, i)."""
    return slicer.util.arrayFromVolume(node).copy()


def hiddenView(node: Any) -> np.ndarray:
    """The same without a copy, only to be read."""
    return slicer.util.arrayFromVolume(node)


def hiddenGeometry(node: Any) -> Geometry:
    """The grid that the array lies on."""
    return geometryFromVolume(node)
