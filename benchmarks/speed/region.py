"""One region of a volume answered anew by the default network, against all of the volume."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.inference.backend import BackendNetwork, is_installed
from DALESegmentLib.engine.inference.predictor import Predictor, predict_region
from DALESegmentLib.engine.inference.torch_network import optimize_for_inference
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan

from .models import ball
from .rows import Given, Measured, Measurements
from .timing import middle, spread, taken_in_turns

SIZE, EDGE = (192, 192, 160), 96
GOAL = {"cpu": 2.0, "cuda": 0.3}
BACKEND_GOAL = 0.35


def measure(given: Given) -> Measurements:
    """The network knows nothing: what is measured is time, and that the region's answer is the volume's there."""
    size = (128, 128, 112) if given.quick else SIZE
    case = ball("volume", size, 6, seed=0)
    device = given.device
    plan = make_plan([CaseFingerprint.of(case)], dims=3, device=device.type)
    torch.manual_seed(0)
    network = build(plan.network, plan.network_arguments).to(device)
    predictor = Predictor(optimize_for_inference(network, plan, device), plan, device)
    graph = BackendNetwork(network, plan, wanted=True) if device.type == "cpu" and is_installed() else None
    first = tuple((n - EDGE) // 2 for n in size)
    last = tuple(a + EDGE - 1 for a in first)
    answers = {}

    def timed(name: str, work: Callable[[], np.ndarray]) -> Callable[[], float]:
        def take() -> float:
            started = time.perf_counter()
            answers[name] = work()
            return time.perf_counter() - started

        return take

    image = predictor.prepare(case, Progress())
    box = case.geometry.part(first, last)
    takes = [
        timed("region", lambda: predict_region(predictor, image, box, Progress())),
        timed("whole", lambda: predictor.probabilities(case, Progress(), image=image)),
    ]
    if graph is not None:
        graph.prepare()
        faster = Predictor(graph, plan, device)
        takes.append(timed("graph", lambda: predict_region(faster, image, box, Progress())))
    region, whole, *warm = taken_in_turns(takes, 1 if given.quick else 5)
    cut = tuple(slice(a, b + 1) for a, b in zip(reversed(first), reversed(last), strict=True))
    difference = float(np.abs(answers["region"] - answers["whole"][np.index_exp[:] + cut]).max())
    took = middle(region)
    words = (
        f"all {' x '.join(map(str, size))} voxels {spread(whole)}; {plan.network}, windows of "
        f"{'x'.join(map(str, plan.patch_size))}; probabilities differ by {difference:.1g}"
    )
    found = {f"region_{'gpu' if device.type == 'cuda' else 'cpu'}": Measured(took, took <= GOAL[device.type], words)}
    if warm:
        ratio = middle(warm[0]) / took
        difference = float(np.abs(answers["graph"] - answers["region"]).max())
        words = f"OpenVINO {spread(warm[0])}, torch {spread(region)}; probabilities differ by {difference:.1g}"
        found["region_backend"] = Measured(ratio, ratio <= BACKEND_GOAL, words)
    return found
