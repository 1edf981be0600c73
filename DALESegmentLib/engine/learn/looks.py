"""What a fine-tune looks at to know whether it helps: a few patches with confirmed voxels, and as many without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..dale.objective import Batch
from ..measure.agreement import mean_of
from ..measure.overlap import dice
from .tuning_patches import TuningSampler

PATCHES = 16
"""Of each kind; a look at both costs about as much as a step or two."""
REPLAY_MARGIN = 0.01
"""Dice that a model may lose on the replay and still be kept."""


@dataclass(frozen=True)
class Look:
    """wrong: confirmed voxels contradicted, of `confirmed` looked at; replay: Dice with the labels, away from them."""

    wrong: int
    confirmed: int
    replay: float

    def row(self) -> dict[str, Any]:
        share = self.wrong / self.confirmed if self.confirmed else 0.0
        return {"confirmed_wrong": round(share, 4), "replay_dice": round(self.replay, 4)}


def better(look: Look, best: Look, before: Look) -> bool:
    """Fewer confirmed voxels contradicted, and nothing lost on the replay against the model before; where the voxels
    are equal, the better replay."""
    kept = look.replay >= before.replay - REPLAY_MARGIN
    return kept and (look.wrong, -look.replay) < (best.wrong, -best.replay)


def patches_to_look_at(sampler: TuningSampler, seed: int, device: torch.device) -> list[Batch]:
    """Batches, the same for one seed: windows that hold confirmed voxels, evenly drawn, and replay."""
    windows = sampler.windows[:: max(1, -(-len(sampler.windows) // PATCHES))]
    poses = windows + sampler.replay_poses(PATCHES, seed)
    size = sampler.plan.batch_size
    return [sampler.take(poses[i : i + size], device) for i in range(0, len(poses), size)]


def look_at(network: nn.Module, patches: list[Batch]) -> Look:
    """Replay Dice is pooled over the patches, the mean of the classes that are there."""
    was = network.training
    network.eval()
    wrong = confirmed = 0
    both, sizes = torch.zeros(1), torch.zeros(1)
    with torch.no_grad():
        for batch in patches:
            logits = network(batch.image)
            found, classes = logits.argmax(1), logits.shape[1]
            wrong += int((batch.trusted & (found != batch.label)).sum())
            confirmed += int(batch.trusted.sum())
            counted = ((batch.valid > 0) & ~batch.trusted).float().flatten()
            mine, given = found.flatten(), batch.label.flatten()
            agreed = torch.bincount(given, counted * (mine == given), minlength=classes)
            both = both + agreed.cpu()
            total = torch.bincount(mine, counted, minlength=classes) + torch.bincount(given, counted, minlength=classes)
            sizes = sizes + total.cpu()
    network.train(was)
    scores = [dice(n, size) for n, size in zip(both[1:].tolist(), sizes[1:].tolist(), strict=True)]
    replay = mean_of(scores)
    return Look(wrong, confirmed, 1.0 if replay is None else replay)
