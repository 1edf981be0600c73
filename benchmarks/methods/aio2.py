"""AIO2, online correction of object labels for incomplete annotation (Liu et al., IEEE TGRS 2024, arXiv 2403.01641).

A mean teacher (Tarvainen & Valpola, NeurIPS 2017), the running mean of the network's weights, sees every batch. Its IoU
with the given labels by epoch rises fast, levels out, and rises again once errors are memorised.

- Adaptive correction trigger: lines are fitted to the IoU of so many last epochs, for several window sizes; the epoch
  whose line is flattest ends the transition, once that lies further back than a window is long in the mean. The curve
  of `adele` is fitted up to there; the transition begins where its slope falls below its mean. Half-way between is the
  epoch at which correction should have begun: network and teacher go back to it.
- Online object-wise correction: from then on, each object that the teacher finds in a patch and that touches nothing
  labelled is added to the label of that step. The given label is kept, and nothing is remembered from step to step.

Differences to the paper: windows are shorter, since trainings are; the steps gone back are not trained anew, since no
method gets more steps; where no flattest line shows by the half of the training, correction begins there; the teacher's
memory grows to 0.99; added objects have hard edges. The network itself is scored, not the teacher.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy import ndimage
from scipy.optimize import OptimizeWarning, curve_fit
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from DALESegmentLib.engine.dale.loss import weighted_dice_ce
from DALESegmentLib.engine.training.callbacks import Callback
from DALESegmentLib.engine.training.sampling import Batch
from DALESegmentLib.engine.training.trainer import Trainer

from .adele import curve, slope
from .baseline import Baseline

WINDOWS = (3, 4, 5)
"""Epochs that a line is fitted to."""
MEMORY = 0.99
LATEST = 0.5
"""Of the training: by then correction begins in any case."""


def teacher_mean(mean: Tensor, now: Tensor, steps: Tensor | int) -> Tensor:
    """The teacher's weights after a step; at first it remembers less, or it would stay what it began as."""
    memory = min(MEMORY, (1.0 + int(steps)) / (10.0 + int(steps)))
    return mean + (1.0 - memory) * (now - mean)


def completed(label: Tensor, predicted: Tensor) -> Tensor:
    """The label with every predicted object that touches nothing labelled. label, predicted: (B, *grid) classes."""
    out = label.clone()
    for each, found in zip(out, predicted.cpu().numpy(), strict=True):
        taken = (each != 0).cpu().numpy()
        for c in np.unique(found[found > 0]):
            objects, _ = ndimage.label(found == c, np.ones((3,) * found.ndim))
            apart = ~np.isin(objects, np.unique(objects[taken])) & (objects > 0)
            each[torch.from_numpy(apart).to(each.device)] = int(c)
    return out


def trigger(iou: Sequence[float], windows: Sequence[int] = WINDOWS) -> int | None:
    """The epoch, from 1, at which correction should have begun; None as long as memorising is not seen."""
    ends = []
    for size in windows:
        slopes = [np.polyfit(range(size), iou[n : n + size], 1)[0] for n in range(len(iou) - size + 1)]
        end = int(np.argmin(slopes)) + size if slopes else len(iou)
        if len(iou) - end <= np.mean(windows):
            return None
        ends.append(end)
    end = int(np.mean(ends))
    return max((end + _transition(iou[:end])) // 2, 1)


def _transition(iou: Sequence[float]) -> int:
    """The last epoch at which the fitted curve is still steeper than in the mean."""
    t = np.arange(1, len(iou) + 1, dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            fit, _ = curve_fit(curve, t, np.asarray(iou), p0=(0.9, 0.5, 0.5), bounds=(1e-6, [1, 100, 1]), maxfev=2000)
        except RuntimeError:  # no fit found
            return len(iou)
    first, last = curve(t[[0, -1]], *fit)
    mean = (last - first) / (t[-1] - t[0])
    return sum(slope(each, *fit) > mean for each in t)


class Aio2Loss(Baseline):
    """Plain, on labels that the teacher completes once `correcting` is set. make_teacher: builds such a network."""

    def __init__(self, classes: int, make_teacher: Callable[[], nn.Module]) -> None:
        super().__init__(classes)
        self.teacher = AveragedModel(make_teacher(), avg_fn=teacher_mean)
        self.correcting = False
        self.both = self.either = 0.0

    def loss(self, batch: Batch, logits: Tensor, share: float) -> Tensor:
        predicted, inside = self._predicted(batch), batch.valid > 0
        given, found = (batch.target > 0) & inside, (predicted > 0) & inside
        self.both += float((given & found).sum())
        self.either += float((given | found).sum())
        label = completed(batch.target, predicted * inside) if self.correcting else batch.target
        return weighted_dice_ce(logits, label, batch.valid, batch.valid, batch.valid)

    @torch.no_grad()
    def _predicted(self, batch: Batch) -> Tensor:
        with torch.autocast(batch.image.device.type, torch.bfloat16, enabled=batch.image.is_cuda):
            return self.teacher(batch.image).argmax(1)

    def epoch_iou(self) -> float:
        """The teacher's with the given labels, of the epoch that has ended."""
        iou = self.both / max(self.either, 1.0)
        self.both = self.either = 0.0
        return iou


class Aio2(Callback):
    """Keeps the teacher, and begins to correct once the trigger says so."""

    def __init__(self, loss: Aio2Loss) -> None:
        self.loss = loss
        self.iou: list[float] = []
        self.kept: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []

    def on_fit_start(self, trainer: Trainer) -> None:
        self.loss.teacher.update_parameters(trainer.network)
        self.loss.teacher.train()

    def on_step_end(self, trainer: Trainer) -> None:
        self.loss.teacher.update_parameters(trainer.network)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.iou.append(self.loss.epoch_iou())
        if self.loss.correcting:
            return
        states = (trainer.network.state_dict(), self.loss.teacher.state_dict())
        self.kept.append(copy.deepcopy(states))
        begin = trigger(self.iou)
        if begin is not None:
            network, teacher = self.kept[begin - 1]
            trainer.network.load_state_dict(network)
            self.loss.teacher.load_state_dict(teacher)
        if begin is not None or len(self.iou) >= LATEST * trainer.settings.epochs:
            self.loss.correcting = True
            self.kept.clear()
