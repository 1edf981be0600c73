"""What the clinician has on screen, as a case of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.geometry.grid import Geometry
from ..engine.io.case import Case
from .labelmap_snapshot import LabelmapSnapshot
from .segmentations import segmentationSnapshot
from .volumes import asImage, asList, geometryFromVolume, gridArray, voxelsOf


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
