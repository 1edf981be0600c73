"""How soon a fresh engine process gives its first real answer, against a Python that imports torch and MONAI."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ..reliability.lines_engine import LinesEngine
from ..reliability.small_cases import small_cases
from .rows import Given, Measured, Measurements
from .timing import middle, spread, taken_in_turns

GOAL = 0.35
IMPORTS = (sys.executable, "-c", "import torch, monai")


def measure(given: Given) -> Measurements:
    with tempfile.TemporaryDirectory() as folder:
        return _measure(given, Path(folder))


def _measure(given: Given, folder: Path) -> Measurements:
    """The answer is a prediction: it needs torch, MONAI, a model and a result on the disk."""
    cases = small_cases(folder / "cases", 1)
    with LinesEngine() as engine:
        short = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu", "dims": 3}
        engine.ask("train", {"cases": cases, "out": str(folder / "run"), **short})
    asked = {
        "model": str(folder / "run"),
        "cases": cases,
        "out": str(folder / "out"),
        "device": "cpu",
        "overwrite": True,
    }

    def answered() -> float:
        started = time.perf_counter()
        with LinesEngine() as engine:
            engine.ask("predict", asked)
            return time.perf_counter() - started

    def imported() -> float:
        started = time.perf_counter()
        subprocess.run(IMPORTS, check=True)
        return time.perf_counter() - started

    ours, theirs = taken_in_turns([answered, imported], 2 if given.quick else 7)
    ratio = middle(ours) / middle(theirs)
    reference = f"first prediction {spread(ours)}; python -c 'import torch, monai' {spread(theirs)}"
    return {"start": Measured(ratio, ratio <= GOAL, reference)}
