"""Two processes that share a training against one, with the same batches: what differs in the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from DALESegmentLib.engine.bundle.run_folder import BUNDLE_FOLDER, CHECKPOINT_FILE, CHECKPOINT_FOLDER, RUN_FILE

from ..cell import ROOT
from .rows import Given, Measured, Measurements

TOLERANCE = 1e-3
"""Of weights and of Dice, after EPOCHS * STEPS steps: a third of what the optimiser moves a weight by in one of them.
The ranks add the same numbers up in another order, and the optimiser blows such roundings up from step to step, as it
does those of another number of threads, which is measured beside it."""
EPOCHS, STEPS = 3, 4
STILL = 1e-7
"""A weight with gradients below this has none but rounding, which the optimiser blows up: a bias that the normalisation
after it takes away again."""
TORCHRUN = ("-m", "torch.distributed.run", "--nproc_per_node=2")


def measure(given: Given) -> Measurements:
    folder = given.set_folder("lidc_4rater")
    if folder is None:
        return {}
    asked = ["train", "--data", str(folder), "--label", "rater1", "--limit", "10", "--device", "cpu", "--json"]
    asked += ["--epochs", str(EPOCHS), "--steps-per-epoch", str(STEPS), "--batch-size", "8", "--validation", "0.2"]
    runs, took = {}, {}
    for name, launcher, threads in (("one", (), 1), ("two", TORCHRUN, 1), ("threads", (), 2)):
        runs[name] = given.work / "ranks" / name
        shutil.rmtree(runs[name], ignore_errors=True)
        command = [sys.executable, *launcher, "-m", "DALESegmentLib.engine", *asked, "--out", str(runs[name])]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        started = time.perf_counter()
        subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        took[name] = time.perf_counter() - started
    weights, by_threads = (weights_apart(runs["one"], runs[name]) for name in ("two", "threads"))
    dice = abs(_dice(runs["one"]) - _dice(runs["two"]))
    largest = max(weights, dice) / TOLERANCE
    words = (
        f"tolerance {TOLERANCE:g} after {EPOCHS * STEPS} steps; weights differ by {weights:.1g} at most, validation "
        f"Dice by {dice:.1g}; weights of one process with two threads by {by_threads:.1g}; "
        f"{took['one']:.0f} s in one process, {took['two']:.0f} s in two, all from the start of Python"
    )
    return {"ranks": Measured(largest, largest <= 1, words)}


def weights_apart(run: Path, other: Path) -> float:
    """The largest difference of a weight that has a gradient."""
    a, b = (_trained(folder) for folder in (run, other))
    names = list(torch.load(run / BUNDLE_FOLDER / "models" / "model.pt", weights_only=True))
    moving = [name for i, name in enumerate(names) if float(a[f"optimizer/{i}/exp_avg_sq"].max()) >= STILL**2]
    assert len(moving) > len(names) / 2
    return max(float((a[f"network/{name}"] - b[f"network/{name}"]).abs().max()) for name in moving)


def _trained(run: Path) -> dict[str, torch.Tensor]:
    name = json.loads((run / CHECKPOINT_FILE).read_text())["training"]
    return load_file(run / CHECKPOINT_FOLDER / name)


def _dice(run: Path) -> float:
    return json.loads((run / RUN_FILE).read_text())["history"][-1]["validation_dice"]
