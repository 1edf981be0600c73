"""The training loop: batches, the network, a loss and its steps; label correctors and callbacks do all else.

Each epoch is seeded by (seed, epoch) alone, so that a training resumed from the last checkpoint goes on exactly as it
would have, on a CPU to the bit.

Several processes can share a training; each then has its own cases (`Ranks`), and a trainer of its own over them. They
draw one batch together (`PatchSampler`), and each runs the network on the patches of its own cases. Whatever is
computed over a batch or over all cases is added up over the ranks before it is used (`all_reduce_sum`,
`DaleLoss.update_thresholds`, `validation_dice`), so that all have the same loss and the same statistics, and take the
same decisions. Their gradients are added up, not averaged: the loss is normalised already. The first rank's clock
counts, it writes the files, and the checkpoint is that of one process, which any number of ranks can resume. So the
number of ranks changes nothing but the order in which numbers are added up. The share of a batch that falls to a rank
is left to chance; the busiest one sets the pace.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..core.distributed import Ranks, current
from ..core.errors import EngineError
from ..core.progress import Progress
from ..dale.correctors.base import LabelCorrector
from ..dale.loss import DaleLoss
from ..inference.predictor import Predictor
from ..planning.networks import FeatureTap
from ..planning.plan import Plan, TrainSettings
from ..planning.preprocessing import PreparedCase
from .callbacks import Callback
from .sampling import Batch, PatchSampler


@dataclass
class Trainer:
    """One training of `network` on `cases`, the rank's own. correctors: of the labels, the weakest first, run by the
    callback `LabelRefinement`.

    Callbacks read and set: epoch, step (counted from the first epoch on) and losses (of the epoch) while it runs;
    time_share, how much of a time budget is spent; should_stop and ends_epoch, whether the training or the epoch ends
    after this step; starts_over, whether the training does after this epoch; interrupted, whether an exception ended
    it.
    """

    plan: Plan
    settings: TrainSettings
    network: nn.Module
    cases: Sequence[PreparedCase]
    loss: DaleLoss
    sampler: PatchSampler
    device: torch.device
    progress: Progress
    correctors: Sequence[LabelCorrector] = ()
    callbacks: Sequence[Callback] = ()
    ranks: Ranks = field(default_factory=current)

    def __post_init__(self) -> None:
        self.network.to(self.device)
        self.loss.to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.settings.learning_rate, weight_decay=1e-5, fused=True
        )
        self.predictor = Predictor(self.network, self.plan, self.device)
        self.tap = FeatureTap(self.network, self.plan.classes)
        self.tap.find(self._trial_run)
        self.learner = self._shared() if self.ranks.size > 1 else self.network
        self._first_correctors = [deepcopy(corrector.state_dict()) for corrector in self.correctors]
        self.history: list[dict[str, Any]] = []
        self.epoch = self.step = 0
        self.losses: list[float] = []
        self.time_share = 0.0
        self.should_stop = self.starts_over = self.ends_epoch = self.interrupted = False
        self._spent = 0.0
        self._started = time.monotonic()

    def _shared(self) -> nn.Module:
        """The network, with the same weights on every rank and the mean of their gradients."""
        if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in self.network.modules()):
            raise EngineError(
                "not-for-ranks",
                f"{self.plan.network} normalises over the whole batch, which one process has to see; "
                "train it in one process, or choose another network.",
            )
        return DistributedDataParallel(self.network, [self.device] if self.device.type == "cuda" else None)

    @property
    def elapsed(self) -> float:
        """Seconds of this training, those before a resume counted."""
        return time.monotonic() - self._started

    def restart_clock(self) -> None:
        """Count `elapsed` from now on."""
        self._started = time.monotonic()

    @property
    def share(self) -> float:
        """How much of the training is done, by steps or by the clock, whichever is further."""
        by_steps = self.step / (self.settings.epochs * self.settings.steps_per_epoch)
        return min(max(by_steps, self.time_share), 1.0)

    def fit(self) -> list[dict[str, Any]]:
        """Train to the end of the epochs, or until a callback stops it; returns the history, one row an epoch."""
        self._started = time.monotonic() - self._spent
        self._call("on_fit_start")
        try:
            while self.starts_over or (len(self.history) < self.settings.epochs and not self.should_stop):
                if self.starts_over:
                    self.starts_over = self.should_stop = False
                    self._call("on_start_over")
                else:
                    self._epoch(len(self.history))
        except BaseException:
            self.interrupted = True
            raise
        finally:
            self._call("on_fit_end")
        return self.history

    def _epoch(self, epoch: int) -> None:
        settings = self.settings
        self.sampler.seed(settings.seed, epoch)
        torch.manual_seed(settings.seed * 100_003 + epoch)
        self.epoch, self.step, self.ends_epoch = epoch, epoch * settings.steps_per_epoch, False
        self._call("on_epoch_start")
        self.network.train()
        self.losses, fuzzy = [], []
        for i, batch in enumerate(self.sampler.batches(settings.steps_per_epoch, self.device)):
            self.ranks.check(self.progress)
            self.step = epoch * settings.steps_per_epoch + i
            self.losses.append(self.train_step(batch, self.share))
            fuzzy.append(float(self.loss.fuzzy_share))
            self._call("on_step_end")
            if self.should_stop or self.ends_epoch:
                break
        loss = float(np.mean(self.losses))
        self.history.append({"epoch": epoch + 1, "loss": loss, "fuzzy_share": float(np.mean(fuzzy))})
        self._call("on_epoch_end")

    def train_step(self, batch: Batch, share: float) -> float:
        """Learn a batch; share is the part of the training that is done. Returns the loss. Raises
        EngineError("training-diverged")."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * (1.0 - min(share, 0.999)) ** 0.9
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.learner(batch.image)
        features = self.tap.features.float() if self.tap.features is not None else None
        loss: Tensor = self.loss(logits.float(), batch, share, features)
        if not torch.isfinite(loss):
            raise EngineError(
                "training-diverged",
                "Training became unstable (the loss is not a number); train again with a smaller learning rate.",
            )
        self.optimizer.zero_grad(set_to_none=True)
        (self.ranks.size * loss).backward()  # of which the ranks' gradients are the mean
        nn.utils.clip_grad_norm_(self.network.parameters(), 12.0)
        self.optimizer.step()
        return float(loss.detach())

    def reset(self, weights: Mapping[str, Tensor], loss: Mapping[str, Any]) -> None:
        """Begin anew with these weights and this state of the loss, and with labels of which nothing was learned."""
        self.network.load_state_dict(weights)
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": {}})
        self.loss.load_state_dict(loss)
        for corrector, state in zip(self.correctors, self._first_correctors, strict=True):
            corrector.load_state_dict(deepcopy(state))
        for case in self.cases:
            case.labels.load_state_dict(case.labels.unlearned().state_dict())
        self.history = []
        self.time_share = 0.0
        self.labels_changed()

    def labels_changed(self) -> None:
        """The learned labels of some case, on any rank, are others now; every rank calls it."""
        self.sampler.rebuild_index()

    def tensors(self) -> dict[str, Tensor]:
        """Network, optimizer and loss, as they belong together, by name; not copied."""
        found = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        slots = self.optimizer.state_dict()["state"]
        found |= {f"optimizer/{i}/{name}": value for i, slot in slots.items() for name, value in slot.items()}
        return found | {f"loss/{name}": value for name, value in self.loss.state_dict().items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises KeyError, RuntimeError or ValueError where they do not fit."""
        self.network.load_state_dict(_under(tensors, "network"))
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(tensors, "optimizer").items():
            index, slot = name.split("/")
            slots.setdefault(int(index), {})[slot] = value.to(self.device)
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        self.loss.load_state_dict(_under(tensors, "loss"))

    def progress_so_far(self) -> dict[str, Any]:
        """History, time and what correctors and callbacks keep, as plain JSON values."""
        kept = {callback.name: callback.state_dict() for callback in self.callbacks if callback.name}
        correctors = {corrector.name: corrector.state_dict() for corrector in self.correctors}
        return {"history": self.history, "spent": self.elapsed, "correctors": correctors, "callbacks": kept}

    def load_progress(self, progress: Mapping[str, Any]) -> None:
        """Go on from there. Raises KeyError where something is missing."""
        self.history, self._spent = progress["history"], progress["spent"]
        for corrector in self.correctors:
            corrector.load_state_dict(progress["correctors"][corrector.name])
        for callback in self.callbacks:
            if callback.name:
                callback.load_state_dict(progress["callbacks"][callback.name])
        self.labels_changed()

    def _call(self, moment: str) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self)

    def _trial_run(self) -> None:
        """One forward pass of an empty patch, to see the order of the layers."""
        patch = torch.zeros((1, self.plan.channels, *self.plan.network_patch), device=self.device)
        was = self.network.training
        self.network.eval()
        with torch.no_grad():
            self.network(patch)
        self.network.train(was)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.split("/", 1)[1]: t for n, t in tensors.items() if n.startswith(prefix + "/")}
