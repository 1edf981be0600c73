"""What the arithmetic alone must cost: the convolutions' operations at the rate of a large convolution here."""

from __future__ import annotations

import time

import numpy as np
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


def graph_rate() -> float:
    """As `sustained_rate`, in float32, of OpenVINO with torch's number of threads."""
    import openvino
    import openvino.opset13 as ops

    channels, edge = _CHANNELS["cpu"], _EDGE["cpu"]
    shape = [1, channels, edge, edge, edge]
    random = np.random.default_rng(0)
    weight = ops.constant(random.standard_normal((channels, channels, 3, 3, 3), np.float32))
    values = ops.parameter(shape, np.float32)
    layer = ops.convolution(values, weight, [1] * 3, [1] * 3, [1] * 3, [1] * 3)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(openvino.Model([layer], [values]), "CPU", settings)
    request, image = compiled.create_infer_request(), random.standard_normal(shape, np.float32)
    request.infer({0: image})
    best, end = 0.0, time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        started = time.perf_counter()
        request.infer({0: image}, share_inputs=True, share_outputs=True)
        best = max(best, 2 * 27 * channels**2 * edge**3 / (time.perf_counter() - started))
    return best


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
