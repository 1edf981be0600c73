"""Volumes of the scene as images on a grid, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..engine.core.errors import EngineError
from ..engine.geometry.grid import Geometry
from .scene import ROLE, currentScene

# Cosine between two axes of a grid above which it counts as sheared; headers are rounded to about 1e-6.
SHEAR = 1e-4


def geometryFromVolume(volumeNode: Any) -> Geometry:
    """Where the volume's voxels lie in the patient, with every parent transform applied.

    Raises EngineError: "empty-volume", "nonlinear-transform", "sheared-volume".
    """
    name = volumeNode.GetName()
    if volumeNode.GetImageData() is None:
        raise EngineError("empty-volume", f"“{name}” holds no image; load it again or choose another volume.")
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    affine = parentToWorld(volumeNode) @ slicer.util.arrayFromVTKMatrix(matrix)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > SHEAR:
        raise EngineError(
            "sheared-volume",
            f"“{name}” is sheared by its transform, so that its voxels are no longer boxes; resample it with "
            "the transform applied, or remove the transform.",
        )
    return Geometry.from_ijk_to_ras(affine, volumeNode.GetImageData().GetDimensions())


def dicomFiles(volumeNode: Any) -> list[Path]:
    """The files of Slicer's DICOM database that a volume was loaded from; none where they are not all there."""
    database = getattr(slicer, "dicomDatabase", None)
    uids = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
    files = [Path(database.fileForInstance(uid) or "-") for uid in uids] if database is not None else []
    return files if all(file.is_file() for file in files) else []


def parentToWorld(node: Any) -> np.ndarray:
    """4×4 from the node's own coordinates to the world, all linear parent transforms concatenated.

    Raises EngineError "nonlinear-transform".
    """
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        raise EngineError(
            "nonlinear-transform",
            f"“{node.GetName()}” lies under the non-linear transform “{transform.GetName()}”; harden the "
            "transform in the Transforms module, or remove it.",
        )
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def imageFromVolumes(volumeNodes: Any | Sequence[Any]) -> np.ndarray:
    """(C, k, j, i) float32: one channel a scalar volume, three a colour volume (opacity is dropped).

    Raises EngineError "no-volume", or "geometry-mismatch" where the volumes do not share one grid.
    """
    nodes = asList(volumeNodes)
    requireSameGrid(nodes)
    return asImage([slicer.util.arrayFromVolume(node) for node in nodes])


def requireSameGrid(nodes: Sequence[Any]) -> None:
    """Raises EngineError "no-volume", or "geometry-mismatch" where the volumes do not share one grid."""
    if not nodes:
        raise EngineError("no-volume", "No volume is chosen; choose the image to work on.")
    first = geometryFromVolume(nodes[0])
    for node in nodes[1:]:
        difference = first.difference(geometryFromVolume(node))
        if difference:
            raise EngineError(
                "geometry-mismatch",
                f"“{node.GetName()}” does not lie on the grid of “{nodes[0].GetName()}” ({difference}); "
                "resample it to that volume first.",
            )


def asImage(volumes: Sequence[np.ndarray]) -> np.ndarray:
    """(C, k, j, i) float32, a copy, of the arrays of volumes: (k, j, i), or (k, j, i, colour)."""
    channels = [array[None] if array.ndim == 3 else np.moveaxis(array[..., :3], -1, 0) for array in volumes]
    image = np.empty((sum(len(c) for c in channels), *channels[0].shape[1:]), np.float32)
    return np.concatenate(channels, out=image, casting="unsafe")


def voxelsOf(volumeNodes: Any | Sequence[Any]) -> list[np.ndarray]:
    """The volumes' arrays as they are stored, not copied; they outlive their nodes.

    Raises as `imageFromVolumes` does.
    """
    nodes = asList(volumeNodes)
    requireSameGrid(nodes)
    return [slicer.util.arrayFromVolume(node) for node in nodes]


def addVolume(array: np.ndarray, geometry: Geometry, name: str) -> Any:
    """A new scalar volume node of a (k, j, i) array; a 2D grid becomes a volume of one slice.

    Raises EngineError "geometry-mismatch" where the array does not fit the grid.
    """
    array = gridArray(array, geometry)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    return slicer.util.addVolumeFromArray(np.ascontiguousarray(array), geometry.ijk_to_ras(), name)


def vtkImage(array: np.ndarray, geometry: Geometry, copied: bool = True) -> vtk.vtkImageData:
    """A (k, j, i) array as the voxels of a volume; bool is stored as uint8, float16 as float32. copied=False: nobody
    else uses the array from now on, and it need not be copied.

    It is in no scene yet, so it may be made on another thread: numpy copies while others run, VTK would hold them up.
    Raises EngineError "geometry-mismatch".
    """
    values = np.ascontiguousarray(gridArray(array, geometry))
    stored = {np.dtype(bool): np.uint8, np.dtype(np.float16): np.float32}.get(values.dtype, values.dtype)
    image = vtk.vtkImageData()
    image.SetDimensions(*values.shape[::-1])
    voxels = values.astype(stored, copy=copied or not values.flags.writeable)
    image.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=False))
    return image


def gridArray(array: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The array as (k, j, i), a 2D one as its only slice. Raises EngineError "geometry-mismatch"."""
    if array.shape != geometry.array_shape:
        raise EngineError(
            "geometry-mismatch",
            f"An array of {' × '.join(map(str, array.shape[::-1]))} voxels does not fit a grid of "
            f"{' × '.join(map(str, geometry.size))}; choose the result that belongs to this volume.",
        )
    return array[None] if array.ndim == 2 else array


def imageOnScreen() -> Any:
    """The image in the background of the slice views, else the first of the scene; None without any.

    Label maps, hidden volumes and what this module made itself are no images.
    """
    scene = currentScene()
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene)
    shown = [scene.GetNodeByID(view.GetBackgroundVolumeID() or "") for view in views]
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)
    return next(filter(_isImage, [*shown, *volumes]), None)


def imagesOfScene() -> list[Any]:
    """Every image that could be segmented, in the order of the scene."""
    return list(filter(_isImage, slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", currentScene())))


def _isImage(node: Any) -> bool:
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode"):
        return False
    return not node.GetHideFromEditors() and node.GetAttribute(ROLE) is None


def asList(nodes: Any | Sequence[Any]) -> list[Any]:
    """One node, or several, as a list."""
    return [nodes] if isinstance(nodes, slicer.vtkMRMLNode) else list(nodes)
