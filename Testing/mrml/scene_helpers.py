"""Small things the tests of the scene share."""

from __future__ import annotations

import numpy as np

from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.geometry.grid import Geometry


def a_region(rank: int, voxel: tuple[int, int, int], geometry: Geometry, suspicion="too large") -> Region:
    first, last = tuple(v - 2 for v in voxel), tuple(v + 2 for v in voxel)
    return Region(
        rank, "CT", rank, 1, "lesion", suspicion, 0, 125, 200.04, 0.4321, 0.1, 60.5,
        geometry.index_to_ras(voxel), voxel, first, last,
    )  # fmt: skip


def node_counts(scene) -> dict[str, int]:
    """How many nodes of each class the scene holds."""
    counts: dict[str, int] = {}
    for i in range(scene.GetNumberOfNodes()):
        name = scene.GetNthNode(i).GetClassName()
        counts[name] = counts.get(name, 0) + 1
    return counts


def linear_transform(scene, matrix: np.ndarray, parent=None):
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "registration")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(parent.GetID() if parent else None)
    return node
