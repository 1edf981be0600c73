"""A network as a graph of OpenVINO, without its weights: these are put in when it is compiled.

A graph follows from the network's architecture and the window alone, so that one export, which takes seconds, serves
every model of that architecture; new weights cost milliseconds. The export is made of a copy whose weights are random,
so that each weight is found again among the graph's constants by its bytes. Whether the graph with a model's own
weights gives that model's answer tells whether all of them were found.

OpenVINO's frontend is called directly: its `convert_model` reports every conversion to its maker.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import tempfile
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:  # a graph is run without torch
    from torch import nn

Precision = Literal["f32", "bf16"]
Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Graph:
    """xml: OpenVINO's description; constants: (bytes,) uint8 that it refers to, without the weights; places: offset and
    size in them of each weight, by name."""

    xml: bytes
    constants: np.ndarray
    places: tuple[tuple[int, int, str], ...]

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        texts = {"xml": self.xml, "places": json.dumps(self.places).encode()}
        arrays = {name: np.frombuffer(text, np.uint8) for name, text in texts.items()}
        np.savez_compressed(buffer, constants=self.constants, xml=arrays["xml"], places=arrays["places"])
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Graph:
        """Raises ValueError, KeyError, OSError for anything else."""
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            places = json.loads(stored["places"].tobytes())
            found = tuple((int(offset), int(size), str(name)) for offset, size, name in places)
            return Graph(stored["xml"].tobytes(), stored["constants"], found)

    def filled(self, weights: Weights) -> np.ndarray:
        """The constants with these weights. Raises KeyError, ValueError where they are of another network."""
        constants = self.constants.copy()
        for offset, size, name in self.places:
            constants[offset : offset + size] = np.frombuffer(np.ascontiguousarray(weights[name]).tobytes(), np.uint8)
        return constants


class CompiledGraph:
    """A graph with weights, ready to be run on the processor."""

    def __init__(self, graph: Graph, weights: Weights, threads: int, precision: Precision = "f32") -> None:
        """Raises what OpenVINO raises, RuntimeError in most cases, and what `Graph.filled` raises."""
        import openvino

        core = openvino.Core()
        model = core.read_model(graph.xml, openvino.Tensor(graph.filled(weights)))
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # or several processes would share one core
        }
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run(self, window: np.ndarray) -> np.ndarray:
        """(1, C, *patch) float32 to (1, K, *patch). Raises RuntimeError."""
        found: np.ndarray = self._request.infer({0: np.ascontiguousarray(window)}, share_inputs=True)[0]
        return found


def has_half_precision() -> bool:
    """Whether this processor computes with bfloat16 itself."""
    import openvino

    try:
        return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except RuntimeError:
        return False


def export_graph(network: nn.Module, shape: Sequence[int]) -> Graph:
    """The graph of a network for inputs of this shape, (1, C, *patch). The network is left as it is.

    Raises whatever torch and OpenVINO raise where it cannot be converted.
    """
    import torch

    from .torch_network import OneDnnConv3d

    plain = copy.deepcopy(network).cpu().float().eval()
    for layer in plain.modules():
        if isinstance(layer, OneDnnConv3d):  # which is not known outside of torch
            layer.__class__ = torch.nn.Conv3d  # type: ignore[assignment]
    random = np.random.default_rng(0)
    _fill_with_random_numbers(plain, random)
    with torch.no_grad():
        for weight in (*plain.parameters(), *plain.buffers()):
            weight.data = weight.data.contiguous()
    example = torch.from_numpy(random.standard_normal(tuple(shape), np.float32))
    xml, constants = _serialized(plain, example)
    places = _places(xml, constants, plain)
    for offset, size, _ in places:
        constants[offset : offset + size] = 0
    return Graph(xml, constants, places)


def _fill_with_random_numbers(network: nn.Module, random: np.random.Generator) -> None:
    import torch

    with torch.no_grad():
        for name, values in network.state_dict().items():
            if values.is_floating_point():
                drawn = np.asarray(0.05 * random.standard_normal(tuple(values.shape), np.float32))
                values.copy_(torch.from_numpy(np.abs(drawn) + 0.5 if name.endswith("running_var") else drawn))


def _serialized(network: nn.Module, example: Any) -> tuple[bytes, np.ndarray]:
    import openvino
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")

    def converted(decoder: Any) -> Any:
        model = frontend.convert(frontend.load(decoder))
        model.reshape(list(example.shape))
        return model

    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what depends on the shape, which is fixed
            traced = torch.jit.trace(network, example, check_trace=False, strict=False)
        model = converted(TorchScriptPythonDecoder(traced))
    except Exception:  # transformers need what the decoder changes while it traces itself, which takes far longer
        model = converted(TorchScriptPythonDecoder(network, example_input=(example,)))
    with tempfile.TemporaryDirectory(prefix="graph-", ignore_cleanup_errors=True) as folder:
        files = [os.path.join(folder, name) for name in ("graph.xml", "graph.bin")]
        openvino.serialize(model, *files)
        return Path(files[0]).read_bytes(), np.fromfile(files[1], np.uint8)


def _places(xml: bytes, constants: np.ndarray, network: nn.Module) -> tuple[tuple[int, int, str], ...]:
    names: dict[bytes, str] = {}
    for name, values in network.state_dict().items():
        if values.is_floating_point():
            names.setdefault(hashlib.sha256(values.numpy().tobytes()).digest(), name)
    found = []
    for layer in ET.fromstring(xml).iter("layer"):
        data = layer.find("data") if layer.get("type") == "Const" else None
        if data is None:
            continue
        offset, size = int(data.get("offset", 0)), int(data.get("size", 0))
        known = names.get(hashlib.sha256(constants[offset : offset + size].tobytes()).digest())
        if known is not None:
            found.append((offset, size, known))
    return tuple(found)
