"""The state a review began with, kept with its region table in the scene: what was drawn, and where the regions are."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from DALESegmentLib.engine.cases.case import Case

from .kept import keepArray, keptArray, keptGeometry
from .scene import currentScene

LABEL, TRUSTED, REGIONS = "DALESegment.Opened", "DALESegment.OpenedTrusted", "DALESegment.RegionMap"
NAMES = "DALESegment.OpenedNames"


def keepOpened(tableNode: Any, case: Case, regionMap: np.ndarray) -> None:
    """Keep the case's label, its trusted voxels and the region map (k, j, i) with the table."""
    arrays = {LABEL: case.label, TRUSTED: case.trusted, REGIONS: regionMap}
    for role, array in arrays.items():
        there = tableNode.GetNodeReference(role)
        if array is None:
            if there is not None:
                currentScene().RemoveNode(there)
            continue
        node = keepArray(np.asarray(array), case.geometry, f"{tableNode.GetName()} {role.split('.')[1]}", there)
        tableNode.SetNodeReferenceID(role, node.GetID())
    tableNode.SetAttribute(NAMES, json.dumps(case.class_names))


def openedCase(tableNode: Any) -> Case | None:
    """The case as it was when the list was made, without its image; None where it is not in the scene."""
    label, trusted = (tableNode.GetNodeReference(role) for role in (LABEL, TRUSTED))
    if label is None:
        return None
    geometry = keptGeometry(label)
    names = {int(value): name for value, name in json.loads(tableNode.GetAttribute(NAMES) or "{}").items()}
    case = Case(label.GetName(), np.zeros((0, *geometry.array_shape), np.float32), geometry, class_names=names)
    case.label = keptArray(label)
    case.trusted = None if trusted is None else keptArray(trusted).astype(bool)
    return case


def regionMap(tableNode: Any) -> np.ndarray | None:
    """(k, j, i) region IDs; None where they are not in the scene."""
    node = tableNode.GetNodeReference(REGIONS)
    return None if node is None else keptArray(node)
