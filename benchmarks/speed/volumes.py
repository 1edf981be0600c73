"""A whole volume segmented by us and by MONAI's sliding window: time, memory and whether it is the same label."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.geometry.orientation import from_canonical
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.metrics.segmentation import mean_dice
from DALESegmentLib.engine.planning.plan import Plan
from DALESegmentLib.engine.planning.preprocessing import prepare_image
from DALESegmentLib.engine.planning.windows import windows_of

from ..cell import ROOT
from .floor import operations, sustained_rate
from .models import IDENTITY, STS, in_air, sarcoma_model
from .rows import Given, Measured, Measurements
from .timing import middle, spread
from .volume_child import SIDES

CASE = "STS_022"
"""A test case, the largest of them."""
LARGE, QUICK_LARGE, GPU = (256, 256, 160), (192, 192, 64), (512, 512, 400)
LEAST_DICE = {"exact": 0.999, "foreground": 0.99}
MOST = 0.5
NEAR_FLOOR = 2.0


def measure(given: Given) -> Measurements:
    folder = given.set_folder("sts_sarcoma")
    if folder is None:
        return {}
    model = sarcoma_model(folder, given.work, quick=given.quick)
    network, plan = load_bundle(model, torch.device("cpu"))
    real = _real(folder, plan)
    flops = operations(network, plan)
    if given.device.type == "cuda":
        found = _compared("gpu", _in_air(real, GPU, plan), model, flops, plan, given, ("monai", "exact"), 3)
        return {key: one for key, one in found.items() if key in ("gpu_time", "gpu_floor")}
    large = _in_air(real, QUICK_LARGE if given.quick else LARGE, plan)
    found = _compared("sts", real, model, flops, plan, given, SIDES, 1 if given.quick else 5)
    return found | _compared("large", large, model, flops, plan, given, SIDES, 1 if given.quick else 3)


def _compared(
    name: str,
    image: np.ndarray,
    model: Path,
    flops: float,
    plan: Plan,
    given: Given,
    sides: Sequence[str],
    times: int,
) -> Measurements:
    path = given.work / f"{name}.npy"
    np.save(path, image)
    taken: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for n in range(times):
        for side in sides if n % 2 else reversed(sides):
            taken[side].append(measured_side(side, model, path, given))
    windows = len(windows_of(image.shape[1:], plan.patch_size))
    rate = sustained_rate(given.device)
    floor = flops * windows / rate
    theirs = [one["seconds"] for one in taken["monai"]]
    print(f"{name}: {image.shape[1:]} voxels, {windows} windows of {plan.patch_size}, {flops / 1e9:.2f} GFLOP each")
    print(f"{name}: arithmetic floor {floor:.1f} s at {rate / 1e9:.0f} GFLOP/s; MONAI {spread(theirs)}")
    labels = {side: np.load(_label(path, side)) for side in sides}
    found: Measurements = {}
    for side in sides[1:]:
        ours = [one["seconds"] for one in taken[side]]
        used = [middle([one["processor"] for one in taken[s]]) for s in (side, "monai")]
        print(f"{name}: {side} {spread(ours)}; of the processor {used[0] / used[1]:.2f} of MONAI's", flush=True)
        key = f"{name}_{side}" if name != "gpu" else "gpu"
        ratio = middle(ours) / middle(theirs)
        against = f"ours {spread(ours)}, MONAI's SlidingWindowInferer {spread(theirs)}, arithmetic floor {floor:.3g} s"
        found[f"{key}_time"] = Measured(ratio, ratio <= MOST, against)
        found[f"{key}_memory"] = _memory(taken[side], taken["monai"])
        dice = mean_dice(labels["monai"], labels[side]) or 0.0
        share = float((labels["monai"] > 0).mean())
        found[f"{key}_dice"] = Measured(dice, dice >= LEAST_DICE[side], f"{100 * share:.1f} % of the voxels are tumour")
        if name == "gpu":
            near = middle(ours) / floor
            found["gpu_floor"] = Measured(near, near <= NEAR_FLOOR, against)
    return found


def _memory(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> Measured:
    """Over what the process with network and image holds; that of the whole process is printed, too."""
    grown = [middle([one["peak"] - one["before"] for one in side]) / 2**20 for side in (ours, theirs)]
    whole = [middle([one["peak"] for one in side]) / 2**20 for side in (ours, theirs)]
    ratio = grown[0] / grown[1]
    words = (
        f"ours {grown[0]:.0f} MiB, MONAI {grown[1]:.0f} MiB; the whole processes {whole[0]:.0f} and {whole[1]:.0f} MiB"
    )
    return Measured(ratio, ratio <= MOST, words)


def measured_side(side: str, model: Path, image: Path, given: Given) -> dict[str, float]:
    """Seconds and bytes of a side, in a process of its own, see `volume_child`."""
    command = [sys.executable, "-m", "benchmarks.speed.volume_child", side, str(model), str(image)]
    command += [str(_label(image, side)), str(given.device)]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8", cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


def _label(image: Path, side: str) -> Path:
    return image.with_name(f"{image.stem}-{side}.npy")


def _real(folder: Path, plan: Plan) -> np.ndarray:
    (source,) = [s for s in find_cases(folder=folder, split="all", **STS) if s.name == CASE]
    return prepare_image(read_case(source), plan).as_tensor().numpy()


def _in_air(real: np.ndarray, size: tuple[int, int, int], plan: Plan) -> np.ndarray:
    """real: prepared; so is the answer. How it was normalised before makes no difference to how it is now."""
    assert plan.spacing is not None
    turned = from_canonical(in_air(real, size), geometry := Geometry(size, plan.spacing, (0.0, 0.0, 0.0), IDENTITY))
    return prepare_image(Case("large", turned, geometry), plan).as_tensor().numpy()
