"""Small cases made by code, and the real ones where they are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.cases.case import Case
from DALESegmentLib.engine.cases.geometry import Geometry

torch.set_num_threads(1)  # so that a busy machine does not make small tensors wait for each other


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The shared real images; the test is skipped where they are not."""
    folder = os.environ.get("DALESEGMENT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("DALESEGMENT_DATA does not name a folder of real images")
    return Path(folder)


def ball_case(name: str = "ball", size=(24, 20, 12), spacing=(1.0, 1.0, 2.0), seed: int = 0) -> Case:
    """A noisy bright ball, off centre, on an anisotropic grid that is flipped and turned."""
    direction = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    geometry = Geometry(size, spacing, (10.0, -20.0, 5.0), tuple(direction.ravel()))
    k, j, i = np.indices(geometry.array_shape)
    rng = np.random.default_rng(seed)
    centre = np.array(size) * rng.uniform(0.4, 0.6, 3)
    distance = np.sqrt(sum(((a - c) * s) ** 2 for a, c, s in zip((i, j, k), centre, spacing, strict=True)))
    label = (distance < 6).astype(np.uint8)
    image = (200.0 * label + rng.normal(0, 20, label.shape)).astype(np.float32)
    return Case(name, image[None], geometry, label=label, class_names={1: "ball"})


@pytest.fixture
def a_case() -> Case:
    return ball_case()
