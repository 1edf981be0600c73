"""Sums over all the processes that train together, inside a loss.

A loss made of sums over a batch, such as batch Dice, is no mean of what the shares of a batch would give: its
numerators and denominators have to be added up first. So every process puts its own sums in, all get the whole ones,
and from there all have the same loss L. Backwards, each goes on with dL/d(whole sum) from its own sum to its own
voxels. Added up over the processes, the gradients of the weights are then those of the whole batch in one process.

A process on its own gets back what it put in.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def alone() -> bool:
    """Whether this process trains on its own."""
    return not (dist.is_available() and dist.is_initialized())


def over_ranks(*own: Tensor) -> tuple[Tensor, ...]:
    """Each of the tensors, added up over all processes; float tensors of any shapes on one device.

    All processes must ask for the same sums in the same order. One message, however many tensors.
    """
    if alone():
        return own
    whole = _Sum.apply(torch.cat([values.flatten() for values in own]))
    parts = whole.split([values.numel() for values in own])
    return tuple(part.reshape(values.shape) for part, values in zip(parts, own, strict=True))


class _Sum(torch.autograd.Function):
    """Of all processes. `torch.distributed.nn.functional.all_reduce` sends a second message for each sum backwards, to
    give every process the same gradient times their number, and is deprecated."""

    @staticmethod
    def forward(_context: Any, own: Tensor) -> Tensor:
        whole = own.detach().clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient
