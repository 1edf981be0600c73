"""What every competitor shares: a loss of its own in the engine's training loop, nothing else changed."""

from __future__ import annotations

from torch import Tensor

from DALESegmentLib.engine.dale.loss import Batch, Objective, StepResult, weighted_dice_ce


class Baseline(Objective):
    """A method that replaces the loss. The default is plain."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, None)

    def __call__(self, batch: Batch, logits: Tensor, features: Tensor | None, step: int, share: float) -> StepResult:
        """No disagreement is kept: it is DALE's own, and these methods change or drop labels."""
        return StepResult(self.loss(batch, logits, share), None, 0.0)

    def loss(self, batch: Batch, logits: Tensor, share: float) -> Tensor:
        """logits: (B, K, *grid); share: the part of the training that is done, 0 to 1."""
        return weighted_dice_ce(logits, batch.label, batch.valid, batch.valid, batch.valid)
