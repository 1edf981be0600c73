"""When label correctors work during a training: a few times, between epochs, on the labels the training began with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..core.progress import Progress
from ..dale.config import DaleConfig
from ..dale.correctors.base import LabelledImage, Predictions
from ..inference.predictor import Predictor
from .callbacks import Callback

if TYPE_CHECKING:
    from .trainer import Trainer

DEFAULT = DaleConfig()


class LabelRefinement(Callback):
    """Runs the trainer's correctors. seconds: of the training's budget, None without one; done: how many of the times
    have passed."""

    name = "label_refinement"

    def __init__(self, seconds: float | None = None, config: DaleConfig = DEFAULT) -> None:
        self.seconds = math.inf if seconds is None else config.refinement_time_share * seconds
        self.times = config.refinement_times
        self.done = 0

    def on_epoch_start(self, trainer: Trainer) -> None:
        if trainer.loss.config is None:
            return
        passed = sum(each <= trainer.share for each in self.times)
        if passed <= self.done or not any(corrector.is_active for corrector in trainer.correctors):
            return
        self.done = passed
        predictions = NetworkPredictions(trainer.predictor, trainer.progress)
        moved = trainer.sampler.memory.refine(trainer.correctors, predictions, self.seconds)
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
