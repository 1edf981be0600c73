"""How time and memory grow with the number of cases: inspect, a training's parts, review, confidence, evaluate.

Every step runs with 10, 100 and 1,000 small cases in the folders of nnU-Net, in fresh processes (`growth_child`), on
one core. What a step costs is a fixed part, and so much a case:

    T(n) = a + b n

The goals are for b, since a is not the cases': imports, loading the model, drawing the page of 50 rows. It is told
apart in two ways. A process does its step with 10 cases first, which does not count for time and pays for what is
imported and set up once. And b between 100 and 1,000 cases, (T(1000) - T(100)) / 900, is compared with b between 10 and
100, (T(100) - T(10)) / 90: where each case costs the same the ratio is 1, whatever a is; where a step is quadratic, 10.
The same holds for the memory of a training, which keeps its cases. What works through case after case is held to more:
the most that the whole process ever has with 1,000 cases, over what it has with 10.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from DALESegmentLib.engine.bundle.run_folder import BUNDLE_FOLDER
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.images import write_image

from .growth_child import STEPS, cases_of, predictions_of, run_of
from .models import IDENTITY
from .rows import Given, Measured, Measurements
from .timing import middle

COUNTS, QUICK = (10, 100, 1000), (2, 4, 8)
GOAL = 1.2
SIZE = (24, 24, 16)
NAMES = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "ball": 1}, "file_ending": ".nii.gz"}
KEEPS_CASES = "train"
"""The step whose memory may grow by so much a case."""


def measure(given: Given) -> Measurements:
    counts = QUICK if given.quick else COUNTS
    with tempfile.TemporaryDirectory(dir=given.work, prefix="growth-") as name:
        folder = Path(name)
        write_cases(folder, counts)
        found: Measurements = {}
        for step in sorted(STEPS, key="train".__ne__):  # which makes the models
            found |= _rows(step, _goes(step, folder, counts), counts)
            if step == "train":
                _share_model(folder, counts)
    return found


def write_cases(folder: Path, counts: tuple[int, ...]) -> None:
    """Balls in noise, every other one drawn a voxel too large; predictions of the true size."""
    grid = Geometry(SIZE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY)
    k, j, i = np.ogrid[tuple(slice(n) for n in grid.array_shape)]
    largest = cases_of(folder, max(counts))
    for part in (largest / "imagesTr", largest / "labelsTr", predictions_of(folder)):
        part.mkdir(parents=True)
    for n in range(max(counts)):
        random, name = np.random.default_rng(n), f"case_{n:04}"
        at = [int(random.integers(6, length - 6)) for length in grid.array_shape]
        distance = np.sqrt((k - at[0]) ** 2 + (j - at[1]) ** 2 + (i - at[2]) ** 2)
        truth = (distance < 5).astype(np.uint8)
        image = (100 * truth + random.normal(0, 20, truth.shape)).astype(np.int16)
        write_image(largest / "imagesTr" / f"{name}_0000.nii.gz", image, grid)
        write_image(largest / "labelsTr" / f"{name}.nii.gz", (distance < 5 + n % 2).astype(np.uint8), grid)
        write_image(predictions_of(folder) / f"{name}.nii.gz", truth, grid)
    for count in counts:
        own = cases_of(folder, count)
        for part in ("imagesTr", "labelsTr") if own != largest else ():
            (own / part).mkdir(parents=True)
            for path in sorted((largest / part).iterdir())[:count]:
                os.link(path, own / part / path.name)
        (own / "dataset.json").write_text(json.dumps({**NAMES, "numTraining": count}), encoding="utf-8")


def _share_model(folder: Path, counts: tuple[int, ...]) -> None:
    """The model of most cases for all runs, so that none lists more than another; each keeps what it learned of its own
    cases."""
    for count in counts[:-1]:
        shutil.rmtree(run_of(folder, count) / BUNDLE_FOLDER)
        shutil.copytree(run_of(folder, counts[-1]) / BUNDLE_FOLDER, run_of(folder, count) / BUNDLE_FOLDER)


def _goes(step: str, folder: Path, counts: tuple[int, ...]) -> list[dict[str, Any]]:
    """Of both processes, without their first. The most cases come once: that takes long enough to be a mean."""
    few, some, many = counts
    goes = []
    for row in ((few, few, few, few, some, some), (few, many)):
        command = (sys.executable, "-m", "benchmarks.speed.growth_child", step, str(folder), *map(str, row))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        goes += json.loads(told.stdout.splitlines()[-1])[1:]
    return goes


def _rows(step: str, goes: list[dict[str, Any]], counts: tuple[int, ...]) -> Measurements:
    seconds: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    peaks: dict[int, int] = {}
    for go in goes:
        for part, took in go["seconds"].items():
            seconds[part][go["count"]].append(took)
        peaks.setdefault(go["count"], go["peak"])  # later ones hold what the earlier left
    found: Measurements = {}
    for part, taken in seconds.items():
        times = [middle(taken[count]) for count in counts]
        ratio, words = _growth(times, counts)
        told = f"{', '.join(f'{t:.3g} s' for t in times)} with {', '.join(map(str, counts))} cases; {words(1000, 'ms')}"
        found[f"growth_{part}_time"] = Measured(ratio, ratio <= GOAL, told)
    few, some, many = (peaks[count] for count in counts)
    ratio, words = _growth([few, some, many], counts)
    if step != KEEPS_CASES:
        ratio = many / few
    held = ", ".join(f"{peaks[count] / 2**20:.0f} MiB" for count in counts)
    told = f"the whole process {held} with {', '.join(map(str, counts))} cases; {words(2**-10, 'KiB')}"
    found[f"growth_{step}_memory"] = Measured(ratio, ratio <= GOAL, told)
    return found


def _growth(values: list[Any], counts: tuple[int, ...]) -> tuple[float, Callable[[float, str], str]]:
    """The ratio of the slopes, and what tells them with a factor and a unit."""
    first, then = ((values[n + 1] - values[n]) / (counts[n + 1] - counts[n]) for n in (0, 1))
    start = values[0] - first * counts[0]

    def words(factor: float, unit: str) -> str:
        each = f"{factor * first:.3g} and {factor * then:.3g} {unit} a case"
        return f"{each}, {factor * start:.3g} {unit} whatever their number"

    return then / max(first, 1e-9), words
