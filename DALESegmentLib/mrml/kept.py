"""Arrays that belong to the work and must survive with the scene: hidden volumes, saved in the .mrb like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from DALESegmentLib.engine.cases.geometry import Geometry

from .scene import ROLE, currentScene
from .volumes import geometryFromVolume, gridArray

KEPT = "kept"


def keepArray(array: np.ndarray, geometry: Geometry, name: str, node: Any = None) -> Any:
    """Put a (k, j, i) array into a hidden volume, a new one or `node`; no selector and no view shows it."""
    values = np.ascontiguousarray(gridArray(array, geometry))
    stored = {np.dtype(bool): np.uint8, np.dtype(np.float16): np.float32}.get(values.dtype, values.dtype)
    values = values.astype(stored, copy=False)
    if node is None:
        node = currentScene().CreateNodeByClass("vtkMRMLScalarVolumeNode")
        node.UnRegister(None)
        node.SetName(currentScene().GenerateUniqueName(name))
        node.SetHideFromEditors(True)
        node.SetAttribute(ROLE, KEPT)
        currentScene().AddNode(node)
    image = vtk.vtkImageData()
    image.SetDimensions(*values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(geometry.ijk_to_ras()))
    node.SetAndObserveImageData(image)
    return node


def keptArray(node: Any) -> np.ndarray:
    """The array as it was kept, (k, j, i)."""
    return slicer.util.arrayFromVolume(node).copy()


def keptGeometry(node: Any) -> Geometry:
    """The grid that the array lies on."""
    return geometryFromVolume(node)
