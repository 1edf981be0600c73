"""Labels drawn anew during a training: outlines where the image sides with the network, objects that were left out.

It happens a few times, between epochs. What is learned from then on is the label drawn anew; `begun` keeps the one that
the training began with, and every label is drawn anew from that one. Confirmed voxels never move.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..dale.disagreement import START
from ..dale.left_out import found, objects_left_out, smallest_believed
from ..dale.settings import DaleSettings
from ..dale.third_opinion import FEWEST, SIDING, STEPS, Opinion, drawn_anew, growth, one_way, opinions, siding, trust
from ..distributed.ranks import Ranks
from ..process.progress import Progress
from .plan import Plan
from .predictor import Predictor
from .prepare import PreparedCase

TIMES = (0.35, 0.5, 0.65, 0.8)
"""Shares of the training after which outlines are drawn anew: the first when a network knows most objects and has not
yet learned the labels' errors by heart, the later ones because a network that learned better outlines sees better."""


class Outlines:
    """cases: the rank's own. done: how many of the times have passed; image_trust: how far the images are trusted, as
    found the first time: a network that has learned what they say is no witness any more; left_out: the classes whose
    objects are believed to have been left out of labels, and their smallest size in voxels."""

    def __init__(self, cases: Sequence[PreparedCase], plan: Plan, ranks: Ranks, dale: DaleSettings) -> None:
        self.cases = cases
        self.plan = plan
        self.ranks = ranks
        self.done = 0
        every = ranks.together([classes_drawn(case) for case in cases])
        asks = dale.third_opinion and len(every) * (plan.classes - 1) >= FEWEST
        self.image_trust: float | None = None if asks else 0.0
        self.left_out: dict[int, float] = {}
        in_some = {value for value in range(1, plan.classes) if any(value not in each for each in every)}
        self.incomplete = in_some if dale.left_out else set()

    @property
    def state(self) -> dict[str, Any]:
        """Plain JSON values, for a checkpoint."""
        left_out = {str(value): smallest for value, smallest in self.left_out.items()}
        return {"done": self.done, "image_trust": self.image_trust, "left_out": left_out}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.done, self.image_trust = state["done"], state["image_trust"]
        self.left_out = {int(value): smallest for value, smallest in state.get("left_out", {}).items()}

    def due(self, share: float) -> bool:
        """share: of the training, done."""
        asks = self.image_trust != 0.0 or bool(self.incomplete)
        return asks and sum(each <= share for each in TIMES) > self.done

    def draw_anew(self, share: float, predictor: Predictor, progress: Progress, seconds: float = math.inf) -> bool:
        """Whether anything may have moved. Cases that are not reached in so many seconds stay as they are; one in each
        rank is always looked at."""
        self.done = sum(each <= share for each in TIMES)
        self._ask(predictor, progress, seconds)
        for case, network in self._looked_at(self._concerned(), predictor, progress, seconds):
            self._redraw(case, network, progress)
        return bool(self.image_trust or self.left_out)

    def _ask(self, predictor: Predictor, progress: Progress, seconds: float) -> None:
        """Whom to believe, as far as that is not settled."""
        asked, classes = self.image_trust is None, self.incomplete - set(self.left_out)
        if not (asked or classes):
            return
        disputes, growths, objects = np.zeros((2, len(STEPS) - 1)), [], []
        for case, network in self._looked_at(self.cases, predictor, progress, seconds):
            label = case.label_begun.numpy()
            objects += [found(label, network, value) for value in classes]
            for opinion in self._opinions(case, network, progress) if asked else ():
                if opinion.reliability > 0.0:
                    disputes += opinion.reliability * opinion.disputes
                    growths.append(growth(label, opinion))
        every = self.ranks.together([(disputes, growths, objects)])
        if asked:
            self.image_trust = trust(siding(np.sum([each for each, _, _ in every], axis=0)), SIDING)
            if one_way([each for _, own, _ in every for each in own]):
                self.image_trust = 0.0
        for value in classes:
            smallest = smallest_believed([each for _, _, own in every for each in own if each.value == value])
            if smallest is not None:
                self.left_out[value] = smallest

    def _concerned(self) -> list[PreparedCase]:
        """Cases whose label may be drawn anew."""
        if self.image_trust:
            return list(self.cases)
        return [case for case in self.cases if set(self.left_out) - classes_drawn(case)]

    def _looked_at(
        self, cases: Sequence[PreparedCase], predictor: Predictor, progress: Progress, seconds: float
    ) -> Iterator[tuple[PreparedCase, np.ndarray]]:
        """One case after the other, with the network's classes: what is found out about a large one takes as much
        memory as the case."""
        started = time.monotonic()
        for case in cases:
            progress.check()
            yield case, predictor.prepared_classes(case.image, progress).numpy()
            if time.monotonic() - started > seconds:
                return

    def _opinions(self, case: PreparedCase, network: np.ndarray, progress: Progress) -> list[Opinion]:
        slice_axis = self.plan.slice_axis if self.plan.dims == 2 else None
        label = case.label_begun.numpy()
        return [*opinions(case.image.numpy(), label, network, case.spacing, slice_axis)]

    def _redraw(self, case: PreparedCase, network: np.ndarray, progress: Progress) -> None:
        begun = case.label_begun.numpy()
        label = begun.copy()
        for opinion in self._opinions(case, network, progress) if self.image_trust else ():
            view, inside = label[opinion.box], drawn_anew(begun, opinion, self.image_trust or 0.0)
            view[~inside & (view == opinion.value)] = 0
            view[inside & (view == 0) & opinion.open] = opinion.value
        for value in set(self.left_out) - classes_drawn(case):
            label[objects_left_out(begun, network, value, self.left_out[value]) & (label == 0)] = value
        _learn(case, label)


