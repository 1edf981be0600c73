"""What computes a network's answers on a CPU: torch, or OpenVINO where it is installed and faster.

`auto` exports the network to a graph once so much is to be predicted that the export pays, measures both on this
machine, and remembers which was faster, so that the next time the same one answers. The graph is kept for every model
of the same architecture. Where it cannot be exported, does not give torch's answer, or fails, torch computes, and one
sentence says so.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import platform
import time
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..bundle.open_model import FoldAverage, Mirrored
from ..core.errors import EngineError
from ..planning.plan import Plan
from . import graph_cache
from .graph import CompiledGraph, Graph, Precision, Weights, export_graph

BackendName = Literal["auto", "torch", "openvino"]
INSTALL = "pip install openvino"
PAYS_SECONDS = 10.0
"""An export is not begun for less work than this."""
PAYS_WINDOWS = 6
"""So many windows of torch an export costs, beyond the seconds of OpenVINO's own part."""
FASTER = 0.9
"""OpenVINO is chosen where it takes less than this of torch's time."""
MEASURED_SECONDS = 0.5
TOLERANCE = 1e-3
"""The largest difference from torch's answer, of the largest value in it: of a random network on noise it is 3e-4."""
SAME_LABEL = 0.9999
"""Dice, from which on half precision is as good as single precision."""
VERSION = 1
"""Of what is cached."""
Tell = Callable[[str], object]


class Backend(Protocol):
    """Answers windows with a network: torch's own does, and `CompiledGraph` behind `BackendNetwork`."""

    def __call__(self, windows: Tensor) -> Tensor:
        """(B, C, *patch) float32 to (B, K, *patch)."""


def check_backend(name: BackendName, device: torch.device) -> None:
    """Raises EngineError where the backend that was asked for is not there."""
    if name != "openvino":
        return
    if device.type != "cpu":
        raise EngineError(
            "wrong-backend", "OpenVINO computes on the processor; add --device cpu, or leave --backend out."
        )
    if not is_installed():
        raise EngineError("package-missing", f"OpenVINO is not installed; {INSTALL}, or leave --backend out.")


def is_installed() -> bool:
    """Without importing it."""
    try:
        return importlib.util.find_spec("openvino") is not None
    except ValueError:  # it was made unavailable
        return False


def with_backend(network: nn.Module, plan: Plan, device: torch.device, name: BackendName) -> nn.Module:
    """The same network, of which each part that has weights of its own is answered for by the backend of that name."""
    if device.type != "cpu" or name == "torch" or not is_installed():
        return network
    if isinstance(network, FoldAverage):
        network.networks = nn.ModuleList(with_backend(each, plan, device, name) for each in network.networks)
        return network
    if isinstance(network, Mirrored):
        network.network = with_backend(network.network, plan, device, name)
        return network
    return BackendNetwork(network, plan, wanted=name == "openvino")


def expect_windows(network: nn.Module, count: int, tell: Tell) -> None:
    """So many windows are to be predicted now. tell: is given a sentence where torch has to stand in."""
    for module in network.modules():
        if isinstance(module, BackendNetwork):
            module.expect(count, tell)


