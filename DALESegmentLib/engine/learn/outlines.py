"""Outlines drawn anew during a training, where the image sides with the network against the label.

It happens a few times, between epochs. What is learned from then on is the outline drawn anew; `begun` keeps the label
that the training began with, and every outline is drawn anew from that one. Confirmed voxels never move.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..dale.disagreement import START
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
    found the first time: a network that has learned what they say is no witness any more."""

    def __init__(self, cases: Sequence[PreparedCase], plan: Plan, ranks: Ranks) -> None:
        self.cases = cases
        self.plan = plan
        self.ranks = ranks
        self.done = 0
        cases_and_classes = len(ranks.together([case.name for case in cases])) * (plan.classes - 1)
        self.image_trust: float | None = None if cases_and_classes >= FEWEST else 0.0

    @property
    def state(self) -> dict[str, Any]:
        """Plain JSON values, for a checkpoint."""
        return {"done": self.done, "image_trust": self.image_trust}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.done, self.image_trust = state["done"], state["image_trust"]

    def due(self, share: float) -> bool:
        """share: of the training, done."""
        return self.image_trust != 0.0 and sum(each <= share for each in TIMES) > self.done

    def draw_anew(self, share: float, predictor: Predictor, progress: Progress, seconds: float = math.inf) -> bool:
        """Whether anything may have moved. Cases that are not reached in so many seconds stay as they are; one in each
        rank is always looked at."""
        self.done = sum(each <= share for each in TIMES)
        if self.image_trust is None:
            self.image_trust = self._image_trust(predictor, progress, seconds)
        if self.image_trust == 0.0:
            return False
        for case, about in self._looked_at(predictor, progress, seconds):
            _redraw(case, about, self.image_trust)
        return True

    def _image_trust(self, predictor: Predictor, progress: Progress, seconds: float) -> float:
        """0 to 1, of all cases together."""
        disputes, growths = np.zeros((2, len(STEPS) - 1)), []
        for case, about in self._looked_at(predictor, progress, seconds):
            for opinion in about:
                if opinion.reliability > 0.0:
                    disputes += opinion.reliability * opinion.disputes
                    growths.append(growth(_begun(case).numpy(), opinion))
        every = self.ranks.together([(disputes, growths)])
        if one_way([each for _, found in every for each in found]):
            return 0.0
        return trust(siding(np.sum([each for each, _ in every], axis=0)), SIDING)

    def _looked_at(
        self, predictor: Predictor, progress: Progress, seconds: float
    ) -> Iterator[tuple[PreparedCase, list[Opinion]]]:
        """One case after the other: the opinions about a large one take as much memory as the case."""
        started = time.monotonic()
        for case in self.cases:
            progress.check()
            yield case, self._opinions(case, predictor, progress)
            if time.monotonic() - started > seconds:
                return

    def _opinions(self, case: PreparedCase, predictor: Predictor, progress: Progress) -> list[Opinion]:
        label = _begun(case).numpy()
        if not (label > 0).any():
            return []
        network = predictor.prepared_classes(case.image, progress).numpy()
        sampling = tuple(float(step) for step in case.affine[:3, :3].double().norm(dim=0))
        slice_axis = self.plan.slice_axis if self.plan.dims == 2 else None
        return [*opinions(case.image.numpy(), label, network, sampling, slice_axis, progress.check)]


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


def _begun(case: PreparedCase) -> torch.Tensor:
    return case.label if case.begun is None else case.begun


def _redraw(case: PreparedCase, about: Sequence[Opinion], image_trust: float) -> None:
    begun = _begun(case).clone()
    label = begun.numpy().copy()
    for opinion in about:
        view, inside = label[opinion.box], drawn_anew(begun.numpy(), opinion, image_trust)
        view[~inside & (view == opinion.value)] = 0
        view[inside & (view == 0) & opinion.open] = opinion.value
    label = np.where(case.trusted.numpy(), case.label.numpy(), label)
    moved = torch.from_numpy(label != case.label.numpy())
    if not bool(moved.any()):
        return
    case.begun = begun
    case.label[moved] = torch.from_numpy(label)[moved].to(case.label.dtype)
    turned = moved & (case.disagreement != START)  # what was held against the label speaks for it now
    case.disagreement[turned] = 1.0 - case.disagreement[turned]
