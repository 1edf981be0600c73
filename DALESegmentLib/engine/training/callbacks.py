"""What happens around the steps of a training: time, label correctors, validation, reports, files. `Trainer` calls them
in order."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..bundle.bundle import save_bundle
from ..core.progress import Progress
from ..dale.config import DaleConfig
from ..dale.correctors.base import LabelledImage, Predictions
from ..inference.predictor import Predictor
from ..planning.preprocessing import PreparedCase
from .checkpoint import Checkpoint
from .finetuning import FinetuneSampler, ReviewScore, is_better, score_on_review, scoring_patches
from .validation import validation_dice

if TYPE_CHECKING:
    from .trainer import Trainer

VALIDATIONS = 10
"""At most so many validations in a training, evenly spaced, the last at its end."""
SAVED_EVERY = 20.0
"""Seconds between writing the best model so far, so that a kill does not cost it."""
QUICK_SECONDS, WRITE_SHARE = 1.0, 0.1
"""What a checkpoint may take after each epoch; the share of a training that slower ones may take."""
DEFAULT = DaleConfig()


class Callback:
    """Does nothing; what overrides a method is called there. name: under which its state is kept in a checkpoint."""

    name = ""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch of this process."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first step of an epoch, with the epoch's seed set."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After each step; `trainer.losses` are those of the epoch."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """With the epoch's row as the last one of `trainer.history`, to be added to."""

    def on_start_over(self, trainer: Trainer) -> None:
        """After an epoch that set `trainer.starts_over`."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """Whatever ended the training, see `trainer.interrupted`."""

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON values, for a checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""


class TimeBudget(Callback):
    """Ends a training by the clock, which also says how much of it is done. On several ranks the first one's counts.

    seconds: of the training itself, those before a resume counted; or deadline: on the monotonic clock.
    """

    def __init__(self, seconds: float | None = None, deadline: float | None = None) -> None:
        self.seconds = seconds
        self.deadline = deadline

    def on_fit_start(self, trainer: Trainer) -> None:
        if self.deadline is not None:
            left = trainer.ranks.broadcast(self.deadline - time.monotonic())  # each machine has a clock of its own
            self.seconds = max(left, 1e-3) + trainer.elapsed
        self._look(trainer)

    def on_epoch_start(self, trainer: Trainer) -> None:
        self._look(trainer)

    def on_step_end(self, trainer: Trainer) -> None:
        self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        if self.seconds is not None:
            trainer.time_share = trainer.ranks.broadcast(trainer.elapsed) / self.seconds
            trainer.should_stop = trainer.should_stop or trainer.time_share >= 1.0


class PartitionThresholds(Callback):
    """Fits the partition of the loss to the disagreement, every epoch."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        trainer.loss.update_thresholds(trainer.sampler.memory)


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

    def on_start_over(self, trainer: Trainer) -> None:
        self.done = 0

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


