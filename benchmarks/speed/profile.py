"""Where the time of one window goes, by kind of layer in torch, and what other backends take for the same window:

python -m benchmarks.speed.profile [--edge 96] [--repeats 5]

prints Markdown for docs/performance.md. ONNX Runtime is among them where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from DALESegmentLib.engine.inference.backend import is_installed, weights_of
from DALESegmentLib.engine.inference.graph import CompiledGraph, export_graph
from DALESegmentLib.engine.inference.torch_network import OneDnnConv3d
from DALESegmentLib.engine.planning.networks import build, design

from .rows import BACKEND_GOALS

KINDS = {
    "convolution": ("aten::mkldnn_convolution", "aten::convolution", "aten::_convolution", "aten::slow_conv3d_forward"),
    "transposed convolution": ("aten::slow_conv_transpose3d", "aten::conv_transpose3d"),
    "normalisation": ("aten::batch_norm", "aten::native_batch_norm", "aten::native_group_norm", "aten::instance_norm"),
    "activation": ("aten::_prelu_kernel", "aten::prelu", "aten::leaky_relu", "aten::leaky_relu_", "aten::relu"),
    "concatenation": ("aten::cat",),
    "addition": ("aten::add", "aten::add_"),
    "interpolation": ("aten::upsample_trilinear3d", "aten::upsample_nearest3d"),
}
Answer = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--edge", type=int, default=96, help="voxels along each axis of the window")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(f"{torch.get_num_threads()} thread(s), windows of {asked.edge} voxels along each axis\n")
    for name in BACKEND_GOALS:
        patch, arguments = design(name, np.full(3, asked.edge), np.ones(3), 1, 2, large=False)
        torch.manual_seed(0)
        network = build(name, arguments).eval()
        window = torch.randn(1, 1, *patch)
        seconds = _in_turns(_sides(network, window), asked.repeats)
        print(f"**{name}**: " + ", ".join(f"{side} {took * 1e3:.0f} ms" for side, took in seconds.items()))
        shares = _shares(network, window)
        print("; of torch's time: " + ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in shares.items()) + "\n")


def _sides(network: nn.Module, window: torch.Tensor) -> dict[str, Answer]:
    """What to run for one answer, by name; every one has been warmed."""
    onednn = build_like(network)
    last = build_like(network).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    sides: dict[str, Answer] = {
        "torch": lambda: network(window),
        "with oneDNN's convolution": lambda: onednn(window),
        "and channels last": lambda: last(window),
    }
    image = window.numpy()
    if is_installed():
        graph, weights = export_graph(network, window.shape), weights_of(network)
        single = CompiledGraph(graph, weights, torch.get_num_threads())
        half = CompiledGraph(graph, weights, torch.get_num_threads(), "bf16")
        sides |= {"OpenVINO": lambda: single.run(image), "OpenVINO in bfloat16": lambda: half.run(image)}
    if importlib.util.find_spec("onnxruntime") is not None:
        session = _onnx_session(network, window)
        sides["ONNX Runtime"] = lambda: session.run(None, {"image": image})
    return sides


def build_like(network: nn.Module) -> nn.Module:
    """A copy whose convolutions are oneDNN's."""
    import copy

    found = copy.deepcopy(network)
    for layer in found.modules():
        if type(layer) is nn.Conv3d:
            layer.__class__ = OneDnnConv3d
    return found


def _onnx_session(network: nn.Module, window: torch.Tensor):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "network.onnx"
        torch.onnx.export(network, (window,), str(path), input_names=["image"], opset_version=17, dynamo=False)
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def _in_turns(sides: dict[str, Answer], repeats: int) -> dict[str, float]:
    """Median seconds of each."""
    taken: dict[str, list[float]] = {side: [] for side in sides}
    with torch.inference_mode():
        for n in range(repeats + 1):
            for side, answer in sides.items():
                started = time.perf_counter()
                answer()
                if n:
                    taken[side].append(time.perf_counter() - started)
    return {side: float(np.median(each)) for side, each in taken.items()}


def _shares(network: nn.Module, window: torch.Tensor) -> dict[str, float]:
    """Of torch's own time for a window, by kind of layer, most first; without what takes less than a hundredth."""
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as run:
        network(window)
    spent = {event.key: event.self_cpu_time_total for event in run.key_averages()}
    total = sum(spent.values())
    shares = {kind: sum(spent.get(name, 0.0) for name in names) / total for kind, names in KINDS.items()}
    shares["everything else"] = 1.0 - sum(shares.values())
    return {kind: share for kind, share in sorted(shares.items(), key=lambda one: -one[1]) if share >= 0.01}


if __name__ == "__main__":
    main()
