"""The loop of a fine-tune: it looks every now and then at what it is for, keeps the best model seen, and ends at the
bell, or before it where looking on no longer helps."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from .keeping import KeepingObjective
from .looks import Look, better, look_at, patches_to_look_at
from .trainer import Trainer
from .tuning_patches import TuningSampler

LOOKS = 12
"""In a time budget, evenly spaced."""
PATIENCE = 5
"""Looks without a better model, after which the fine-tune ends."""
SAVED_EVERY = 20.0
"""Seconds between writing the best model so far, so that a kill does not cost it."""


@dataclass
class Tuner(Trainer):
    """A training that starts from `network`. deadline: on the monotonic clock, instead of the settings' seconds.

    Its batches are half as large: twice as many steps do more for what is learned by heart. Its rows have
    confirmed_wrong, the share of the confirmed voxels looked at that the model contradicts, and replay_dice, its Dice
    with the labels on patches without them.
    """

    deadline: float | None = None
    best: Look = field(init=False)

    def __post_init__(self) -> None:
        self.given_objective = KeepingObjective(self.plan, self.settings, self.network)
        half = self.plan.model_copy(update={"batch_size": max(2, -(-self.plan.batch_size // 2))})
        self.given_sampler = sampler = TuningSampler(self.cases, half)
        super().__post_init__()
        self.patches = patches_to_look_at(sampler, self.settings.seed, self.device)
        self.best = self.before = look_at(self.network, self.patches)
        self.kept = _copied(self.network)
        self.since_best = 0
        self.saved_at = time.monotonic()
        self.slice_ends: float | None = None

    def run(self) -> list[dict[str, Any]]:
        """Train, put the best model back and write it, whatever ended the training."""
        if self.deadline is not None:
            left = max(self.deadline - time.monotonic(), 1e-3)
            self.settings = self.settings.model_copy(update={"seconds": left})
        try:
            super().run()
        finally:
            self.network.load_state_dict(self.kept)
            self._write()
        if self.history and self.validation:
            self.history[-1]["validation_dice"] = self.validate()
        return self.history

    def _epoch(self, epoch: int, started: float) -> dict[str, Any]:
        """With a budget a twelfth of it, else as many steps as were asked for."""
        if self.settings.seconds is not None:
            self.slice_ends = time.monotonic() + self.settings.seconds / LOOKS
        row = super()._epoch(epoch, started)
        self.slice_ends = None
        look = look_at(self.network, self.patches)
        if better(look, self.best, self.before):
            self.best, self.kept, self.since_best = look, _copied(self.network), 0
        else:
            self.since_best += 1
        return row | look.row()

    def _over(self, started: float) -> bool:
        ended = self.slice_ends is not None and time.monotonic() >= self.slice_ends
        return ended or self.since_best >= PATIENCE or super()._over(started)

    def _draw_outlines_anew(self, share: float) -> None:
        """Those of the run it comes from are gone on with (`Remembered`); a budget is for what was corrected."""

    def _validates(self, epoch: int, started: float) -> bool:
        return False  # the best model is, at the end

    def _save(self) -> None:
        if time.monotonic() - self.saved_at < SAVED_EVERY:
            return
        now = _copied(self.network)
        self.network.load_state_dict(self.kept)
        self._write()
        self.network.load_state_dict(now)

    def _write(self) -> None:
        super()._save()
        self.saved_at = time.monotonic()

    def _report(self, epoch: int, share: float, started: float, loss: float) -> None:
        look = self.best
        message = f"Learning; {look.wrong} of {look.confirmed} confirmed voxels are not followed yet"
        left = None
        if share > 0.02:
            elapsed = time.monotonic() - started
            left = elapsed / share - elapsed
        self.progress.report(100.0 * share, "training", message, seconds_left=left, epoch=epoch + 1, loss=loss)


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
