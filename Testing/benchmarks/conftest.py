"""A tiny set on disk: bright discs in small pictures, in the layout of any other set."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import Testing.lean_monai  # noqa: F401 - before what imports MONAI
from benchmarks import data_set as sets
from benchmarks.data_set import DataSet
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.images import write_image

torch.set_num_threads(1)
TINY = DataSet(name="discs", dims=2, train=6, test=4, slim=0.5, levels=2, batch=4, epochs=6, steps_per_epoch=8)


def disc(seed: int, edge: int = 32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, x = np.indices((edge, edge))
    label = np.hypot(*(a - rng.uniform(13, 19) for a in (y, x))) < rng.uniform(6, 9)
    return (label * 120 + rng.normal(60, 12, label.shape)).clip(0, 255).astype(np.uint8), label.astype(np.uint8)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    folder = data / "discs"
    geometry = Geometry((32, 32), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    names = [f"d{n:02d}" for n in range(10)]
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for n, name in enumerate(names):
        image, label = disc(n)
        write_image(folder / "images" / f"{name}.png", image, geometry)
        write_image(folder / "masks" / f"{name}.png", label * 255, geometry)
    (folder / "split.json").write_text(json.dumps({"train": names[:6], "test": names[6:]}))
    return data


@pytest.fixture
def tiny_set(monkeypatch):
    monkeypatch.setitem(sets.QUICK, "discs", TINY)
    return TINY
