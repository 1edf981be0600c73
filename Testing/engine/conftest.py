"""Small cases made by code, and the real ones where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import Testing.lean_monai  # noqa: F401 - before what imports MONAI
from DALESegmentLib.engine.io.case import Case
from Testing.phantoms import ball_case

torch.set_num_threads(1)  # so that a busy machine does not make small tensors wait for each other


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The shared real images; the test is skipped where they are not."""
    folder = os.environ.get("DALESEGMENT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("DALESEGMENT_DATA does not name a folder of real images")
    return Path(folder)


@pytest.fixture
def a_case() -> Case:
    return ball_case()
