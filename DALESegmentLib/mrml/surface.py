"""Label confidence on the 3D surface of the segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .heat_map import addColourLegend, confidenceColours
from .scene import ensureNodeWithRole, nodeWithRole, removeWithDisplay
from .segmentations import userSegmentIds
from .volumes import parentToWorld

SURFACE = "confidenceSurface"
SCALARS = "Label confidence"
SMOOTHED = 0.4
"""Voxels."""


def showSurface(heatMapNode: Any, segmentationNode: Any, segmentIds: Sequence[str] | None = None) -> Any:
    """One model of the segments' surfaces (default: all), coloured like the heat map, in every 3D view.

    A surface lies between voxels, those of the segment and those around it, and either can be wrong: it has the
    colour of the least sure ones. With a mean of both, an object that should not be there would get a middle colour.
    The user's segmentation is not touched: the surfaces are made in a copy. Returns the vtkMRMLModelNode.
    """
    surface = _coloured(_surfaceOf(segmentationNode, segmentIds), heatMapNode)
    node = ensureNodeWithRole("vtkMRMLModelNode", SURFACE, f"{segmentationNode.GetName()} label confidence")
    node.SetAndObservePolyData(surface)
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetActiveScalar(SCALARS, vtk.vtkAssignAttribute.POINT_DATA)
    display.SetAndObserveColorNodeID(confidenceColours().GetID())
    display.SetScalarRangeFlag(slicer.vtkMRMLDisplayNode.UseManualScalarRange)
    display.SetScalarRange(0.0, 1.0)
    display.SetScalarVisibility(True)
    display.SetVisibility(True)
    display.SetVisibility2D(False)  # the slices have the heat map itself
    addColourLegend(node)
    return node


def removeSurface() -> None:
    """Take the coloured surface away with all that belongs to it."""
    node = nodeWithRole("vtkMRMLModelNode", SURFACE)
    if node is not None:
        removeWithDisplay(node)


def _surfaceOf(segmentationNode: Any, segmentIds: Sequence[str] | None) -> vtk.vtkPolyData:
    """The surfaces of the segments in one, in world coordinates."""
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(segmentationNode.GetSegmentation())
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    copy.CreateRepresentation(name)
    append = vtk.vtkAppendPolyData()
    append.AddInputData(vtk.vtkPolyData())
    for segmentId in userSegmentIds(segmentationNode) if segmentIds is None else segmentIds:
        part = copy.GetSegment(segmentId).GetRepresentation(name)
        if part is not None:
            append.AddInputData(part)
    toWorld = vtk.vtkTransform()
    toWorld.SetMatrix(slicer.util.vtkMatrixFromArray(parentToWorld(segmentationNode)))
    moved = vtk.vtkTransformPolyDataFilter()
    moved.SetInputConnection(append.GetOutputPort())
    moved.SetTransform(toWorld)
    moved.Update()
    return moved.GetOutput()


def _coloured(surface: vtk.vtkPolyData, heatMapNode: Any) -> vtk.vtkPolyData:
    """The surface with the confidence at each of its points; VTK's images know no axes, so it works in indices."""
    coloured = vtk.vtkPolyData()
    coloured.DeepCopy(surface)
    if not surface.GetNumberOfPoints():
        return coloured
    toIndex, toVolume = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    heatMapNode.GetRASToIJKMatrix(toIndex)
    toVolume.DeepCopy(slicer.util.vtkMatrixFromArray(parentToWorld(heatMapNode)))
    toVolume.Invert()
    transform = vtk.vtkTransform()
    transform.SetMatrix(toIndex)
    transform.Concatenate(toVolume)
    placed = vtk.vtkTransformPolyDataFilter()
    placed.SetInputData(surface)
    placed.SetTransform(transform)
    placed.Update()
    ijk = vtk_to_numpy(placed.GetOutput().GetPoints().GetData())
    scalars = numpy_to_vtk(_leastSure(slicer.util.arrayFromVolume(heatMapNode), ijk), deep=True)
    scalars.SetName(SCALARS)
    coloured.GetPointData().SetScalars(scalars)
    return coloured


def _leastSure(confidence: np.ndarray, ijk: np.ndarray) -> np.ndarray:
    """(N,) float32, the least confidence of the voxels that each point lies between; confidence: (k, j, i);
    ijk: (N, 3) indices, which may lie between voxels and at the rim outside them. Smoothing moves a surface by up to
    SMOOTHED voxels, so the voxels within that distance count as well."""
    first = np.ceil(ijk - 1.0 - SMOOTHED).astype(int)
    last = np.floor(ijk + 1.0 + SMOOTHED).astype(int)
    size = np.array(confidence.shape)[::-1]
    least = np.ones(len(ijk), np.float32)
    for offset in np.ndindex(3, 3, 3):
        i, j, k = np.clip(np.minimum(first + offset, last), 0, size - 1).T
        np.minimum(least, confidence[k, j, i], out=least)
    return least
