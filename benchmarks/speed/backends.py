"""Whole volumes by MONAI's sliding window, by torch and by OpenVINO, for the three networks that are planned most."""

from __future__ import annotations

import numpy as np

from DALESegmentLib.engine.inference.backend import is_installed
from DALESegmentLib.engine.inference.graph import has_half_precision
from DALESegmentLib.engine.metrics.segmentation import mean_dice
from DALESegmentLib.engine.planning.preprocessing import prepare_image
from DALESegmentLib.engine.planning.windows import windows_of

from .floor import graph_rate, operations
from .models import ball, window_model
from .rows import BACKEND_GOALS, Given, Measured, Measurements
from .timing import middle, spread
from .volumes import measured_side

SIZE, QUICK_SIZE = (312, 168, 168), (96, 96, 168)
"""Voxels (i, j, k): 16 windows of 96x96x96 with a quarter of overlap."""
BALLS = 40
MEMORY_GOAL, FLOOR_GOAL = 0.5, 1.6
DICE_GOAL = {"openvino": 0.99995, "bf16": 0.9999}


def measure(given: Given) -> Measurements:
    if not is_installed() or given.device.type != "cpu":
        print("OpenVINO is not installed (pip install openvino), or there is a GPU; nothing is measured.")
        return {}
    found: Measurements = {}
    for name in BACKEND_GOALS:
        found |= _of_network(name, given)
    return found


def _of_network(name: str, given: Given) -> Measurements:
    model, network, plan = window_model(name, given.work, quick=given.quick)
    case = ball("volume", QUICK_SIZE if given.quick else SIZE, BALLS, seed=1)
    path = given.work / f"balls-{name}.npy"
    np.save(path, prepare_image(case, plan).as_tensor().numpy())
    sides = ["monai", "torch", "openvino", *(["bf16"] if has_half_precision() else [])]
    taken: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    measured_side("openvino", model, path, given)  # exports the graph, once and for all
    for n in range(1 if given.quick else 3):
        for side in sides if n % 2 else reversed(sides):
            taken[side].append(measured_side(side, model, path, given))
    seconds = {side: [one["seconds"] for one in taken[side]] for side in sides}
    grown = {side: middle([one["peak"] - one["before"] for one in taken[side]]) / 2**20 for side in sides}
    labels = {side: np.load(path.with_name(f"{path.stem}-{side}.npy")) for side in sides}
    windows = len(windows_of(labels["monai"].shape, plan.patch_size))
    flops = operations(network, plan) * windows
    told = ", ".join(f"{side} {spread(seconds[side])}" for side in sides)
    print(f"{name}: {windows} windows of {plan.patch_size}, {flops / windows / 1e9:.1f} GFLOP each; {told}", flush=True)
    found: Measurements = {}
    for side, goal in zip(sides[2:], BACKEND_GOALS[name], strict=False):
        ratio = middle(seconds[side]) / middle(seconds["monai"])
        against = f"ours {spread(seconds[side])}, MONAI's SlidingWindowInferer {spread(seconds['monai'])}, ours with "
        against += f"torch {spread(seconds['torch'])}"
        found[f"{name}_{side}_time"] = Measured(ratio, ratio <= goal, against)
        dice = mean_dice(labels["monai"], labels[side]) or 0.0
        differ = int((labels["monai"] != labels[side]).sum())
        share = 100 * float((labels["monai"] > 0).mean())
        words = f"{differ} of {labels[side].size} voxels differ, {share:.2g} % are balls"
        found[f"{name}_{side}_dice"] = Measured(dice, dice >= DICE_GOAL[side], words)
    memory = grown["openvino"] / grown["monai"]
    words = f"ours {grown['openvino']:.0f} MiB, MONAI {grown['monai']:.0f} MiB"
    found[f"{name}_memory"] = Measured(memory, memory <= MEMORY_GOAL, words)
    rate = graph_rate()
    floor = flops / rate
    near = middle(seconds["openvino"]) / floor
    words = f"ours {spread(seconds['openvino'])}; floor {floor:.3g} s at {rate / 1e9:.0f} GFLOP/s of one convolution"
    found[f"{name}_floor"] = Measured(near, near <= FLOOR_GOAL, words)
    return found
