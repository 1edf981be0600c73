"""A volume of 512x512x400 voxels from its file to the file of its segmentation, by a fresh engine process."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from DALESegmentLib.engine.io.images import read_image, write_image
from DALESegmentLib.engine.metrics.segmentation import mean_dice

from ..reliability.lines_engine import LinesEngine
from .models import ball, ball_model
from .rows import Given, Measured, Measurements

SIZE, QUICK = (512, 512, 400), (160, 160, 128)
MOST_GB = 6.0
LONGEST = 1800.0


def measure(given: Given) -> Measurements:
    size = QUICK if given.quick else SIZE
    model = ball_model(given.work)
    case = ball("big", size, 60, seed=1)
    path = given.work / "big" / f"{'x'.join(map(str, size))}.nii"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, case.image[0].astype(np.int16), case.geometry)
    label = case.label
    del case
    with LinesEngine() as engine:
        started = time.perf_counter()
        asked = {"model": str(model), "cases": {"folder": str(path)}, "out": str(given.work / "big-out")}
        (item,) = engine.ask("predict", {**asked, "device": "cpu"}, LONGEST)["items"]
        seconds = time.perf_counter() - started
        peak = engine.peak_bytes() / 1e9
    dice = mean_dice(read_image(Path(item["segmentation"]))[0][0], label)
    path.unlink()
    words = f"{seconds:.0f} s; Dice with what was drawn {dice:.3f}"
    return {"big_memory": Measured(peak, peak <= MOST_GB, words)}
