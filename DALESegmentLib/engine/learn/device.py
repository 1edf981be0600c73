"""Which device the work is done on."""

from __future__ import annotations

import torch

from ..errors import EngineError


def choose_device(name: str = "auto") -> torch.device:
    """ "auto" takes the GPU where there is one. Raises EngineError where the one asked for is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError("no-device", f"There is no device {name!r}; use auto, cpu, cuda or cuda:0.") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise EngineError("no-device", f"This machine has no usable {name}; use auto or cpu.")
    if device.type not in ("cpu", "cuda"):
        raise EngineError("no-device", f"Device {name!r} is not supported; use auto, cpu or cuda.")
    return device
