"""Co-teaching (Han et al., NeurIPS 2018) with voxels as the samples: two networks choose for each other.

Each network learns only from the voxels whose cross-entropy under the *other* is small. R(t) = 1 - min(t / t_k, 1) τ
of the voxels are kept, τ = 0.2, t_k = 30 % of the training. Counted by class, and never more background than there is
foreground is left out: a fifth of all background would be everything near a boundary.

The second network sees the same batches, has the same optimiser and as many steps; the first one is scored.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DALESegmentLib.engine.dale.loss import weighted_dice_ce
from DALESegmentLib.engine.training.sampling import Batch

from .baseline import Baseline

FORGET = 0.2
RAMP = 0.3


def small_loss(loss: Tensor, label: Tensor, valid: Tensor, classes: int, forget: float) -> Tensor:
    """1.0 where the loss is among the smallest of its class, else 0.0. All (B, *grid)."""
    chosen = valid.clone()
    counts = [int(((label == c) & (valid > 0)).sum()) for c in range(classes)]
    foreground = sum(counts[1:])
    for c, count in enumerate(counts):
        drop = int(forget * min(count, foreground) if c == 0 else forget * count)
        if drop:
            where = ((label == c) & (valid > 0)).flatten().nonzero().squeeze(1)
            worst = loss.flatten()[where].topk(drop).indices
            chosen.view(-1)[where[worst]] = 0.0
    return chosen


class CoTeaching(Baseline):
    """make_peer builds the second network; learning_rate is that of the first one's start."""

    def __init__(self, classes: int, make_peer: Callable[[], nn.Module], learning_rate: float) -> None:
        super().__init__(classes)
        self.peer = make_peer()
        self.learning_rate = learning_rate
        self.optimizer: torch.optim.Optimizer | None = None

    def loss(self, batch: Batch, logits: Tensor, share: float) -> Tensor:
        others = self._peer_logits(batch)
        forget = FORGET * min(share / RAMP, 1.0)
        with torch.no_grad():
            mine, theirs = (F.cross_entropy(z.float(), batch.target.long(), reduction="none") for z in (logits, others))
        self._learn(batch, others, small_loss(mine, batch.target, batch.valid, self.num_classes, forget), share)
        weights = small_loss(theirs, batch.target, batch.valid, self.num_classes, forget)
        return weighted_dice_ce(logits, batch.target, weights, weights, batch.valid)

    def _peer_logits(self, batch: Batch) -> Tensor:
        if self.optimizer is None:
            self.peer.to(batch.image.device).train()
            self.optimizer = torch.optim.AdamW(self.peer.parameters(), lr=self.learning_rate, weight_decay=1e-5)
        with torch.autocast(batch.image.device.type, torch.bfloat16, enabled=batch.image.is_cuda):
            return self.peer(batch.image).float()

    def _learn(self, batch: Batch, logits: Tensor, weights: Tensor, share: float) -> None:
        """One step of the second network, with the trainer's learning rate and limit on the gradient."""
        assert self.optimizer is not None
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * (1.0 - min(share, 0.999)) ** 0.9
        self.optimizer.zero_grad(set_to_none=True)
        weighted_dice_ce(logits, batch.target, weights, weights, batch.valid).backward()
        nn.utils.clip_grad_norm_(self.peer.parameters(), 12.0)
        self.optimizer.step()
