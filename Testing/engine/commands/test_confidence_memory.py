"""Confidence and regions are found without a second copy of all classes' probabilities."""

from __future__ import annotations

import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from DALESegmentLib.engine.commands import train
from DALESegmentLib.engine.commands.case_confidence import case_confidences
from DALESegmentLib.engine.commands.parameters import ModelParameters
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

GROWTH = """
import numpy as np
from pathlib import Path
from types import SimpleNamespace
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.commands.case_confidence import confidence_map
from DALESegmentLib.engine.dale.issues import find_regions

def peak(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(kind)).split()[1])

def both(size, classes):
    geometry = Geometry((size,) * 3, (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    label = np.zeros((size,) * 3, np.int16)
    for c in range(1, classes):
        label[8:-8, c * size // classes : (c + 1) * size // classes - 2, 8:-8] = c
    p = np.full((classes, *label.shape), 0.1 / classes, np.float32)
    np.put_along_axis(p, np.roll(label, 2, 0)[None].astype(np.int64), 0.9, 0)
    case = Case("x", np.zeros((1, 1)), geometry, label=label)
    plan = SimpleNamespace(class_values=list(range(classes)), classes=classes)
    before = peak("VmRSS")
    confidence = confidence_map(case, plan, p, None)
    find_regions("x", label, confidence, p, geometry, {})
    print((peak("VmHWM") - before) / p.nbytes)

both(24, 3)
both(64, 48)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to say how much memory was taken")
def test_the_maps_take_less_than_one_more_copy_of_the_probabilities():
    command = [sys.executable, "-c", GROWTH]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 1.0


def test_a_case_is_let_go_of_before_the_next_is_looked_at(tmp_path):
    items = []
    for n in range(3):
        save_array_case(ball_case(f"case{n}", seed=n), tmp_path / f"case{n}")
        items.append({"name": f"case{n}", "arrays": str(tmp_path / f"case{n}")})
    asked = {"cases": {"items": items}, "device": "cpu"}
    short = {"epochs": 1, "steps_per_epoch": 1}
    model = train.run({**asked, **short, "out": str(tmp_path / "run")}, Progress())["model"]
    seen, held = [], []

    def first(_ready):
        held.append([maps() is not None for maps in seen])

    applied = ModelParameters.model_validate({**asked, "model": model, "out": str(tmp_path / "out")})
    for doubt in case_confidences(applied, Progress(), first):
        seen.extend(weakref.ref(array) for array in (doubt.probabilities, doubt.confidence))
        del doubt
    assert held == [[], [False] * 2, [False] * 4]
