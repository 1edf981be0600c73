"""The warm-up: how long training stays plain before labels are doubted.

It ends by the training curve's own slope: as soon as the mean loss of the last tenth of the training is no more than
`SLOPE` below that of the tenth before it. Where labels are good the loss goes on falling, and a network that is still
learning the easy part cannot tell hard from wrong; where labels contradict each other it soon stands still, and going
on would only learn them by heart. Looked at every twentieth of the training, from a fifth of it on. A heuristic.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCKS = 20
SLOPE = 0.05


class WarmUp:
    """longest: the share of the training after which it ends in any case; 0 is no warm-up."""

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self.over = False
        self.block = 0
        self.losses = torch.zeros(BLOCKS, 2)
        """Sum and number of the losses, a block each."""

    def lasts(self, share: float) -> bool:
        """Whether the step at this share of the training, in [0, 1], is still plain."""
        block = min(int(share * BLOCKS + 1e-9), BLOCKS - 1)
        if block > self.block:
            self.block = block
            self.over = self.over or self._stands_still()
        self.over = self.over or share >= self.longest
        return not self.over

    def observe(self, loss: float) -> None:
        """The loss of a step that `lasts` was asked about."""
        self.losses[self.block] += torch.tensor([loss, 1.0])

    def _stands_still(self) -> bool:
        ended = self.losses[: self.block]
        if len(ended) < 4:
            return False
        (before, steps), (now, steps_now) = ended[-4:-2].sum(0), ended[-2:].sum(0)
        return bool(steps > 0 and steps_now > 0 and now / steps_now > (1 - SLOPE) * before / steps)

    @property
    def state(self) -> Tensor:
        """(BLOCKS + 1, 2) float32, for a checkpoint."""
        return torch.cat([self.losses, torch.tensor([[float(self.over), float(self.block)]])])

    @state.setter
    def state(self, state: Tensor) -> None:
        self.losses = state[:-1].clone()
        self.over, self.block = bool(state[-1, 0]), int(state[-1, 1])
