"""A network run over windows, as many at a time as the memory holds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..process.progress import Progress
from .device import empty_cache
from .kept_rows import KeptRows
from .plan import Plan
from .slab import Slab
from .window_memory import FREE_SHARE, free_bytes, is_out_of_memory, windows_at_a_time
from .windows import Windows

SMALLER = "Memory is short: going on in smaller steps, which takes a little longer"
ON_THE_CPU = "The memory of the GPU is too small for this image: going on without it, which takes longer"
Keep = Callable[[], KeptRows]


class Sweep:
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
        kept: KeptRows,
        progress: Progress,
        message: str,
        partial: bool,
    ) -> Tensor:
        fits = Slab.bytes_needed(windows, self._plan.classes) < FREE_SHARE * free_bytes(device)
        where = device if fits else torch.device("cpu")
        if image.nbytes < FREE_SHARE * free_bytes(device) / 2:
            image = image.to(device)
        slab = Slab(windows, self._plan.classes, where, kept.take, weigh=partial or kept.needs_weights)
        wanted = windows_at_a_time(self._plan, windows.patch, device)
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
