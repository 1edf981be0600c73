"""What every competitor shares: a loss of its own in the engine's training loop, nothing else changed."""

from __future__ import annotations

from torch import Tensor

from DALESegmentLib.engine.dale.loss import DaleLoss, weighted_dice_ce
from DALESegmentLib.engine.training.sampling import Batch


class Baseline(DaleLoss):
    """A method that replaces the loss. The default is plain."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, None)

    def forward(self, logits: Tensor, batch: Batch, progress: float, features: Tensor | None = None) -> Tensor:
        """No disagreement is kept: it is DALE's own, and these methods change or drop labels."""
        return self.loss(batch, logits, progress)

    def loss(self, batch: Batch, logits: Tensor, share: float) -> Tensor:
        """logits: (B, K, *grid); share: the part of the training that is done, 0 to 1."""
        return weighted_dice_ce(logits, batch.target, batch.valid, batch.valid, batch.valid)
