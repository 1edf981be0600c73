"""What a model from somebody else may say and hold. It is data: nothing in it is run, and nothing it says is believed
before it was looked at.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import EngineError
from ..io.checks import LARGEST_LABEL_VALUE, MOST_LABEL_VALUES
from ..planning.plan import Plan
from ..planning.preparation import NnunetPreparation

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
        and (not isinstance(plan.imported, NnunetPreparation) or len(plan.imported.channels) == plan.channels)
        and (plan.imported is None or all(axis < plan.dims for axis in plan.imported.mirrored))
    )
    if not good:
        raise unusable(name, "its plan makes no sense")


def check_trainable(plan: Plan, name: str) -> None:
    """Raises EngineError("not-trainable") for a model whose outputs are no classes that exclude one another."""
    if plan.imported is not None and plan.imported.activation != "softmax":
        raise EngineError(
            "not-trainable",
            f"The outputs of {name[:100]} are regions or one foreground by a sigmoid, which is not trained here; "
            "predict, review and confidence take it as it is.",
        )


def read_weights(path: Path, plan: Plan, name: str) -> dict[str, Tensor]:
    """The tensors of a weights file. Raises EngineError("model-unusable"), see `load_plain` and `read_tensors`."""
    return read_tensors(load_plain(path, name), plan, name)


def load_plain(path: Path, name: str, harmless: Sequence[Any] = ()) -> Any:
    """What a weights file holds, unpickled by torch's own list of harmless types and those given alone.

    Raises EngineError("model-unusable") for anything else, and for packed files.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise unusable(name, "its weights are packed")
        if not harmless:
            return torch.load(path, map_location="cpu", weights_only=True)
        if not hasattr(torch.serialization, "safe_globals"):
            raise EngineError(
                "package-missing",
                f"{name[:100]} needs torch 2.6 or newer to be read without running it; type pip install -U torch.",
            )
        with torch.serialization.safe_globals(list(harmless)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except EngineError:
        raise
    except Exception as error:  # torch raises a dozen kinds here, all of which mean the same to the user
        raise unusable(name, "its weights are missing, damaged or not plain weights") from error


def read_tensors(weights: Any, plan: Plan, name: str) -> dict[str, Tensor]:
    """Plain tensors by name. Raises EngineError("model-unusable") for anything else, and where the plan asks for layers
    wider than these."""
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise unusable(name, "its weights are not plain weights")
    # a view of one number can claim any size
    if any(t.numel() * t.element_size() > t.untyped_storage().nbytes() for t in weights.values()):
        raise unusable(name, "its weights are not plain weights")
    widest = max((n for t in weights.values() for n in t.shape), default=0)
    arguments = {key: value for key, value in plan.network_arguments.items() if key != "img_size"}
    if any(abs(n) > max(widest, _SMALL) for n in _numbers(arguments)):
        raise unusable(name, "its network is larger than its weights")
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


def unusable(name: str, why: str) -> EngineError:
    """The error for a model that is damaged or made to harm."""
    return EngineError("model-unusable", f"The model {name[:100]} cannot be used: {why}; nothing was loaded.")
