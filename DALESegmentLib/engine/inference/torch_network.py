"""A network of torch as it is run on a CPU: the same weights, in other routines and another order in memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..planning.plan import Plan

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
