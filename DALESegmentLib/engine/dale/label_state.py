"""The label of one case in all its versions: as given, as reviewed, as correctors propose it, and as it is learned.

A training learns from `target`: for each voxel the label of the first of these that says something,

    reviewed > missed_objects > image_evidence > annotator_bias > given

so that no corrector moves a reviewed voxel, and a proposal that is withdrawn uncovers what lies below it. Other
correctors rank above these three, by name.

Disagreement (see `partition`) is kept about the target. Where the target moves, what spoke against the old label
speaks for the new one: s becomes 1 - s. With two classes that is exact, with more a heuristic. `seen` tells the voxels
whose disagreement was ever computed from those that no patch has covered.

All arrays are (*grid) tensors, contiguous, written in place and read a slab at a time, so that they can be mapped files
larger than the memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import EllipsisType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

IGNORED = -1
"""A label that nothing is learned from: padding, and voxels whose label a corrector rejects."""
NO_PROPOSAL = -2
UNSEEN = 0.5
"""What the disagreement holds where nothing was seen; it says nothing, `seen` does."""
PRECEDENCE = ("annotator_bias", "image_evidence", "missed_objects")
"""The correctors, the weakest first."""
BEFORE_TRAINING = ("annotator_bias",)
"""Those that need no network; a training begins with what they propose."""
NOT_ANNOTATED = "not_annotated"
SOURCES = ("given", "reviewed", "corrected", *PRECEDENCE, NOT_ANNOTATED)
"""By number what `LabelState.source` says. reviewed: and found right; corrected: and given another class;
not_annotated: nobody labelled it, and nothing is learned from it."""

_PROPOSAL = "proposal/"
_SLAB = 1 << 20
"""Voxels that are worked on at once."""

Where = tuple[slice, ...] | EllipsisType
Allocate = Callable[[tuple[int, ...], torch.dtype], Tensor]


class LabelDisagreement(NamedTuple):
    """(*grid) each: s, and bool, whether it says anything."""

    values: Tensor
    seen: Tensor

    def part(self, where: Where) -> LabelDisagreement:
        return LabelDisagreement(self.values[where], self.seen[where])


def in_memory(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A new array whose values are still to be written."""
    return torch.empty(shape, dtype=dtype)


