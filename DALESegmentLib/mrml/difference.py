"""The difference of two segmentations, as segments and in millilitres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..engine.geometry.grid import Geometry
from .i18n import tr as _
from .scene import ROLE, nodeWithRole, removeWithDisplay
from .segmentations import addSegmentation

DIFFERENCE = "difference"
ADDED, REMOVED = (0.0, 0.62, 0.45), (0.80, 0.47, 0.65)  # told apart with any colour vision


@dataclass(frozen=True)
class Change:
    """One class before and after, in ml; added and removed need not be their difference alone."""

    name: str
    before: float
    after: float
    added: float
    removed: float

    def sentence(self) -> str:
        """ "tumour 12.30 → 12.95 ml (0.80 added, 0.15 removed)" """
        text = _("{name} {before:.2f} → {after:.2f} ml ({added:.2f} added, {removed:.2f} removed)")
        return text.format(**asdict(self))


def changes(before: np.ndarray, after: np.ndarray, classNames: Mapping[int, str], voxelMm3: float) -> list[Change]:
    """The change of each class between two labels (k, j, i)."""
    millilitres = voxelMm3 / 1000.0
    rows = []
    for value, name in sorted(classNames.items()):
        was, now = before == value, after == value
        counts = (was.sum(), now.sum(), (now & ~was).sum(), (was & ~now).sum())
        rows.append(Change(name, *(float(count) * millilitres for count in counts)))
    return rows


def showDifference(
    before: np.ndarray, after: np.ndarray, geometry: Geometry, classNames: Mapping[int, str], image: Any
) -> Any:
    """A segmentation of what came and what went, two segments a class, in the place of an earlier one."""
    removeDifference()
    label = np.zeros(before.shape, np.uint8 if len(classNames) < 100 else np.uint16)
    names: dict[int, str] = {}
    for order, (value, name) in enumerate(sorted(classNames.items())):
        removed, added = 2 * order + 1, 2 * order + 2
        names |= {removed: _("{name}: removed").format(name=name), added: _("{name}: added").format(name=name)}
        # A voxel has one place here; one that changed from a class to another counts as added to the second.
        label[(before == value) & (after == 0)] = removed
        label[(after == value) & (before != value)] = added
    node = addSegmentation(label, geometry, names, image, _("{image} before and after").format(image=image.GetName()))
    node.SetAttribute(ROLE, DIFFERENCE)
    for order, segmentId in enumerate(node.GetSegmentation().GetSegmentIDs()):
        node.GetSegmentation().GetSegment(segmentId).SetColor(*(ADDED if order % 2 else REMOVED))
    node.GetDisplayNode().SetVisibility2DFill(True)
    node.GetDisplayNode().SetOpacity2DFill(0.5)
    return node


def removeDifference() -> None:
    """Take the difference away, if there is one."""
    node = nodeWithRole("vtkMRMLSegmentationNode", DIFFERENCE)
    if node is not None:
        removeWithDisplay(node)