class BackendNetwork(nn.Module):
    """A network in evaluation mode whose answers come from the faster backend. wanted: from OpenVINO in any case."""

    def __init__(self, network: nn.Module, plan: Plan, *, wanted: bool) -> None:
        super().__init__()
        self.network = network
        self._plan = plan
        self._wanted = wanted
        self._graph: CompiledGraph | None = None
        self.precision: Precision = "f32"
        """Of the graph that is compiled next."""
        self._decided = False
        self._left = 0
        self._tell: Tell = print

    @property
    def backend(self) -> Literal["torch", "openvino"]:
        """Which one answers now."""
        return "torch" if self._graph is None else "openvino"

    def expect(self, count: int, tell: Tell) -> None:
        """See `expect_windows`."""
        self._left, self._tell = count, tell
        if self._decided:
            return
        known = graph_cache.load_json(f"{self._choice_key}.json") or {}
        if (known.get("backend") == "torch" and not self._wanted) or (
            known.get("backend") == "openvino" and self._load()
        ):
            self._decided = True
        elif self._wanted:
            self.decide()
        self._halve_where_known()

    def forward(self, windows: Tensor) -> Tensor:
        """(B, C, *patch) to (B, K, *patch)."""
        self._left -= len(windows)
        if self._graph is None and not self._decided:
            started = time.perf_counter()
            answer: Tensor = self.network(windows)
            each = (time.perf_counter() - started) / len(windows)
            if each * (self._left - PAYS_WINDOWS) < PAYS_SECONDS:
                return answer
            self.decide()  # and this window again, so that one backend answers the whole image
        if self._graph is None:
            return self.network(windows)  # type: ignore[no-any-return]
        try:
            found = [self._graph.run(window.numpy()[None]) for window in windows]
        except (RuntimeError, MemoryError):
            self._graph = None
            self._tell("OpenVINO failed here: going on with torch, which takes longer")
            return self.network(windows)  # type: ignore[no-any-return]
        return torch.from_numpy(found[0].copy() if len(found) == 1 else np.concatenate(found))

    def prepare(self) -> None:
        """Have a graph ready and the choice made, whatever work there is."""
        if not self._decided:
            self.expect(0, lambda said: None)
        if not self._decided:
            self.decide()

    def decide(self) -> None:
        """Export where there is no graph yet, compare with torch's answer, measure both, remember the faster."""
        self._decided = True
        example = _example(self._shape)
        with torch.inference_mode(False), torch.no_grad():  # tracing takes no tensors of inference mode
            seconds, expected = _timed(lambda: self.network(torch.from_numpy(example)).numpy())
            took = self._checked(example, expected)
        faster = took is not None and took < FASTER * seconds
        said = {"backend": "openvino" if faster else "torch", "torch": seconds, "openvino": took}
        graph_cache.save_json(f"{self._choice_key}.json", said)
        if took is None:
            self._tell("OpenVINO does not know this network: torch computes it")
        elif not faster and not self._wanted:
            self._graph = None
        self._halve_where_known()

    def _halve_where_known(self) -> None:
        if self._graph is not None and self.half_precision_dice() >= SAME_LABEL:
            self.compile("bf16")

    def _checked(self, example: np.ndarray, expected: np.ndarray) -> float | None:
        """Seconds that the graph, the one that is kept or a new one, takes for the example; None where there is none,
        or it answers otherwise than torch."""
        try:
            exported = None
            if not self._load():
                self._tell("Getting the model ready for this processor; this is done once")
                exported = export_graph(self.network, self._shape)
                self._graph = self._compiled(exported)
            assert self._graph is not None
            run = self._graph.run
            took, found = _timed(lambda: run(example))
            if np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max():
                if exported is not None:
                    graph_cache.save(f"{self._graph_key}.graph", exported.to_bytes())
                return took
        except Exception:  # whatever torch's tracer and OpenVINO make of a network that they do not know
            pass
        self._graph = None
        return None

    def _load(self) -> bool:
        """Whether a graph was there that takes these weights."""
        data = graph_cache.load(f"{self._graph_key}.graph")
        if data is None:
            return False
        try:
            self._graph = self._compiled(Graph.from_bytes(data))
        except Exception:  # of another version, or of no use: as if there were none
            return False
        return True

    def compile(self, precision: Precision) -> None:
        """Have the graph, if there is one, answer in this precision from now on."""
        if self._graph is not None and precision != self.precision:
            self.precision = precision
            self._load()

    def half_precision_dice(self) -> float:
        """Of labels in half precision with those in single precision, on cases held out from the training of these very
        weights; 0 where that was not measured, or where half precision is no faster."""
        known = graph_cache.load_json(f"{self._half_key}.json") or {}
        dice = known.get("dice", 0.0)
        return float(dice) if isinstance(dice, (int, float)) else 0.0

    def keep_half_precision_dice(self, dice: float) -> None:
        """For `half_precision_dice` of later processes."""
        graph_cache.save_json(f"{self._half_key}.json", {"dice": dice})

    def _compiled(self, graph: Graph) -> CompiledGraph:
        return CompiledGraph(graph, weights_of(self.network), torch.get_num_threads(), self.precision)

    @property
    def _shape(self) -> tuple[int, ...]:
        return (1, self._plan.channels, *self._plan.network_patch)

    @cached_property
    def _graph_key(self) -> str:
        return architecture_key(self._plan)

    @cached_property
    def _half_key(self) -> str:
        digest = hashlib.sha256()
        for name, values in sorted(weights_of(self.network).items()):
            digest.update(name.encode() + values.tobytes())
        return graph_cache.key_of("half precision", self._choice_key, digest.hexdigest())

    @property
    def _choice_key(self) -> str:
        return graph_cache.key_of(self._graph_key, processor(), torch.get_num_threads())


def weights_of(network: nn.Module) -> Weights:
    """Those that are floating point numbers, as float32, by name."""
    state = network.state_dict().items()
    return {name: v.detach().float().contiguous().numpy() for name, v in state if v.is_floating_point()}


def architecture_key(plan: Plan) -> str:
    """Of the network and window, and of the programs that a graph of it is made with."""
    made_with = {name: _version(name) for name in ("openvino", "torch", "monai", "dynamic-network-architectures")}
    return graph_cache.key_of(
        VERSION, plan.network, plan.network_arguments, plan.channels, plan.network_patch, made_with
    )


@cache
def processor() -> str:
    """Its name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "flags"))]
        return " ".join(dict.fromkeys(told)) or platform.processor()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"


@cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _example(shape: tuple[int, ...]) -> np.ndarray:
    """Normalised images are like noise as far as it matters for time and rounding."""
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def _timed(answer: Callable[[], Any]) -> tuple[float, np.ndarray]:
    """The least seconds of a few, and the answer."""
    best, spent = float("inf"), 0.0
    found = np.zeros(0)
    while spent < MEASURED_SECONDS or best == float("inf"):
        started = time.perf_counter()
        found = answer()
        took = time.perf_counter() - started
        best, spent = min(best, took), spent + took
    return best, np.array(found)
