"""What the arithmetic alone must cost: the convolutions' operations at the rate of a large convolution here."""

from __future__ import annotations

import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from DALESegmentLib.engine.planning.plan import Plan

_SECONDS = 0.5
_CHANNELS, _EDGE = {"cpu": 64, "cuda": 128}, {"cpu": 32, "cuda": 96}


def operations(network: nn.Module, plan: Plan) -> float:
    """Floating point operations of one window."""
    device = next(network.parameters()).device
    window = torch.zeros(1, plan.channels, *plan.network_patch, device=device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(window)
    return float(counter.get_total_flops())


def sustained_rate(device: torch.device) -> float:
    """Operations a second of a large 3x3x3 convolution, best of both memory orders; bfloat16 on a GPU."""
    return max(_rate(device, order) for order in (torch.contiguous_format, torch.channels_last_3d))


def _rate(device: torch.device, order: torch.memory_format) -> float:
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    channels, edge = _CHANNELS[device.type], _EDGE[device.type]
    layer = nn.Conv3d(channels, channels, 3, padding=1, bias=False).to(device, kind).to(memory_format=order)
    values = torch.randn(1, channels, edge, edge, edge, device=device, dtype=kind).to(memory_format=order)
    best = 0.0
    with torch.inference_mode():
        layer(values)
        end = time.perf_counter() + _SECONDS
        while time.perf_counter() < end:
            started = time.perf_counter()
            layer(values)
            if device.type == "cuda":
                torch.cuda.synchronize()
            best = max(best, 2 * 27 * channels**2 * edge**3 / (time.perf_counter() - started))
    return best
