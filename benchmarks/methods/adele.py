"""Early-learning correction after ADELE (Liu et al., CVPR 2022).

A network first learns what is right and only later memorises what is wrong; its IoU with the given training labels
rises fast, then slowly. For each class the curve of epochs t = 1, 2, ...

    g(t) = a (1 - exp(-b t^c)),   0 < a <= 1, b > 0, c > 0

is fitted after every epoch, and once its slope has fallen, |g'(1) - g'(t)| / |g'(1)| > r = 0.9, the labels are
corrected for that class: voxels given or predicted as it get the predicted class where its probability exceeds 0.8.

Differences to the paper: IoU is taken over the epoch's own training patches, each class is corrected once, and the
probabilities are of one scale, without the multi-scale average and its consistency loss.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import OptimizeWarning, curve_fit
from torch import Tensor

from DALESegmentLib.engine.dale.objective import Batch
from DALESegmentLib.engine.learn.prepare import UNKNOWN
from DALESegmentLib.engine.learn.trainer import Trainer
from DALESegmentLib.engine.process.progress import Progress

from .baseline import Baseline

FALLEN = 0.9
CERTAIN = 0.8
FEWEST_EPOCHS = 4


def curve(t: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    return a * (1 - np.exp(-b * t**c))


def slope(t: float, a: float, b: float, c: float) -> float:
    """g'(t) = a b c t^(c-1) exp(-b t^c)"""
    return float(a * b * c * t ** (c - 1) * np.exp(-b * t**c))


def has_slowed(iou: Sequence[float], fallen: float = FALLEN) -> bool:
    """Whether the curve fitted to the IoU of epochs 1, 2, ... has lost `fallen` of its first slope by the last."""
    if len(iou) < FEWEST_EPOCHS:
        return False
    t = np.arange(1, len(iou) + 1, dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            fit, _ = curve_fit(curve, t, np.asarray(iou), p0=(0.5, 0.5, 0.5), bounds=(1e-6, [1, 100, 10]), maxfev=2000)
        except RuntimeError:  # no fit found: wait for another epoch
            return False
    first = slope(1.0, *fit)
    return first > 0 and abs(first - slope(float(len(iou)), *fit)) / first > fallen


def corrected(label: Tensor, probabilities: Tensor, c: int, certain: float = CERTAIN) -> Tensor:
    """The label with voxels of class c, given or predicted, set to the prediction where it is certain.

    label: (*grid); probabilities: (K, *grid).
    """
    best, predicted = probabilities.max(0)
    concerned = ((label == c) | (predicted == c)) & (best > certain) & (label != UNKNOWN)
    return torch.where(concerned, predicted.to(label.dtype), label)


class Adele(Baseline):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.iou: list[list[float]] = [[] for _ in range(classes)]
        self.done: set[int] = set()
        self._count()

    def _count(self) -> None:
        self.both, self.either = torch.zeros(self.classes), torch.zeros(self.classes)

    def loss(self, batch: Batch, logits: Tensor, share: float) -> Tensor:
        predicted, inside = logits.detach().argmax(1), batch.valid > 0
        for c in range(1, self.classes):
            given, seen = (batch.label == c) & inside, (predicted == c) & inside
            self.both[c] += float((given & seen).sum())
            self.either[c] += float((given | seen).sum())
        return super().loss(batch, logits, share)

    def after_epoch(self, trainer: Trainer) -> None:
        due = []
        for c in range(1, self.classes):
            self.iou[c].append(float(self.both[c] / self.either[c].clamp_min(1)))
            if c not in self.done and has_slowed(self.iou[c]):
                due.append(c)
        self._count()
        if not due:
            return
        for case in trainer.sampler.cases:
            probabilities = trainer.predictor.prepared_probabilities(case.image, Progress())
            for c in due:
                fresh = corrected(case.label, probabilities, c)
                case.label.copy_(torch.where(case.trusted, case.label, fresh))
        self.done.update(due)
