"""The state a review began with, kept with its region table in the scene: what was drawn, and where the regions are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.geometry.grid import Geometry
from ..engine.geometry.runs import mask_of
from ..engine.io.case import Case
from .hidden_volumes import hiddenArray, hiddenGeometry, hiddenView, setHiddenImage
from .parsed_attributes import jsonItems, keepParsed, parsedAttribute
from .scene import currentScene
from .volumes import vtkImage

LABEL, TRUSTED, REGIONS = "DALESegment.Opened", "DALESegment.OpenedTrusted", "DALESegment.RegionMap"
SUGGESTIONS = "DALESegment.SuggestedChanges"
NAMES, MODEL_NAMES = "DALESegment.OpenedNames", "DALESegment.ModelNames"
PROBABILITIES = "DALESegment.ModelProbabilities"


@dataclass(frozen=True)
class SuggestedChange:
    """Voxels of a region that should have another class. box: slices of (k, j, i); sure, likely: bool, in it."""

    box: tuple[slice, ...]
    sure: np.ndarray
    likely: np.ndarray


def baselineImages(case: Case, regionMap: np.ndarray) -> dict[str, Any]:
    """The case's label, its trusted voxels and the region map (k, j, i), ready to be kept; on any thread."""
    arrays = {LABEL: case.label, TRUSTED: case.trusted, REGIONS: regionMap}
    return {role: None if a is None else vtkImage(np.asarray(a), case.geometry) for role, a in arrays.items()}


def setBaseline(tableNode: Any, images: dict[str, Any], geometry: Geometry, classNames: dict[int, str]) -> None:
    """Keep what `baselineImages` made with the table."""
    for role, image in images.items():
        there = tableNode.GetNodeReference(role)
        if image is None:
            if there is not None:
                currentScene().RemoveNode(there)
            continue
        node = setHiddenImage(image, geometry, f"{tableNode.GetName()} {role.split('.')[1]}", there)
        tableNode.SetNodeReferenceID(role, node.GetID())
    tableNode.SetAttribute(NAMES, json.dumps(classNames))


def hasBaseline(tableNode: Any) -> bool:
    """Whether the scene knows what was drawn when the list was made."""
    return tableNode.GetNodeReference(LABEL) is not None


def baselineClassNames(tableNode: Any) -> dict[int, str]:
    """{label value: name of the segment} when the list was made."""
    return {int(value): name for value, name in json.loads(tableNode.GetAttribute(NAMES) or "{}").items()}


def baselineCase(tableNode: Any) -> Case | None:
    """The case as it was when the list was made, without its image; None where it is not in the scene. Its arrays are
    no copies and only to be read: a new list brings others, and these live on for who holds them."""
    label, trusted = (tableNode.GetNodeReference(role) for role in (LABEL, TRUSTED))
    if label is None:
        return None
    geometry = hiddenGeometry(label)
    nothing = np.zeros((0, *geometry.array_shape), np.float32)
    case = Case(label.GetName(), nothing, geometry, class_names=baselineClassNames(tableNode))
    case.label = hiddenView(label)
    case.trusted = None if trusted is None else hiddenView(trusted) != 0
    return case


def regionMap(tableNode: Any) -> np.ndarray | None:
    """(k, j, i) region IDs; None where they are not in the scene."""
    node = tableNode.GetNodeReference(REGIONS)
    return None if node is None else hiddenArray(node)


def regionMapView(tableNode: Any) -> np.ndarray:
    """The same without a copy, only to be read, where there is a baseline."""
    return hiddenView(tableNode.GetNodeReference(REGIONS))


def regionMapVersion(tableNode: Any) -> int:
    """Another number once the map is another one."""
    return tableNode.GetNodeReference(REGIONS).GetImageData().GetMTime()


def labelView(tableNode: Any) -> np.ndarray:
    """(k, j, i) the label when the list was made, without a copy, only to be read, where there is a baseline."""
    return hiddenView(tableNode.GetNodeReference(LABEL))


Changes = dict[int, SuggestedChange]
"""By region_id."""


def changesIn(suggestions: str) -> Changes | None:
    """What the engine's text suggests to change, on any thread; None where it says nothing."""
    if not suggestions:
        return None
    found = {}
    for number, one in jsonItems(suggestions):
        corners = zip(reversed(one["first_voxel"]), reversed(one["last_voxel"]), strict=True)
        box = tuple(slice(a, b + 1) for a, b in corners)
        shape = [part.stop - part.start for part in box]
        found[int(number)] = SuggestedChange(box, mask_of(one["sure"], shape), mask_of(one["likely"], shape))
    return found


def setModelAnswer(
    tableNode: Any, classNames: dict[int, str], probabilities: str, suggestions: str, changes: Changes | None
) -> None:
    """The names of the model's label values, where the engine keeps its probabilities of this case for prompts, and
    what it suggests to change, as its text says it and as `changesIn` read that."""
    tableNode.SetAttribute(MODEL_NAMES, json.dumps(classNames))
    tableNode.SetAttribute(PROBABILITIES, probabilities)
    tableNode.SetAttribute(SUGGESTIONS, suggestions)
    keepParsed(tableNode, SUGGESTIONS, changes)


def suggestedChanges(tableNode: Any) -> Changes | None:
    """None where they are not in the scene."""
    return parsedAttribute(tableNode, SUGGESTIONS, changesIn)


def modelClassNames(tableNode: Any) -> dict[int, str]:
    """{label value: name} of what the model draws."""
    return {int(value): name for value, name in json.loads(tableNode.GetAttribute(MODEL_NAMES) or "{}").items()}


def probabilities(tableNode: Any) -> str:
    """The file of them, "" where there is none."""
    return tableNode.GetAttribute(PROBABILITIES) or ""
