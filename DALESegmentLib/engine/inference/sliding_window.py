"""Sliding-window inference with as many windows per batch as are useful and fit into the free memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..core.device import empty_cache
from ..core.memory import available_memory
from ..core.progress import Progress
from ..planning.plan import Plan
from ..planning.windows import Windows
from .backend import expect_windows
from .slab import OutputWriter, Slab, SlabWriter

SMALLER = "Memory is short: going on in smaller steps, which takes a little longer"
ON_THE_CPU = "The memory of the GPU is too small for this image: going on without it, which takes longer"
Keep = Callable[[], SlabWriter | OutputWriter]


class SlidingWindowRunner:
    """Keeps from image to image what it learned about the memory. Checks for a cancel before every step."""

    def __init__(self, network: nn.Module, plan: Plan, device: torch.device) -> None:
        self._network = network
        self._plan = plan
        self._device = device
        self._most: int | None = None
        """Windows at a time that went well after more did not."""

    def run(
        self, image: Tensor, windows: Windows, keep: Keep, progress: Progress, message: str = "", *, partial: bool
    ) -> Tensor:
        """The values kept. image: (C, *windows.size); keep: makes what takes the rows; message: how far it is, is
        reported with it; partial: windows are left out.

        On a GPU whose memory does not even hold one window it is all done again on the CPU. Raises what the network
        raises.
        """
        was_training = self._network.training
        self._network.eval()
        try:
            with torch.inference_mode():
                expect_windows(self._network, len(windows), lambda said: progress.report(0, "predicting", said))
                try:
                    return self._run(self._network, self._device, image, windows, keep(), progress, message, partial)
                except RuntimeError as error:
                    if self._device.type == "cpu" or not is_out_of_memory(error):
                        raise
                empty_cache(self._device)
                progress.report(0, "predicting", ON_THE_CPU)
                on_cpu = copy.deepcopy(self._network).cpu()
                return self._run(on_cpu, torch.device("cpu"), image, windows, keep(), progress, message, partial)
        finally:
            self._network.train(was_training)

    def _run(
        self,
        network: nn.Module,
        device: torch.device,
        image: Tensor,
        windows: Windows,
        kept: SlabWriter | OutputWriter,
        progress: Progress,
        message: str,
        partial: bool,
    ) -> Tensor:
        outputs_each = self._plan.outputs
        fits = Slab.bytes_needed(windows, outputs_each) < FREE_SHARE * free_bytes(device)
        where = device if fits else torch.device("cpu")
        if image.nbytes < FREE_SHARE * free_bytes(device) / 2:
            image = image.to(device)
        slab = Slab(windows, outputs_each, where, kept.take, weigh=partial or kept.needs_weights)
        wanted = sw_batch_size(self._plan, windows.patch, device)
        n = 0
        while n < len(windows):
            progress.check()
            starts = windows.starts[n : n + min(wanted, self._most or wanted)]
            try:
                outputs = self._outputs(network, device, image, windows.patch, starts)
            except (RuntimeError, MemoryError) as error:
                if len(starts) == 1 or not is_out_of_memory(error):
                    raise
                self._most = len(starts) // 2
                progress.report(0, "predicting", SMALLER)
                continue
            slab.add(list(starts), outputs.to(where))
            n += len(starts)
            if message:
                progress.report(100.0 * n / len(windows), "predicting", message)
        slab.finish()
        progress.check()
        return kept.values

    def _outputs(
        self, network: nn.Module, device: torch.device, image: Tensor, patch: Sequence[int], starts: np.ndarray
    ) -> Tensor:
        """(B, K, *patch) logits."""
        boxes = [tuple(slice(int(s), int(s) + n) for s, n in zip(start, patch, strict=True)) for start in starts]
        batch = torch.stack([image[np.index_exp[:] + box] for box in boxes]).to(device)
        flat = self._plan.slice_axis + 2 if self._plan.dims == 2 else None
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            outputs = network(batch if flat is None else batch.squeeze(flat)).float()
        return outputs if flat is None else outputs.unsqueeze(flat)


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


def sw_batch_size(plan: Plan, patch: tuple[int, ...], device: torch.device) -> int:
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
    for name in ("init_filters", "channels", "filters", "feature_size", "features_per_stage", "features"):
        width = arguments.get(name)
        if width:
            return int(width[0] if isinstance(width, (list, tuple)) else width)
    return 32
