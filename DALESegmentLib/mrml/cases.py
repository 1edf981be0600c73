"""What the clinician has on screen, as a case of the engine; and a case of files, put on screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from ..engine.geometry.grid import Geometry
from ..engine.io.array_cases import with_ignored
from ..engine.io.case import Case
from .i18n import tr as _
from .labelmap_snapshot import LabelmapSnapshot
from .outlines import LINE
from .scene import LASTING_ID, currentScene, referencedNodes, removeWithDisplay
from .segmentations import addSegmentation, segmentationSnapshot
from .volumes import addVolume, asImage, asList, geometryFromVolume, gridArray, voxelsOf


def caseFromNodes(
    volumeNodes: Any | Sequence[Any],
    segmentationNode: Any = None,
    segmentIds: Sequence[str] | None = None,
    name: str | None = None,
    trusted: np.ndarray | None = None,
) -> Case:
    """A case of one or more volumes on one grid, with the chosen segments as its label.

    The first volume gives the grid (parent transforms applied) and, without `name`, the name. A 2D image is a
    volume of one slice, as always in Slicer. trusted: (k, j, i) bool on the same grid.
    Raises EngineError as `imageFromVolumes` and `labelFromSegmentation` do.
    """
    case = takeSnapshot(volumeNodes, segmentationNode, segmentIds, name).case()
    if trusted is not None:
        case.trusted = gridArray(trusted, case.geometry).astype(bool)
    return case


@dataclass(frozen=True)
class Snapshot:
    """What a case is made of. The scene may go on changing: the segments are copied, and the images, of which a copy
    would hold up the viewer, are converted by `case`, which follows at once."""

    name: str
    volumes: list[np.ndarray]
    geometry: Geometry
    drawn: LabelmapSnapshot | None

    def case(self) -> Case:
        """The case, made on any thread."""
        case = Case(self.name, asImage(self.volumes), self.geometry)
        if self.drawn is not None:
            case.label, case.class_names = self.drawn.label()[0], dict(self.drawn.classNames)
        return case


def takeSnapshot(
    volumeNodes: Any | Sequence[Any],
    segmentationNode: Any = None,
    segmentIds: Sequence[str] | None = None,
    name: str | None = None,
) -> Snapshot:
    """What `caseFromNodes` makes a case of, taken in as little time as can be. Raises as that does."""
    nodes = asList(volumeNodes)
    volumes = voxelsOf(nodes)
    drawn = None if segmentationNode is None else segmentationSnapshot(segmentationNode, nodes[0], segmentIds)
    return Snapshot(name or nodes[0].GetName(), volumes, geometryFromVolume(nodes[0]), drawn)


def addCase(case: Case, lastingId: str) -> tuple[list[Any], Any]:
    """The case's channels as volumes, and its label as a segmentation; None in place of that where it has none. What is
    not annotated is a segment called "ignore", as which it is read again.

    lastingId: that of the segmentation, by which what was trusted of it earlier is found again.
    """
    names = [case.name] if case.channels == 1 else [f"{case.name} {n + 1}" for n in range(case.channels)]
    volumes = [addVolume(np.asarray(a), case.geometry, n) for a, n in zip(case.image, names, strict=True)]
    if case.label is None:
        return volumes, None
    label, names = with_ignored(case)
    label = np.asarray(label)
    classes = names or {int(v): f"class {v}" for v in np.unique(label) if v} or {1: _("segment")}
    node = addSegmentation(label, case.geometry, classes, volumes[0], _("{case} label").format(case=case.name))
    node.SetAttribute(LASTING_ID, lastingId)
    return volumes, node


def removeCase(volumes: Sequence[Any], segmentation: Any) -> None:
    """Take these nodes out of the scene, with all that is about them: heat maps, lists and what is kept with these."""
    scene = currentScene()
    sources = [node for node in (*volumes, segmentation) if node is not None and node.GetScene() is not None]
    about = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    results = [node for node in about if any(source in sources for source in referencedNodes(node) if source)]
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    results += [node for node in about if node.GetAttribute(LINE) and node.GetNodeReference(role) in sources]
    kept = [
        node.GetNthNodeReference(role, 0)
        for node in results
        for role in _roles(node)
        if role.startswith("DALESegment.") and node.GetNthNodeReference(role, 0) not in sources
    ]
    for node in (*results, *kept, *sources):
        if node is not None and node.GetScene() is not None:
            if node.IsA("vtkMRMLDisplayableNode"):
                removeWithDisplay(node)
            else:
                scene.RemoveNode(node)


def _roles(node: Any) -> list[str]:
    return [node.GetNthNodeReferenceRole(n) for n in range(node.GetNumberOfNodeReferenceRoles())]
