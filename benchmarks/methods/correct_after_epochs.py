"""Runs a competitor's corrector at the end of epochs, not at DALE's times."""

from __future__ import annotations

from collections.abc import Collection

from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.correctors.base import LabelCorrector
from DALESegmentLib.engine.training.callbacks import Callback, NetworkPredictions
from DALESegmentLib.engine.training.trainer import Trainer


class CorrectAfterEpochs(Callback):
    """epochs: after which ones, from 1; None is every one. Where patches are centred stays as it was."""

    def __init__(self, corrector: LabelCorrector, epochs: Collection[int] | None = None) -> None:
        self.corrector = corrector
        self.epochs = epochs

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self.epochs is None or len(trainer.history) in self.epochs:
            trainer.sampler.memory.refine([self.corrector], NetworkPredictions(trainer.predictor, Progress()))