class Validation(Callback):
    """Adds validation_dice to the row of some epochs, of the last one in any case; or to that alone, at the end.
    cases: the rank's own."""

    def __init__(self, cases: Sequence[PreparedCase], *, at_end: bool = False) -> None:
        self.cases = cases
        self.at_end = at_end

    def on_fit_start(self, trainer: Trainer) -> None:
        self.validates = sum(trainer.ranks.all_gather([len(self.cases)])) > 0

    def on_epoch_end(self, trainer: Trainer) -> None:
        every = -(-trainer.settings.epochs // VALIDATIONS)
        last = trainer.epoch + 1 == trainer.settings.epochs or trainer.should_stop
        if self.validates and not self.at_end and ((trainer.epoch + 1) % every == 0 or last):
            self._validate(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.validates and self.at_end and trainer.history and not trainer.interrupted:
            self._validate(trainer)

    def _validate(self, trainer: Trainer) -> None:
        dice = validation_dice(self.cases, trainer.predictor, trainer.progress, trainer.ranks)
        trainer.history[-1]["validation_dice"] = dice


class StepReports(Callback):
    """Tells the progress how far a training is, and its loss and last validation.

    part_of: what a training only prepares; its loss and the time that it takes are not told then, since they would be
    taken for those of the whole.
    """

    def __init__(self, part_of: str = "") -> None:
        self.part_of = part_of

    def on_step_end(self, trainer: Trainer) -> None:
        if self.part_of:
            message = f"{self.part_of}, epoch {trainer.epoch + 1} of {trainer.settings.epochs}"
            trainer.progress.report(100.0 * trainer.share, "training", message)
            return
        values: dict[str, float] = {}
        for row in reversed(trainer.history):
            if row.get("validation_dice") is not None:
                values["validation_dice"] = row["validation_dice"]
                break
        report(trainer, f"Epoch {trainer.epoch + 1} of {trainer.settings.epochs}", **values)


def report(trainer: Trainer, message: str, **values: float) -> None:
    share, elapsed = trainer.share, trainer.elapsed
    left = elapsed / share - elapsed if share > 0.02 else None
    values = {"epoch": trainer.epoch + 1, "loss": sum(trainer.losses) / len(trainer.losses), **values}
    trainer.progress.report(100.0 * share, "training", message, seconds_left=left, **values)


class BestOnReview(Callback):
    """Of a fine-tune: scores the model after each epoch, keeps the best one, puts it back at the end, and stops early.

    Rows get confirmed_wrong, the share of the confirmed voxels scored that the model contradicts, and replay_dice,
    its Dice with the labels on patches without them. With a budget there is one epoch for each of
    `FinetuneConfig.scores`.
    """

    def __init__(self, sampler: FinetuneSampler, budget: TimeBudget) -> None:
        self.sampler = sampler
        self.config = sampler.config
        self.budget = budget
        self.since_best = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        self.patches = scoring_patches(self.sampler, trainer.settings.seed, trainer.device)
        self.best: ReviewScore = score_on_review(trainer.network, self.patches, trainer.ranks)
        self.before = self.best
        self.kept = _copied(trainer.network)

    def on_epoch_start(self, trainer: Trainer) -> None:
        seconds = self.budget.seconds
        self.epoch_ends = None if seconds is None else time.monotonic() + seconds / self.config.scores

    def on_step_end(self, trainer: Trainer) -> None:
        score = self.best
        report(
            trainer, f"Learning; {score.wrong / max(score.confirmed, 1):.1%} of what is confirmed is not followed yet"
        )
        if self.epoch_ends is not None and trainer.ranks.broadcast(time.monotonic() >= self.epoch_ends):
            trainer.ends_epoch = True

    def on_epoch_end(self, trainer: Trainer) -> None:
        score = score_on_review(trainer.network, self.patches, trainer.ranks)
        if is_better(score, self.best, self.before, self.config.replay_margin):
            self.best, self.kept, self.since_best = score, _copied(trainer.network), 0
        else:
            self.since_best += 1
        trainer.should_stop = trainer.should_stop or self.since_best >= self.config.patience
        trainer.history[-1] |= score.row()

    def on_fit_end(self, trainer: Trainer) -> None:
        trainer.network.load_state_dict(self.kept)

    @contextmanager
    def best_weights(self, network: nn.Module) -> Iterator[None]:
        """Lend the network its best weights."""
        now = _copied(network)
        network.load_state_dict(self.kept)
        try:
            yield
        finally:
            network.load_state_dict(now)


class RunOutputs(Callback):
    """Writes the checkpoint and the model's bundle, so that a kill at any moment leaves both whole.

    Without `best` every epoch, and all that a resume takes; where writing takes more than QUICK_SECONDS, only after so
    many epochs that no more than WRITE_SHARE of the time is spent on it, and after the first and the last. A fine-tune
    is not resumed: of it the best model and what was learned about the labels are written, every SAVED_EVERY seconds
    and at the end.
    """

    def __init__(self, checkpoint: Checkpoint, best: BestOnReview | None = None) -> None:
        self.checkpoint = checkpoint
        self.best = best
        self.saved_at = time.monotonic()
        self.write_seconds = 0.0

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self.best is None:
            if trainer.ranks.broadcast(self._is_due(trainer)):
                self._write(trainer)
        elif trainer.ranks.broadcast(time.monotonic() - self.saved_at >= SAVED_EVERY):
            with self.best.best_weights(trainer.network):
                self._write(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.best is not None:
            self._write(trainer)

    def resume(self, trainer: Trainer) -> None:
        """Put everything back as the last written epoch left it, the model too, which a kill can have left an epoch
        behind. Without a checkpoint, which is written at the end of the first epoch, the training starts over."""
        trainer.ranks.check_same("run folders", there := self.checkpoint.exists())
        if not there:
            return
        trainer.load_progress(self.checkpoint.load(trainer.cases, trainer.load_tensors))
        trainer.ranks.check_same("checkpoints", len(trainer.history))
        if trainer.ranks.is_main:
            self._save_model(trainer)

    def _write(self, trainer: Trainer) -> None:
        started = time.monotonic()
        tensors = trainer.tensors() if self.best is None else None
        self.checkpoint.save(trainer.cases, tensors, trainer.progress_so_far())
        if trainer.ranks.is_main:
            self._save_model(trainer)
        self.saved_at = time.monotonic()
        self.write_seconds = self.saved_at - started

    def _is_due(self, trainer: Trainer) -> bool:
        if trainer.should_stop or trainer.epoch + 1 == trainer.settings.epochs or self.write_seconds < QUICK_SECONDS:
            return True
        return time.monotonic() - self.saved_at >= self.write_seconds / WRITE_SHARE

    def _save_model(self, trainer: Trainer) -> None:
        save_bundle(self.folder, trainer.network, trainer.plan, {"history": trainer.history})

    @property
    def folder(self) -> Path:
        return self.checkpoint.folder


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: torch.clone(value.detach()) for name, value in network.state_dict().items()}
