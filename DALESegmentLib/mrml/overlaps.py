"""Segments that overlap: a label has one class a voxel, so the later segment takes what both claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .i18n import tr as _
from .labelmap_snapshot import LabelmapSnapshot

MOST_NAMED = 3


@dataclass(frozen=True)
class Overlap:
    """What one segment loses to another, in ml; all: of the segment."""

    segment: str
    over: str
    lost: float
    all: float

    def sentence(self) -> str:
        """ "“lesion” counts 8.96 of its 12.80 ml less, because “whole” lies over it" """
        text = _("“{segment}” counts {lost:.2f} of its {all:.2f} ml less, because “{over}” lies over it")
        return text.format(segment=self.segment, lost=self.lost, all=self.all, over=self.over)


def overlaps(drawn: LabelmapSnapshot, voxelMm3: float) -> list[Overlap]:
    """What each segment loses, the largest first; on any thread."""
    ml, names = voxelMm3 / 1000.0, drawn.classNames
    claimed, lost = drawn.claims()
    found = [
        Overlap(names[value], names[other], voxels * ml, claimed[value] * ml) for (value, other), voxels in lost.items()
    ]
    return sorted(found, key=lambda overlap: -overlap.lost)


def overlapSentence(found: Sequence[Overlap]) -> str:
    """Aloud, with what can be done; "" where nothing overlaps."""
    if not found:
        return ""
    named = "; ".join(overlap.sentence() for overlap in found[:MOST_NAMED])
    text = _("ATTENTION: segments overlap. {named}. To judge one of them whole, choose it beside Segment under Data.")
    return text.format(named=named)
