"""When label correctors work during a training: a few times, between epochs, on the labels the training began with."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..core.distributed import Ranks
from ..core.errors import checkpoint
from ..core.progress import Progress
from ..dale.config import DaleConfig
from ..dale.correctors.annotator_bias import AnnotatorBias, Bias
from ..dale.correctors.base import LabelCorrector, LabelledImage, NoPredictions, Predictions
from ..dale.correctors.image_evidence import ImageEvidence
from ..dale.correctors.missed_objects import MissedObjects
from ..inference.predictor import Predictor
from ..planning.plan import Plan
from ..planning.preprocessing import PreparedCase
from .callbacks import Callback

if TYPE_CHECKING:
    from .trainer import Trainer

TIMES = (0.35, 0.5, 0.65, 0.8)
"""Shares of the training after which labels are refined: the first when a network knows most objects and has not yet
learned the labels' errors by heart, the later ones because a network that learned better outlines sees better."""
TIME_SHARE = 0.03
"""Of a time budget, for each refinement of all cases."""


class LabelRefinement(Callback):
    """Runs the trainer's correctors. seconds: of the training's budget, None without one; done: how many of the times
    have passed."""

    name = "label_refinement"

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = math.inf if seconds is None else TIME_SHARE * seconds
        self.done = 0

    def on_epoch_start(self, trainer: Trainer) -> None:
        passed = sum(each <= trainer.share for each in TIMES)
        if passed <= self.done or not any(corrector.is_active for corrector in trainer.correctors):
            return
        self.done = passed
        predictions = NetworkPredictions(trainer.predictor, trainer.progress)
        moved = refine_labels(trainer.cases, trainer.correctors, predictions, self.seconds)
        if any(trainer.ranks.all_gather([moved])):
            trainer.labels_changed()

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.done = state["done"]


class NetworkPredictions(Predictions):
    """Runs the network once over each case that is asked for. Classes are kept, in files where the case's labels are;
    probabilities are not."""

    def __init__(self, predictor: Predictor, progress: Progress) -> None:
        self._predictor = predictor
        self._progress = progress
        self._kept: dict[str, np.ndarray] = {}

    def classes(self, case: LabelledImage) -> np.ndarray:
        if case.name not in self._kept:
            found = self._predictor.prepared_classes(case.image, self._progress)
            small = torch.uint8 if self._predictor.plan.classes <= 256 else torch.int16
            self._kept[case.name] = case.labels.allocate(tuple(found.shape), small).copy_(found).numpy()
        return self._kept[case.name]

    def probabilities(self, case: LabelledImage) -> np.ndarray:
        return self._predictor.prepared_probabilities(case.image, self._progress).numpy()


def refine_labels(
    cases: Sequence[LabelledImage],
    correctors: Sequence[LabelCorrector],
    predictions: Predictions,
    seconds: float = math.inf,
) -> int:
    """Fit the correctors, the weakest first, and learn what they propose; returns how many times a voxel moved. Cases
    that are not reached in so many seconds stay as they are; the first is always looked at."""
    for corrector in correctors:
        corrector.fit(_within(seconds, cases), predictions)
    moved = 0
    for case in _within(seconds, cases):
        with case.labels.revision():
            for corrector in correctors:
                moved += case.labels.set_proposal(corrector.name, corrector.propose(case, predictions))
    return moved


def _within(seconds: float, cases: Sequence[LabelledImage]) -> Iterator[LabelledImage]:
    started = time.monotonic()
    for n, case in enumerate(cases):
        if n and time.monotonic() - started > seconds:
            return
        checkpoint()
        yield case


def label_correctors(
    cases: Sequence[PreparedCase], plan: Plan, config: DaleConfig, ranks: Ranks
) -> list[LabelCorrector]:
    """Those that are switched on, and of use with these cases, the weakest first. cases: the rank's own."""
    drawn = ranks.all_gather([set(case.labels.class_counts(case.labels.initial)) for case in cases])

    def gather(value: Any) -> list[Any]:
        return ranks.all_gather([value])

    found: list[LabelCorrector] = []
    evidence = config.image_evidence_config
    if config.image_evidence and len(drawn) * (plan.classes - 1) >= evidence.min_cases:
        found.append(ImageEvidence(evidence, plan.slice_axis if plan.dims == 2 else None, gather))
    lacking = {value for value in range(1, plan.classes) if any(value not in each for each in drawn)}
    if config.missed_objects and lacking:
        found.append(MissedObjects(lacking, config.missed_objects_config, gather))
    return found


def correct_bias(cases: Sequence[PreparedCase], others: Sequence[PreparedCase], config: DaleConfig) -> Bias | None:
    """Learn from the reviewed voxels of these cases, and undo in them and in the others, what bias they show; None
    where they show none. Before a training: other correctors build on it."""
    corrector = AnnotatorBias(config.annotator_bias_config)
    corrector.fit(cases, NoPredictions())
    for case in (*cases, *others) if corrector.bias is not None else ():
        case.labels.set_proposal(corrector.name, corrector.propose(case, NoPredictions()))
    return corrector.bias
