"""Which device the work is done on."""

from __future__ import annotations

import torch

from .distributed import Ranks, current
from .errors import EngineError

OLDEST_FOR_MPS = (2, 5)
"""The first torch with a fused AdamW and autocast there."""


def choose_device(name: str = "auto") -> torch.device:
    """ "auto" takes an NVIDIA GPU where there is one, else Apple's, else the CPU; processes that train together get an
    NVIDIA GPU each, or share the CPU. Raises EngineError where the one asked for is not there, or not for several
    processes."""
    ranks = current()
    if name == "auto":
        name = _best(ranks)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError("no-device", f"There is no device {name!r}; use auto, cpu, cuda, cuda:0 or mps.") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise EngineError("no-device", f"This machine has no usable {name}; use auto or cpu.")
    if device.type not in ("cpu", "cuda", "mps"):
        raise EngineError("no-device", f"Device {name!r} is not supported; use auto, cpu, cuda or mps.")
    if device.type == "mps":
        _check_mps(ranks)
        return torch.device("mps")  # there is never a second one
    return _own_gpu(device, ranks) if device.type == "cuda" and ranks.size > 1 else device


def has_mps() -> bool:
    """Whether an Apple GPU can be trained on."""
    return torch.backends.mps.is_available() and _version() >= OLDEST_FOR_MPS


def empty_cache(device: torch.device) -> None:
    """Give memory back that torch holds on the device without using it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _best(ranks: Ranks) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if has_mps() and ranks.size == 1 else "cpu"


def _check_mps(ranks: Ranks) -> None:
    if not has_mps():
        oldest = ".".join(map(str, OLDEST_FOR_MPS))
        raise EngineError(
            "no-device", f"This machine has no usable mps (an Apple GPU, and torch {oldest} or newer); use auto or cpu."
        )
    if ranks.size > 1:
        raise EngineError(
            "not-for-ranks",
            "Several processes cannot train together on an Apple GPU; train in one process, or use --device cpu.",
        )


def _version() -> tuple[int, ...]:
    return tuple(int(number) for number in torch.__version__.split("+")[0].split(".")[:2])


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
    own = torch.device("cuda", ranks.local_rank)
    torch.cuda.set_device(own)
    return own