class LabelState:
    """given: (*grid) whole numbers, network classes as they were read, IGNORED where nobody labelled, of which no
    corrector makes anything else; reviewed: (*grid) bool, none by default;
    allocate: makes the arrays that are added later, e.g. in files. drawn_by_others: classes that other raters drew in
    this image; that this label lacks one of them is disagreement, and nothing that was overlooked.

    `corrected` is None as long as it is not known what reviewed voxels were before their review; `given` then holds
    what the review made of them. `version` grows with every change, `target_version` with those of the target.
    """

    def __init__(self, given: Tensor, reviewed: Tensor | None = None, allocate: Allocate = in_memory) -> None:
        self.shape = tuple(given.shape)
        self.given = given
        self.reviewed = torch.zeros(self.shape, dtype=torch.bool) if reviewed is None else reviewed
        self.corrected: Tensor | None = None
        self.proposals: dict[str, Tensor] = {}
        self.disagreement = torch.full(self.shape, UNSEEN, dtype=torch.float16)
        self.seen = torch.zeros(self.shape, dtype=torch.bool)
        self.version = self.target_version = 0
        self.drawn_by_others: frozenset[int] = frozenset()
        self.allocate = allocate
        self._before: Tensor | None = None
        self._empty: tuple[int, bool] | None = None  # of which version of the target

    def unlearned(self) -> LabelState:
        """The same label, of which nothing was learned yet: what is given, reviewed and known before a training is
        shared, disagreement is new."""
        state = LabelState(self.given, self.reviewed, self.allocate)
        state.corrected, state.drawn_by_others = self.corrected, self.drawn_by_others
        state.proposals = {name: values for name, values in self.proposals.items() if name in BEFORE_TRAINING}
        state.clear_reviewed()
        return state

    def target(self, where: Where = ...) -> Tensor:
        """What is learned from, of the whole grid or a part; IGNORED where nothing is. Not to be written to."""
        return self._composed(self._order(), where)

    def initial(self, where: Where = ...) -> Tensor:
        """The target without what correctors concluded from a network: what a training begins with."""
        return self._composed([name for name in self._order() if name in BEFORE_TRAINING], where)

    def below(self, name: str, where: Where = ...) -> Tensor:
        """The target without this corrector and those above it."""
        order = self._order(name)
        return self._composed(order[: order.index(name)], where)

    def source(self, where: Where = ...) -> Tensor:
        """uint8: by number in `source_names` why each voxel is learned as it is."""
        names, source = self.source_names, torch.zeros_like(self.given[where], dtype=torch.uint8)
        for name in self._order():
            source[self.proposals[name][where] != NO_PROPOSAL] = names.index(name)
        source[self.reviewed[where]] = names.index("reviewed")
        if self.corrected is not None:
            changed = self.reviewed[where] & (self.corrected[where] != self.given[where])
            source[changed] = names.index("corrected")
        source[(self.given[where] == IGNORED) & ~self.reviewed[where]] = names.index(NOT_ANNOTATED)
        return source

    @property
    def source_names(self) -> tuple[str, ...]:
        return (*SOURCES, *(name for name in self._order() if name not in SOURCES))

    def source_counts(self) -> dict[str, int]:
        """The voxels of each source, by name."""
        names, counts = self.source_names, torch.zeros(len(self.source_names), dtype=torch.int64)
        for where in self.slabs():
            counts += torch.bincount(self.source(where).flatten(), minlength=len(names))
        return dict(zip(names, counts.tolist(), strict=True))

    def class_counts(self, label: Callable[[Where], Tensor] | None = None) -> dict[int, int]:
        """The voxels of each class there is, without ignored ones. label: `target` by default, or `initial`."""
        label = label or self.target
        counts: dict[int, int] = {}
        for where in self.slabs():
            found = torch.bincount(label(where).flatten().clamp_min(IGNORED) - IGNORED)
            for value in found.nonzero().flatten().tolist():
                counts[value + IGNORED] = counts.get(value + IGNORED, 0) + int(found[value])
        counts.pop(IGNORED, None)
        return counts

    @property
    def is_empty(self) -> bool:
        """Whether the target is nothing but background."""
        if self._empty is None or self._empty[0] != self.target_version:
            self._empty = self.target_version, all(int(self.target(where).max()) <= 0 for where in self.slabs())
        return self._empty[1]

    def slabs(self) -> Iterator[tuple[slice, ...]]:
        """The grid in parts along its first axis, each of about a million voxels."""
        rows = max(1, _SLAB // max(1, math.prod(self.shape[1:])))
        for start in range(0, self.shape[0], rows):
            yield (slice(start, min(start + rows, self.shape[0])),)

    def set_proposal(self, name: str, labels: Tensor | np.ndarray | None) -> int:
        """What a corrector would have learned: (*grid) classes, IGNORED or NO_PROPOSAL; None withdraws it. Returns how
        many voxels of the target moved. Raises ValueError for another grid."""
        before = self.target()
        self._store(name, None if labels is None else torch.as_tensor(labels))
        moved = self._moved_since(before)
        if self._before is None:
            self._mirror(before)
        self.version += 1
        self.target_version += 1
        return moved

    @contextmanager
    def revision(self) -> Iterator[None]:
        """Take all proposals set inside for one change: a voxel that moves twice is turned once."""
        self._before = self.target()
        try:
            yield
        finally:
            before, self._before = self._before, None
            self._mirror(before)

    def record(self, where: Where, disagreement: Tensor) -> None:
        """The disagreement of a part whose labels a training step compared with the network."""
        self.disagreement[where] = disagreement.to(self.disagreement.dtype)
        self.seen[where] = True
        self.version += 1

    def clear_reviewed(self) -> None:
        """Hold nothing against what was reviewed."""
        for where in self.slabs():
            reviewed = self.reviewed[where]
            self.disagreement[where].masked_fill_(reviewed, 0.0)
            self.seen[where].masked_fill_(reviewed, True)
        self.version += 1

    def restore_given(self, before_review: Tensor) -> None:
        """Learn from an earlier state what the reviewed voxels were given as; (*grid). Another grid says nothing."""
        if tuple(before_review.shape) != self.shape or not bool(self.reviewed.any()):
            return
        if self.corrected is None:
            self._corrected().copy_(self.given)
        for where in self.slabs():
            earlier = before_review[where].to(self.given.dtype)
            self.given[where] = torch.where(self.reviewed[where], earlier, self.given[where])
        self.version += 1
        self.target_version += 1

    def disagreement_of(self, label: Tensor, where: Where = ...) -> LabelDisagreement | None:
        """What is known against this label, of the whole grid or a part: s where it is the target, 1 - s where it is
        what the training began with, unseen elsewhere; None for another grid."""
        target, initial = self.target(where), self.initial(where)
        if label.shape != target.shape:
            return None
        same = label == target
        turned = ~same & (label == initial)
        seen = self.seen[where] & (same | turned)
        values = self.disagreement[where]
        values = torch.where(turned, 1.0 - values, values).masked_fill(~seen, UNSEEN)
        return LabelDisagreement(values, seen)

    def resume(self, earlier: LabelState) -> None:
        """Go on from an earlier training of this case: with its proposals where both began with the same label and
        nothing was reviewed since, and with what it found about these labels. Another grid says nothing."""
        if earlier.shape != self.shape:
            return
        for name in earlier.proposals:
            if name not in BEFORE_TRAINING:
                self._proposal(name)
        for where in self.slabs():
            began = earlier.initial(where)
            same = (self.initial(where) == began) & (earlier.target(where) != began) & ~self.reviewed[where]
            for name in earlier.proposals:
                if name not in BEFORE_TRAINING:
                    theirs = earlier.proposals[name][where]
                    self.proposals[name][where] = torch.where(same, theirs, NO_PROPOSAL).to(self.given.dtype)
            known = earlier.disagreement_of(self.target(where), where)
            assert known is not None  # one and the same grid
            self.disagreement[where], self.seen[where] = known
        self._drop_empty()
        self.version += 1
        self.target_version += 1

    def state_dict(self) -> dict[str, Tensor]:
        """The arrays by name, not copied."""
        found = {"given": self.given, "reviewed": self.reviewed, "disagreement": self.disagreement, "seen": self.seen}
        if self.corrected is not None:
            found["corrected"] = self.corrected
        return found | {_PROPOSAL + name: self.proposals[name] for name in self._order()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over, in place, the arrays that are named; proposals that are not are withdrawn. Raises ValueError where
        a shape or a name does not fit."""
        for name, values in state.items():
            if tuple(values.shape) != self.shape or not (name in _ARRAYS or name.startswith(_PROPOSAL)):
                raise ValueError(f"{name} does not fit this case")
        self.proposals = {name: p for name, p in self.proposals.items() if _PROPOSAL + name in state}
        for name, values in state.items():
            if name.startswith(_PROPOSAL):
                self._proposal(name.removeprefix(_PROPOSAL)).copy_(values)
            elif name == "corrected":
                self._corrected().copy_(values)
            else:
                getattr(self, name).copy_(values)
        self.version += 1
        self.target_version += 1

    @staticmethod
    def from_state_dict(state: Mapping[str, Tensor], allocate: Allocate = in_memory) -> LabelState:
        """On these very arrays. Raises ValueError or KeyError where they do not fit together."""
        made = LabelState.__new__(LabelState)
        made.given, made.shape = state["given"], tuple(state["given"].shape)
        made.version, made.target_version, made.drawn_by_others = 0, 0, frozenset()
        made.allocate, made._before, made._empty, made.corrected = allocate, None, None, state.get("corrected")
        made.reviewed, made.disagreement, made.seen = (state[n] for n in ("reviewed", "disagreement", "seen"))
        made.proposals = {n.removeprefix(_PROPOSAL): p for n, p in state.items() if n.startswith(_PROPOSAL)}
        for name, values in state.items():
            if tuple(values.shape) != made.shape:
                raise ValueError(f"{name} has another shape than the label")
        return made

    def _order(self, also: str | None = None) -> list[str]:
        """The correctors with a proposal, and another, the weakest first."""
        names = {*self.proposals, *([also] if also else [])}
        return [*(name for name in PRECEDENCE if name in names), *sorted(names - set(PRECEDENCE))]

    def _composed(self, names: list[str], where: Where) -> Tensor:
        label = self.given[where]
        for name in names:
            proposal = self.proposals[name][where]
            label = torch.where(proposal == NO_PROPOSAL, label, proposal)
        if names or self.corrected is not None:
            reviewed = self.given if self.corrected is None else self.corrected
            label = torch.where(self.reviewed[where], reviewed[where], label)
        return label

    def _store(self, name: str, labels: Tensor | None) -> None:
        if labels is not None and tuple(labels.shape) != self.shape:
            raise ValueError(f"{name} proposes labels {tuple(labels.shape)} for a case of {self.shape}")
        if labels is not None:
            labels = labels.masked_fill(self.given == IGNORED, NO_PROPOSAL)
        if labels is None or bool((labels == NO_PROPOSAL).all()):
            self.proposals.pop(name, None)
            return
        self._proposal(name).copy_(labels)

    def _proposal(self, name: str) -> Tensor:
        """The array of a corrector; a new one proposes nothing."""
        if name not in self.proposals:
            self.proposals[name] = self.allocate(self.shape, self.given.dtype).fill_(NO_PROPOSAL)
        return self.proposals[name]

    def _corrected(self) -> Tensor:
        if self.corrected is None:
            self.corrected = self.allocate(self.shape, self.given.dtype)
        return self.corrected

    def _drop_empty(self) -> None:
        empty = [n for n, p in self.proposals.items() if all(bool((p[w] == NO_PROPOSAL).all()) for w in self.slabs())]
        for name in empty:
            del self.proposals[name]

    def _moved_since(self, before: Tensor) -> int:
        return sum(int((before[where] != self.target(where)).sum()) for where in self.slabs())

    def _mirror(self, before: Tensor) -> None:
        """Where the target moved, what was held against the old label speaks for the new one."""
        for where in self.slabs():
            turned = (before[where] != self.target(where)) & self.seen[where]
            values = self.disagreement[where]
            values[turned] = 1.0 - values[turned]


_ARRAYS = ("given", "reviewed", "corrected", "disagreement", "seen")
