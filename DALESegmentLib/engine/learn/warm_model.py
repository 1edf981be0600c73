"""The model that was used last stays loaded, so that the next answer of the process does not wait for it."""

from __future__ import annotations

from pathlib import Path

import torch

from .bundle import METADATA, WEIGHTS, load_bundle
from .folder import find_bundle
from .inference_layers import made_for_looking
from .predictor import Predictor

_kept: dict[tuple, Predictor] = {}
"""At most one."""


def warm_predictor(model: Path, device: torch.device) -> Predictor:
    """For looking only: who trains a network loads one of its own. Loaded anew where its files changed.

    Raises as `load_bundle` does."""
    bundle = find_bundle(model).resolve()
    key = (bundle, str(device), *(_state(bundle / part) for part in (WEIGHTS, METADATA)))
    if key not in _kept:
        _kept.clear()  # first: two models may not fit
        network, plan = load_bundle(model, device)
        _kept[key] = Predictor(made_for_looking(network, plan, device), plan, device)
    return _kept[key]


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None  # load_bundle says what is wrong
    return found.st_mtime_ns, found.st_size