def learned_labels(
    cases: Sequence[PreparedCase], names: Sequence[str], shapes: Sequence[Sequence[int]], ranks: Ranks
) -> dict[str, torch.Tensor]:
    """By name, the labels (x, y, z) uint8 of those whose outlines were drawn anew; on the first rank, empty elsewhere.
    cases: the rank's own; names, shapes: of all."""
    moved = ranks.together([case.begun is not None for case in cases])
    if not any(moved):
        return {}
    labels = ranks.to_first([case.label.to(torch.uint8).contiguous() for case in cases], shapes)
    return {name: label for name, label, was in zip(names, labels, moved, strict=False) if was}


def outline_moved(case: PreparedCase) -> bool:
    """Whether an outline of its label was drawn anew."""
    added = torch.tensor(sorted(classes_added(case)))
    return case.begun is not None and bool(((case.label != case.begun) & ~torch.isin(case.label, added)).any())


def classes_drawn(case: PreparedCase) -> set[int]:
    """Classes of its label as it was given."""
    return _classes_of(case.label_begun)


def classes_added(case: PreparedCase) -> set[int]:
    """Classes of which it learned objects though its label has none."""
    return set() if case.begun is None else _classes_of(case.label) - _classes_of(case.begun)


def _classes_of(label: torch.Tensor) -> set[int]:
    return set(torch.bincount(label.flatten()).nonzero().flatten().tolist()) - {0}


def _learn(case: PreparedCase, label: np.ndarray) -> None:
    """Learn from this one from now on, (x, y, z) classes; not where the case is confirmed."""
    wanted = torch.from_numpy(label).to(case.label.dtype)
    moved = (wanted != case.label) & ~case.trusted
    if not bool(moved.any()):
        return
    case.begun = case.label_begun.clone()
    case.label[moved] = wanted[moved]
    turned = moved & (case.disagreement != START)  # what was held against the label speaks for it now
    case.disagreement[turned] = 1.0 - case.disagreement[turned]
