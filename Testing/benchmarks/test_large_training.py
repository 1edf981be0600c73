"""A training seen from outside: its memory without mapped files, and what its checkpoints write."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.speed.large_training import Sizes, ct_like, measured, written_again
from benchmarks.speed.monitored_training import MonitoredTraining, Write, anonymous_bytes, checkpoint_files

MIB = 2**20
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
HOLDS = """
import mmap, sys
ours = bytearray(b"1" * (64 << 20))
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    read = sum(mapped[n] for n in range(0, len(mapped), 4096))
print("ready", flush=True)
input()
"""


def test_the_memory_of_a_process_and_its_children_without_mapped_files(tmp_path):
    file = tmp_path / "mapped"
    file.write_bytes(b"1" * (128 * MIB))
    pipe = subprocess.PIPE
    parent = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
    command = [sys.executable, "-c", parent, sys.executable, "-c", HOLDS, str(file)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        assert 64 * MIB < anonymous_bytes(process.pid) < 128 * MIB
        process.communicate("\n")


def test_only_files_of_a_checkpoint_are_counted(tmp_path):
    kept = ("checkpoint.safetensors", "checkpoint/case1.safetensors")
    others = (
        "run.json",
        "run.lock",
        "bundle/models/model.safetensors",
        ".x-checkpoint",
        ".bundle.x/LICENSE",
    )
    for name in (*kept, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"123")
    assert set(checkpoint_files(tmp_path)) == {name.replace("/", os.sep) for name in kept}


@pytest.mark.parametrize(("again", "share"), [(("a", "b", "c", "d"), 1.0), (("a",), 0.25)])
def test_what_is_written_again_by_hand(again, share, tmp_path):
    monitored = MonitoredTraining(None, tmp_path)
    monitored.writes = [Write(0.0, name, 100) for name in "abcd"]
    monitored.writes += [Write(float(epoch), name, 100) for epoch in (1, 2) for name in again]
    assert written_again(monitored, 3) == pytest.approx(share)


def test_made_volumes_are_like_a_ct():
    image, label = ct_like((64, 48, 32), 0)
    assert image.shape == label.shape == (32, 48, 64)
    assert image.dtype == np.int16
    assert image.min() < -900
    assert 85 < image[label > 0].mean() < 115
    assert 0.005 < label.mean() < 0.2
    assert not np.array_equal(image, ct_like((64, 48, 32), 1)[0])


@pytest.mark.timeout(1200)
def test_it_measures_a_training_of_small_volumes_and_leaves_nothing(tmp_path):
    sizes = Sizes(count=3, size=(72, 72, 40), epochs=3, steps=1, sparse=2, sparse_epochs=3)
    found = measured(sizes, tmp_path)
    assert set(found) == {"training_memory", "training_peak", "checkpoint_time", "checkpoint_bytes"}
    assert 0.1 < found["training_peak"].value < 3.0
    assert 0.0 <= found["checkpoint_time"].value < 10.0
    assert 0.0 < found["checkpoint_bytes"].value <= 1.01
    assert not any(tmp_path.iterdir())
