"""What the clinician has on screen, as a case of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from DALESegmentLib.engine.cases.case import Case

from .segmentations import labelFromSegmentation
from .volumes import asList, geometryFromVolume, gridArray, imageFromVolumes


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
    nodes = asList(volumeNodes)
    image = imageFromVolumes(nodes)
    case = Case(name or nodes[0].GetName(), image, geometryFromVolume(nodes[0]))
    if segmentationNode is not None:
        case.label, case.class_names, _, _ = labelFromSegmentation(segmentationNode, nodes[0], segmentIds)
    if trusted is not None:
        case.trusted = gridArray(trusted, case.geometry).astype(bool)
    return case
