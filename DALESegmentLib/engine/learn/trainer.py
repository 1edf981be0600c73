"""The training loop: plain or DALE, from nothing or from a model, resumable after a kill at any moment.

Each epoch is seeded by (seed, epoch) alone, so that a training resumed from the last checkpoint goes on exactly as it
would have, on a CPU to the bit.

Several processes can share a training; each then has its own cases (`Ranks`), and a trainer of its own over them. They
draw one batch together (`PatchSampler`), and each runs the network on the patches of its own cases. Whatever is
computed over a batch or over all cases is added up over the ranks before it is used (`over_ranks`, `Thresholds`,
`validation_dice`), so that all have the same loss and the same statistics, and take the same decisions. Their gradients
are added up, not averaged: the loss is normalised already. The first rank's clock counts, it writes the files, and the
checkpoint is that of one process, which any number of ranks can resume. So the number of ranks changes nothing but the
order in which numbers are added up. The share of a batch that falls to a rank is left to chance; the busiest one sets
the pace.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..dale.objective import Objective
from ..distributed.ranks import Ranks, current
from ..errors import EngineError
from ..process.progress import Progress
from .bundle import save_bundle
from .checkpoint import load_checkpoint, save_checkpoint
from .folder import CHECKPOINT_FILE
from .networks import FeatureTap
from .outlines import Outlines, learned_labels
from .patches import PatchSampler
from .plan import Plan
from .predictor import Predictor
from .prepare import PreparedCase
from .settings import TrainSettings
from .thresholds import Thresholds
from .validation import validation_dice

VALIDATIONS = 10
"""At most so many validations in a training, evenly spaced, the last at its end."""
DRAWING_SHARE = 0.03
"""Of a time budget, for each look at all cases' outlines."""


