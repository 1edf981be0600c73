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
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import OptimizeWarning, curve_fit
from torch import Tensor

from DALESegmentLib.engine.dale.correctors.base import LabelledImage, Predictions
from DALESegmentLib.engine.dale.label_state import IGNORED, NO_PROPOSAL
from DALESegmentLib.engine.training.sampling import Batch

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
    concerned = ((label == c) | (predicted == c)) & (best > certain) & (label != IGNORED)
    return torch.where(concerned, predicted.to(label.dtype), label)


class AdeleLoss(Baseline):
    """Plain, and counts the IoU of each class over the patches of an epoch."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self._count()

    def _count(self) -> None:
        self.both, self.either = torch.zeros(self.num_classes), torch.zeros(self.num_classes)

    def loss(self, batch: Batch, logits: Tensor, share: float) -> Tensor:
        predicted, inside = logits.detach().argmax(1), batch.valid > 0
        for c in range(1, self.num_classes):
            given, seen = (batch.target == c) & inside, (predicted == c) & inside
            self.both[c] += float((given & seen).sum())
            self.either[c] += float((given | seen).sum())
        return super().loss(batch, logits, share)

    def epoch_iou(self) -> list[float]:
        """Of the epoch that has ended, by class."""
        iou = (self.both / self.either.clamp_min(1)).tolist()
        self._count()
        return iou


class Adele:
    """Corrects each class once, after the epoch in which its curve has slowed. A label corrector; fit once an epoch."""

    name = "adele"

    def __init__(self, loss: AdeleLoss) -> None:
        self.loss = loss
        self.iou: list[list[float]] = [[] for _ in range(loss.num_classes)]
        self.done: set[int] = set()
        self.due: list[int] = []

    @property
    def is_active(self) -> bool:
        return len(self.done) < self.loss.num_classes - 1

    def fit(self, cases: Iterable[LabelledImage], predictions: Predictions) -> None:
        iou, self.due = self.loss.epoch_iou(), []
        for c in range(1, self.loss.num_classes):
            self.iou[c].append(iou[c])
            if c not in self.done and has_slowed(self.iou[c]):
                self.due.append(c)
        self.done.update(self.due)

    def propose(self, case: LabelledImage, predictions: Predictions) -> np.ndarray:
        """What was proposed for classes before stays."""
        before, label = case.labels.below(self.name), case.labels.target()
        probabilities = torch.from_numpy(predictions.probabilities(case)) if self.due else None
        for c in self.due:
            assert probabilities is not None
            label = torch.where(case.labels.reviewed, label, corrected(label, probabilities, c))
        return label.masked_fill(label == before, NO_PROPOSAL).numpy()

    def state_dict(self) -> dict[str, Any]:
        return {"iou": self.iou, "done": sorted(self.done)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.iou, self.done = state["iou"], set(state["done"])
