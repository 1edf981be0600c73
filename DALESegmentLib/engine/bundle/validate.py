"""What a model from somebody else may say and hold. It is data: nothing in it is run, and nothing it says is believed
before it was looked at.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import EngineError
from ..io.checks import LARGEST_LABEL_VALUE, MOST_LABEL_VALUES
from ..planning.plan import Plan

MOST_CHANNELS = 512
LONGEST_PATCH = 4096
MOST_PATCH_VOXELS = 1 << 28
_MOST_ARGUMENTS = 200
_SMALL = 64


def inside(bundle: Path, part: Path) -> Path:
    """The file of a bundle, which is no link to elsewhere. Raises EngineError("model-leads-out")."""
    path = bundle / part
    if not path.resolve().is_relative_to(bundle.resolve()):
        raise EngineError(
            "model-leads-out",
            f"{part.name} of {bundle.name} is a link to a file outside the model; copy the real file there.",
        )
    return path


def check_plan(plan: Plan, name: str) -> None:
    """Raises EngineError("model-unusable") for a plan no training makes, such as one that would fill the memory."""
    numbers = list(_numbers(plan.network_arguments))
    spacing = plan.spacing or (1.0, 1.0, 1.0)
    window = plan.ct_window or (0.0, 1.0)
    good = (
        1 <= plan.channels <= MOST_CHANNELS
        and 0 <= plan.slice_axis <= 2
        and all(1 <= n <= LONGEST_PATCH for n in plan.patch_size)
        and math.prod(plan.patch_size) <= MOST_PATCH_VOXELS
        and 2 <= plan.classes <= MOST_LABEL_VALUES + 1
        and all(0 <= value <= LARGEST_LABEL_VALUE for value in plan.class_values)
        and len(set(plan.class_values)) == plan.classes
        and plan.class_values[0] == 0
        and all(math.isfinite(s) and s > 0 for s in spacing)
        and all(math.isfinite(x) for x in window)
        and window[0] < window[1]
        and len(numbers) <= _MOST_ARGUMENTS
        and all(math.isfinite(n) for n in numbers)
    )
    if not good:
        raise _unusable(name, "its plan makes no sense")


def read_weights(path: Path, plan: Plan, name: str) -> dict[str, Tensor]:
    """The tensors of a weights file, unpickled by torch's own list of harmless types alone.

    Raises EngineError("model-unusable") for anything else, for packed files, and where the plan asks for layers wider
    than these weights.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise _unusable(name, "its weights are packed")
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except EngineError:
        raise
    except Exception as error:  # torch raises a dozen kinds here, all of which mean the same to the user
        raise _unusable(name, "its weights are missing, damaged or not plain weights") from error
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise _unusable(name, "its weights are not plain weights")
    # a view of one number can claim any size
    if any(t.numel() * t.element_size() > t.untyped_storage().nbytes() for t in weights.values()):
        raise _unusable(name, "its weights are not plain weights")
    widest = max((n for t in weights.values() for n in t.shape), default=0)
    arguments = {key: value for key, value in plan.network_arguments.items() if key != "img_size"}
    if any(abs(n) > max(widest, _SMALL) for n in _numbers(arguments)):
        raise _unusable(name, "its network is larger than its weights")
    return dict(weights)


def _numbers(value: Any) -> Iterator[float]:
    """All numbers in JSON values."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _numbers(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def _unusable(name: str, why: str) -> EngineError:
    return EngineError("model-unusable", f"The model {name} cannot be used: {why}; nothing was loaded.")
