"""A small folder of cases as several people drew them, on a grid as a CT comes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from demo_cases import GEOMETRY, ball

from DALESegmentLib.engine.io.images import write_image
from DALESegmentLib.engine.metrics.simulated_annotators import simulate_annotator

CASES = 6


@pytest.fixture(scope="session")
def rater_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six cases, each outlined by three people; nothing says which are for testing."""
    folder = tmp_path_factory.mktemp("drawn-by-three")
    for number in range(CASES):
        random = np.random.default_rng(number)
        truth = ball(centre=(30 + 2 * number, 31, 8))
        image = 100 * truth + random.normal(0, 15, truth.shape)
        case = folder / f"case{number}"
        write_image(case / "image.nii.gz", image.astype(np.float32), GEOMETRY)
        for rater in (1, 2, 3):
            drawn = simulate_annotator(truth, GEOMETRY.array_spacing, "walk", 1.5, random)
            write_image(case / f"rater{rater}.nii.gz", drawn, GEOMETRY)
    return folder
