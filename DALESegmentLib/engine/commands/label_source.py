"""Why the voxels of a label were learned as they were, on the case's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..dale.issues import Region
from ..dale.label_state import IGNORED, SOURCES, LabelState
from ..geometry.grid import Geometry
from ..io.case import Case
from ..planning.plan import Plan
from ..planning.preprocessing import to_native

GIVEN, REVIEWED, NOT_ANNOTATED = (SOURCES.index(name) for name in ("given", "reviewed", "not_annotated"))


@dataclass
class LabelSource:
    """sources: uint8 (*grid), by number in `names`; a corrector's only where another class was learned than the given
    one. learned: int16 (*grid) network classes, IGNORED where nothing was learned."""

    sources: np.ndarray
    learned: np.ndarray
    names: tuple[str, ...]

    @property
    def changed(self) -> np.ndarray:
        """bool (*grid): whether the voxel was learned otherwise than given."""
        return ~np.isin(self.sources, (GIVEN, REVIEWED, NOT_ANNOTATED))

    def counts(self) -> dict[str, int]:
        """The voxels that were learned otherwise than given, by source, most first."""
        counts = np.bincount(self.sources[self.changed], minlength=len(self.names))
        order = np.argsort(-counts, kind="stable")
        return {self.names[i]: int(counts[i]) for i in order if counts[i]}

    def numbered(self) -> dict[str, str]:
        """{number: name} of the sources that occur, as JSON has it."""
        return {str(number): self.names[number] for number in np.unique(self.sources).tolist()}

    def described(self, region: Region, region_map: np.ndarray, plan: Plan, names: Mapping[int, str]) -> Region:
        """The region with the most frequent source and learned class of its voxels that were learned otherwise than
        given. region_map: (*grid) of `region_id`; names: of classes, by label value."""
        box = tuple(slice(a, b + 1) for a, b in zip(region.first_voxel[::-1], region.last_voxel[::-1], strict=True))
        changed = (region_map[box] == region.region_id) & self.changed[box]
        if not changed.any():
            return replace(region, label_source=self.names[GIVEN])
        pairs = np.stack([values[box][changed].astype(np.int64) for values in (self.sources, self.learned)])
        found, counts = np.unique(pairs, axis=1, return_counts=True)
        source, learned = (int(number) for number in found[:, counts.argmax()])
        described = replace(region, label_source=self.names[source], learned_voxels=int(counts.max()))
        if learned == IGNORED:
            return described
        value = plan.class_values[learned]
        name = names.get(value, f"Class {value}") if value else "background"
        return replace(described, learned_value=value, learned_class=name)


def native_source(labels: LabelState, affine: Tensor, geometry: Geometry) -> LabelSource | None:
    """By nearest neighbour on the case's own grid; None where every voxel was learned as it was given.

    affine: of the prepared grid that `labels` lies on.
    """
    learned, sources = labels.target(), labels.source()
    same = (learned == labels.given) & (sources != REVIEWED) & (sources != NOT_ANNOTATED)
    sources = sources.masked_fill(same, GIVEN)
    if bool(((sources == GIVEN) | (sources == REVIEWED)).all()):
        return None
    both = to_native(torch.stack([sources.float(), learned.float()]), affine, geometry, "nearest")
    return LabelSource(both[0].astype(np.uint8), both[1].astype(np.int16), labels.source_names)


def source_of_case(case: Case) -> LabelSource | None:
    """Of a case that the model was not trained on: where its label is not annotated, if anywhere."""
    if case.annotated is None:
        return None
    sources = np.where(case.annotated, GIVEN, NOT_ANNOTATED).astype(np.uint8)
    return LabelSource(sources, np.where(case.annotated, 0, IGNORED).astype(np.int16), SOURCES)
