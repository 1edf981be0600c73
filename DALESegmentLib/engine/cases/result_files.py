"""Reading back what our own commands wrote for a case: image files, or arrays for array cases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import EngineError
from .case import Case
from .case_files import read_label_on, read_map_on
from .checks import unreadable


def read_label_result(path: Path, case: Case, class_names: Mapping[int, str] | None = None) -> np.ndarray:
    """A label map (*grid) on the case's grid. Raises EngineError where it does not lie there."""
    if path.suffix == ".npy":
        return _array(path, case, "iu")
    return read_label_on(path, case.geometry, case.name, class_names or case.class_names or None)[0]


def read_map_result(path: Path, case: Case) -> np.ndarray:
    """A float map (*grid) on the case's grid. Raises EngineError where it does not lie there."""
    return _array(path, case, "f") if path.suffix == ".npy" else read_map_on(path, case.geometry, case.name)


def _array(path: Path, case: Case, kinds: str) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise unreadable(path) from error
    if array.shape != case.geometry.array_shape or array.dtype.kind not in kinds:
        raise EngineError("geometry-mismatch", f"{path.name} does not belong to {case.name}; make it anew.")
    return array
