"""Which device the work is done on."""

from __future__ import annotations

import torch

from ..distributed.ranks import Ranks, current
from ..errors import EngineError


def choose_device(name: str = "auto") -> torch.device:
    """ "auto" takes the GPU where there is one; processes that train together get one each. Raises EngineError where
    the one asked for is not there."""
    ranks = current()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError("no-device", f"There is no device {name!r}; use auto, cpu, cuda or cuda:0.") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise EngineError("no-device", f"This machine has no usable {name}; use auto or cpu.")
    if device.type not in ("cpu", "cuda"):
        raise EngineError("no-device", f"Device {name!r} is not supported; use auto, cpu or cuda.")
    return _own_gpu(device, ranks) if device.type == "cuda" and ranks.size > 1 else device


def _own_gpu(device: torch.device, ranks: Ranks) -> torch.device:
    """The GPU of this rank."""
    count = torch.cuda.device_count()
    if device.index is not None or count < ranks.local_size:
        there = f"{count} GPU{'' if count == 1 else 's'}"
        raise EngineError(
            "too-few-gpus",
            f"{ranks.local_size} processes on this machine need a GPU each, of {there}; start one process a GPU, with "
            "--device cuda, or use --device cpu.",
        )
    own = torch.device("cuda", ranks.here)
    torch.cuda.set_device(own)
    return own
