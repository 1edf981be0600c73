"""How many windows are run at a time: as many as are of use and the memory that is free surely holds."""

from __future__ import annotations

import math

import torch

from ..memory import available_memory
from .plan import Plan

MOST_WINDOWS = {"cpu": 4, "cuda": 8, "mps": 4}
"""More are no faster: on a CPU they leave the cache, a GPU is busy with fewer."""
CACHED_VOXELS = 2**17
"""On a CPU, one window is run at a time where more would hold more voxels than this together, and leave the cache."""
FREE_SHARE = 0.5
"""Of the free memory; the other half is for what the network needs in between and for other programs."""
_FEATURE_MAPS = 12
"""As wide as the network's first level and as large as the window: about what MONAI's networks hold at their worst."""


def free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":  # shares the machine's memory, and may take a part of it
        return min(available_memory(), torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return available_memory()


def windows_at_a_time(plan: Plan, patch: tuple[int, ...], device: torch.device) -> int:
    """At least 1."""
    voxels = math.prod(patch)
    most = MOST_WINDOWS[device.type]
    if device.type == "cpu" and most * voxels > CACHED_VOXELS:
        most = 1
    window = 4 * voxels * (plan.channels + plan.classes + _FEATURE_MAPS * _first_width(plan))
    return max(1, min(most, int(FREE_SHARE * free_bytes(device)) // window))


def is_out_of_memory(error: BaseException) -> bool:
    """Of the device or the machine, however torch says it."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "CUDA out of memory" in text or "MPS backend out of memory" in text
    )


def _first_width(plan: Plan) -> int:
    arguments = plan.network_arguments
    for name in ("init_filters", "channels", "filters", "feature_size"):
        width = arguments.get(name)
        if width:
            return int(width[0] if isinstance(width, (list, tuple)) else width)
    return 32
