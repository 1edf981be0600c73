"""The region at hand, outlined and framed in every slice view, and where the Segment Editor may change something.

Both are models whose sections the slice views draw; in 3D they are shown only where that is asked for. They are made
from what is in the scene anyway, so they are not saved with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

from ..engine.geometry.distance import bounding_box
from ..engine.geometry.grid import Geometry
from .i18n import tr as _
from .scene import ROLE, currentScene, freeName, nodeWithRole, removeWithDisplay

OUTLINE, FRAME, EDITABLE = "regionOutline", "regionFrame", "editableArea"
FRAME_MM = 3.0  # of room between a region and its frame
WHITE = (1.0, 1.0, 1.0)
_CORNERS = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])


def markRegion(mask: np.ndarray, first: tuple[int, int, int], geometry: Geometry, in3D: bool = False) -> None:
    """Outline and frame a region in the slice views, in the place of the one before.

    mask: (k, j, i) bool, a part of the image whose voxel (0, 0, 0) is the image's voxel `first` (k, j, i).
    """
    if not mask.any():
        unmarkRegion()
        return
    _show(OUTLINE, _("Region at hand"), _voxelFaces(mask, first), geometry, 2, in3D)
    sides = bounding_box(mask) or ()
    margin = FRAME_MM / np.array((1.0, *geometry.array_spacing)[-3:])
    low, high = (np.array(ends) + first - 0.5 for ends in zip(*((s.start, s.stop) for s in sides), strict=True))
    low, high = low - margin, high + margin
    _show(FRAME, _("Frame of the region at hand"), _boxFaces(low, high), geometry, 1, in3D)


def unmarkRegion() -> None:
    """Take outline and frame away."""
    _remove(OUTLINE)
    _remove(FRAME)


def markEditableArea(mask: np.ndarray, geometry: Geometry) -> None:
    """Outline in the slice views where the Segment Editor may change something. mask: (k, j, i) bool."""
    array = mask if mask.ndim == 3 else mask[None]
    _show(EDITABLE, _("Where you may draw"), _voxelFaces(array, (0, 0, 0)), geometry, 2, False)
    _showFrame(False)  # one white line less, where two areas matter


def unmarkEditableArea() -> None:
    _remove(EDITABLE)
    _showFrame(True)


def _showFrame(shown: bool) -> None:
    frame = nodeWithRole("vtkMRMLModelNode", FRAME)
    if frame is not None:
        frame.GetDisplayNode().SetVisibility2D(shown)


def _show(role: str, name: str, faces: np.ndarray, geometry: Geometry, pixels: int, in3D: bool) -> None:
    """faces: (n, 4, 3) corners of squares, in indices (i, j, k)."""
    node = nodeWithRole("vtkMRMLModelNode", role) or _newModel(role, name)
    affine = geometry.ijk_to_ras()
    corners = faces.reshape(-1, 3) @ affine[:3, :3].T + affine[:3, 3]
    node.SetAndObservePolyData(_polyData(corners))
    display = node.GetDisplayNode()
    display.SetSliceIntersectionThickness(pixels)
    display.SetVisibility3D(in3D)


def _newModel(role: str, name: str) -> Any:
    scene = currentScene()
    node = scene.CreateNodeByClass("vtkMRMLModelNode")
    node.UnRegister(None)
    node.SetName(freeName(name))
    node.SetAttribute(ROLE, role)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetSelectable(False)
    node = scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetColor(*WHITE)
    display.SetRepresentation(slicer.vtkMRMLDisplayNode.WireframeRepresentation)
    display.SetVisibility(True)
    display.SetVisibility2D(True)
    return node


def _remove(role: str) -> None:
    node = nodeWithRole("vtkMRMLModelNode", role)
    if node is not None:
        removeWithDisplay(node)


def _voxelFaces(mask: np.ndarray, first: tuple[int, int, int]) -> np.ndarray:
    """(n, 4, 3) squares between voxels that belong to the mask and those that do not, corners in (i, j, k)."""
    box = bounding_box(mask)
    if box is None:
        return np.zeros((0, 4, 3))
    low = np.array([side.start for side in box])
    padded = np.pad(mask[box], 1)
    faces = []
    for axis in range(3):
        before = np.argwhere(np.diff(padded, axis=axis))  # the face lies half a voxel after these
        square = np.zeros((4, 3))
        square[:, [n for n in range(3) if n != axis]] = _CORNERS - 0.5
        square[:, axis] = 0.5
        faces.append(before[:, None, :] + square[None])
    return (np.concatenate(faces) - 1 + low + first)[..., ::-1]


def _boxFaces(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(6, 4, 3) sides of a box between two corners given as (k, j, i)."""
    sides = []
    for axis in range(3):
        square = np.zeros((4, 3))
        others = [n for n in range(3) if n != axis]
        square[:, others] = low[others] + _CORNERS * (high - low)[others]
        for end in (low, high):
            square[:, axis] = end[axis]
            sides.append(square.copy())
    return np.array(sides)[..., ::-1]


def _polyData(corners: np.ndarray) -> vtk.vtkPolyData:
    """Squares of four points each, as two triangles."""
    squares = np.arange(len(corners)).reshape(-1, 4)
    triangles = np.concatenate([squares[:, [0, 1, 2]], squares[:, [0, 2, 3]]])
    points, cells, data = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkPolyData()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(corners, np.float32), deep=True))
    offsets = np.arange(0, 3 * len(triangles) + 1, 3, dtype=np.int64)
    cells.SetData(
        numpy_to_vtkIdTypeArray(offsets, deep=True),
        numpy_to_vtkIdTypeArray(np.ascontiguousarray(triangles.ravel(), np.int64), deep=True),
    )
    data.SetPoints(points)
    data.SetPolys(cells)
    return data
