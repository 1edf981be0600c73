"""Cases so small that a training takes a second: what is measured is not the learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.review.reviewed_voxels import TrustedVoxels

SIZE = (16, 16, 8)
GEOMETRY = Geometry(SIZE, (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


def small_cases(folder: Path, count: int, trusted: bool = False) -> dict[str, Any]:
    """Array cases and the `cases` that names them."""
    items = []
    for n in range(count):
        random = np.random.default_rng(n)
        label = np.zeros(GEOMETRY.array_shape, np.uint8)
        k, j, i = random.integers(2, 5, 3)
        label[k : k + 3, j : j + 6, i : i + 6] = 1
        image = (100.0 * label + random.normal(0, 10, label.shape)).astype(np.float32)
        seen = random.random(label.shape) < 0.2 if trusted else None
        case = Case(f"case{n}", image[None], GEOMETRY, label, seen, class_names={1: "lesion"})
        save_array_case(case, folder / case.name)
        items.append({"name": case.name, "arrays": str(folder / case.name)})
    return {"items": items}


def region(n: int) -> Region:
    """One as good as any."""
    centre, ras = (n, 0, 0), (0.0, 0.0, 0.0)
    return Region(1, "case0", 1, 1, "lesion", "extra", 0, 8, 8.0, 0.1, 0.0, 5.0, ras, centre, centre, centre)


def voxels(seed: int) -> TrustedVoxels:
    random = np.random.default_rng(seed)
    shape = GEOMETRY.array_shape
    return TrustedVoxels.of(random.random(shape) < 0.1, random.integers(0, 2, shape), "0" * 32)
