"""What a training takes beside its cases, where these lie in files: a few bytes a voxel, however many there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CASES, EDGE = 8, 128
VOXELS = CASES * EDGE**3
MOST = 4.0
"""Bytes a voxel."""

CHILD = """
import json, sys, threading
from pathlib import Path
import numpy as np
import torch
from DALESegmentLib.engine.dale.label_state import LabelState
from DALESegmentLib.engine.dale.config import DaleConfig
from DALESegmentLib.engine.planning import preprocessing as case_cache
from DALESegmentLib.engine.training.build_trainer import training
from DALESegmentLib.engine.planning.preprocessing import CaseCache
from DALESegmentLib.engine.training.checkpoint import Checkpoint
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.preprocessing import PreparedCase
from DALESegmentLib.engine.planning.plan import TrainSettings
from DALESegmentLib.engine.core.progress import Progress
from Testing.phantoms import ball_case

folder, cases, edge = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
case_cache.KEPT_FREE = 1e6  # every case goes to files
plan = make_plan([CaseFingerprint.of(ball_case(size=(32, 32, 32)))])
plan = plan.model_copy(update={"patch_size": (16, 16, 16), "batch_size": 2})
settings = TrainSettings(epochs=1, steps_per_epoch=3, dale=DaleConfig(warm_up=0.0))

def made(edge, name, cache):
    rng = np.random.default_rng(len(name))
    image = rng.random((1, edge, edge, edge), np.float32)
    label = torch.zeros((edge,) * 3, dtype=torch.int16)
    label[edge // 4 : -edge // 4, edge // 4 : -edge // 4] = 1
    reviewed = torch.zeros(label.shape, dtype=torch.bool)
    reviewed[: edge // 8] = True
    geometry = ball_case().geometry
    return cache.keep(PreparedCase(name, geometry, torch.eye(4), torch.from_numpy(image), LabelState(label, reviewed)))

def train(prepared, out):
    out.mkdir()
    network = build(plan.network, plan.network_arguments)
    checkpoint = Checkpoint(out)
    trainer = training(plan, settings, network, prepared, [], checkpoint, torch.device("cpu"), Progress())
    checkpoint.begin(prepared)
    trainer.fit()

def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) * 1024

train([made(16, "small", CaseCache(folder))], folder / "first")  # what libraries and the network take
cache = CaseCache(folder)
prepared = [made(edge, "x" * n, cache) for n in range(1, cases + 1)]
before, peak, done = anonymous(), 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.001):
        peak = max(peak, anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
train(prepared, folder / "second")
done.set()
watcher.join()
seen = sum(int(case.labels.seen.sum()) for case in prepared)
print(json.dumps({"bytes": peak - before, "seen": seen}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells what is anonymous memory")
def test_a_training_takes_a_few_bytes_a_voxel_beside_its_cases(tmp_path):
    asked = [sys.executable, "-c", CHILD, str(tmp_path), str(CASES), str(EDGE)]
    # freed memory goes back at once: what glibc would keep for itself differs from run to run
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**20)}
    done = subprocess.run(asked, env=environment, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["seen"] > 0
    assert found["bytes"] < MOST * VOXELS, f"{found['bytes'] / VOXELS:.1f} bytes a voxel"