@dataclass
class Trainer:
    """One training. `cases` are learned from, `validation` only looked at; both are the rank's own.

    Without a folder nothing is written. given_objective, given_sampler: another loss than the settings', other patches;
    after_epoch is called at the end of every epoch.
    """

    plan: Plan
    settings: TrainSettings
    network: nn.Module
    cases: Sequence[PreparedCase]
    validation: Sequence[PreparedCase]
    folder: Path | None
    device: torch.device
    progress: Progress
    history: list[dict[str, Any]] = field(default_factory=list)
    given_objective: Objective | None = None
    given_sampler: PatchSampler | None = None
    after_epoch: Callable[[Trainer], None] | None = None
    ranks: Ranks = field(default_factory=current)

    def __post_init__(self) -> None:
        self.network.to(self.device)
        settings = self.settings
        self.objective = self.given_objective or Objective(
            self.plan.classes, settings.objective_settings, settings.trusted_share
        )
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.settings.learning_rate, weight_decay=1e-5, fused=True
        )
        self.predictor = Predictor(self.network, self.plan, self.device)
        self.tap = FeatureTap(self.network, self.plan.classes)
        self.tap.find(self._trial_run)
        self.learner = self._shared() if self.ranks.size > 1 else self.network
        self.ranks.check(self.progress)
        focus = self.settings.focus_trusted
        self.sampler = self.given_sampler or PatchSampler(self.cases, self.plan, focus_trusted=focus, ranks=self.ranks)
        self.all_cases = self.ranks.together([(case.name, tuple(case.label.shape)) for case in self.cases])
        self.validated = sum(self.ranks.together([len(self.validation)]))
        self.thresholds: Thresholds | None = None
        self.outlines = Outlines(self.cases, self.plan, self.ranks, settings.dale)
        self.spent = 0.0

    def _shared(self) -> nn.Module:
        """The network, with the same weights on every rank and the mean of their gradients."""
        if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in self.network.modules()):
            raise EngineError(
                "not-for-ranks",
                f"{self.plan.network} normalises over the whole batch, which one process has to see; "
                "train it in one process, or choose another network.",
            )
        return DistributedDataParallel(self.network, [self.device] if self.device.type == "cuda" else None)

    def run(self) -> list[dict[str, Any]]:
        """Train to the end of the epochs or of the time; returns the history, one row an epoch."""
        started = time.monotonic() - self.spent
        for epoch in range(len(self.history), self.settings.epochs):
            if self._over(started):
                break
            row = self._epoch(epoch, started)
            self.spent = time.monotonic() - started
            self.history.append(row)
            if self.after_epoch is not None:
                self.after_epoch(self)
            self._save()
        return self.history

    def _epoch(self, epoch: int, started: float) -> dict[str, Any]:
        settings = self.settings
        self.sampler.seed(settings.seed, epoch)
        torch.manual_seed(settings.seed * 100_003 + epoch)
        self._draw_outlines_anew(self._share(epoch * settings.steps_per_epoch, started))
        self._update_thresholds()
        self.network.train()
        losses, fuzzy = [], []
        for i in range(settings.steps_per_epoch):
            self.ranks.check(self.progress)
            step = epoch * settings.steps_per_epoch + i
            share = self._share(step, started)
            loss, fuzzy_share = self._step(step, share)
            losses.append(loss)
            fuzzy.append(fuzzy_share)
            self._report(epoch, share, started, float(np.mean(losses)))
            if self._over(started):
                break
        row: dict[str, Any] = {"epoch": epoch + 1, "loss": float(np.mean(losses)), "fuzzy_share": float(np.mean(fuzzy))}
        if self._validates(epoch, started):
            row["validation_dice"] = self.validate()
        return row

    def _step(self, step: int, share: float) -> tuple[float, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * (1.0 - min(share, 0.999)) ** 0.9
        batch, poses = self.sampler.draw(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.learner(batch.image)
        features = self.tap.features.float() if self.tap.features is not None else None
        result = self.objective(batch, logits.float(), features, step, share)
        if not torch.isfinite(result.loss):
            raise EngineError(
                "training-diverged",
                "Training became unstable (the loss is not a number); train again with a smaller learning rate.",
            )
        self.optimizer.zero_grad(set_to_none=True)
        (self.ranks.size * result.loss).backward()  # of which the ranks' gradients are the mean
        nn.utils.clip_grad_norm_(self.network.parameters(), 12.0)
        self.optimizer.step()
        self.sampler.write_back(poses, result.disagreement)
        return float(result.loss.detach()), result.fuzzy_share

    def validate(self) -> float | None:
        """See `validation_dice`."""
        return validation_dice(self.validation, self.predictor, self.progress, self.ranks)

    def _share(self, step: int, started: float) -> float:
        """How much of the training is done, by steps or by the clock, whichever is further."""
        share = step / (self.settings.epochs * self.settings.steps_per_epoch)
        if self.settings.seconds is not None:
            share = max(share, self.ranks.first(time.monotonic() - started) / self.settings.seconds)
        return min(share, 1.0)

    def _over(self, started: float) -> bool:
        seconds = self.settings.seconds
        return seconds is not None and self.ranks.first(time.monotonic() - started) >= seconds

    def _validates(self, epoch: int, started: float) -> bool:
        if not self.validated:
            return False
        every = -(-self.settings.epochs // VALIDATIONS)
        return (epoch + 1) % every == 0 or epoch + 1 == self.settings.epochs or self._over(started)

    def _draw_outlines_anew(self, share: float) -> None:
        if self.settings.objective_settings is None or not self.outlines.due(share):
            return
        seconds = math.inf if self.settings.seconds is None else DRAWING_SHARE * self.settings.seconds
        if self.outlines.draw_anew(share, self.predictor, self.progress, seconds):
            self.thresholds = None  # they are chosen by label, as are patches
            self.sampler.look_again()

    def _update_thresholds(self) -> None:
        dale = self.settings.objective_settings
        if dale is None or not dale.partition:
            return
        self.thresholds = self.thresholds or Thresholds(self.cases, self.plan.classes, self.ranks)
        self.objective.thresholds = self.thresholds.of(dale)

    def _report(self, epoch: int, share: float, started: float, loss: float) -> None:
        values: dict[str, float] = {"epoch": epoch + 1, "loss": loss}
        for row in reversed(self.history):
            if row.get("validation_dice") is not None:
                values["validation_dice"] = row["validation_dice"]
                break
        elapsed = time.monotonic() - started
        left = elapsed / share - elapsed if share > 0.02 else None
        message = f"Epoch {epoch + 1} of {self.settings.epochs}"
        self.progress.report(100.0 * share, "training", message, seconds_left=left, **values)

    def _save(self) -> None:
        if self.folder is None:
            return
        names, shapes = zip(*self.all_cases, strict=True)
        maps = self.ranks.to_first([case.disagreement for case in self.cases], shapes)
        learned = learned_labels(self.cases, names, shapes, self.ranks)
        if not self.ranks.leads:
            return
        progress = {"history": self.history, "spent": self.spent, "outlines": self.outlines.state}
        disagreement = dict(zip(names, maps, strict=True))
        path = self.folder / CHECKPOINT_FILE
        save_checkpoint(path, self.network, self.optimizer, self.objective, disagreement, learned, progress)
        self._save_model(self.folder)

    def _save_model(self, folder: Path) -> None:
        save_bundle(folder, self.network, self.plan, {"history": self.history})

    def resume(self) -> None:
        """Put everything back as the last finished epoch left it, the model too, which a kill can have left an epoch
        behind; `run` goes on from there."""
        if self.folder is None:
            return
        path = self.folder / CHECKPOINT_FILE
        self.ranks.check_same("run folders", there := path.exists())
        if not there:
            return  # killed before the first epoch ended: start over
        progress = load_checkpoint(path, self.network, self.optimizer, self.objective, self.cases, self.device)
        self.history, self.spent = progress["history"], progress["spent"]
        self.outlines.state = progress["outlines"]
        self.sampler.look_again()
        self.ranks.check_same("checkpoints", len(self.history))
        if self.ranks.leads:
            self._save_model(self.folder)

    def _trial_run(self) -> None:
        """One forward pass of an empty patch, to see the order of the layers."""
        patch = torch.zeros((1, self.plan.channels, *self.plan.network_patch), device=self.device)
        was = self.network.training
        self.network.eval()
        with torch.no_grad():
            self.network(patch)
        self.network.train(was)
