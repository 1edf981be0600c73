"""Keeps the last used model loaded, and makes its network faster for inference on a CPU.

The faster network has the same weights, in other routines and another order in memory.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..bundle.bundle import METADATA, WEIGHTS, load_bundle
from ..bundle.run_folder import find_bundle
from ..planning.plan import Plan
from .predictor import Predictor

_kept: dict[tuple, Predictor] = {}
"""At most one."""


def cached_predictor(model: Path, device: torch.device) -> Predictor:
    """A predictor for inference only: a training loads its own network. Reloads the model if its files changed.

    Raises the errors of `load_bundle`."""
    bundle = find_bundle(model).resolve()
    key = (bundle, str(device), *(_state(bundle / part) for part in (WEIGHTS, METADATA)))
    if key not in _kept:
        _kept.clear()  # first: two models may not fit
        network, plan = load_bundle(model, device)
        _kept[key] = Predictor(optimize_for_inference(network, plan, device), plan, device)
    return _kept[key]


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None  # load_bundle says what is wrong
    return found.st_mtime_ns, found.st_size


CHANNELS_LAST = ("SegResNet",)
"""Networks that gain from it: wide layers over windows that leave the cache. UNet loses."""


class OneDnnConv3d(nn.Conv3d):
    """Always oneDNN's convolution. torch itself chooses a far slower one where a single window is small."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = [int(n) for n in self.padding]
        return torch.mkldnn_convolution(input, weight, bias, padding, self.stride, self.dilation, self.groups)


def optimize_for_inference(network: nn.Module, plan: Plan, device: torch.device) -> nn.Module:
    """The network itself, changed. Its answers differ by rounding alone. It is not to be trained afterwards."""
    if device.type != "cpu" or plan.dims != 3 or not torch.backends.mkldnn.is_available():
        return network
    for layer in network.modules():
        if type(layer) is nn.Conv3d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
            layer.__class__ = OneDnnConv3d
    if plan.network in CHANNELS_LAST:
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network
