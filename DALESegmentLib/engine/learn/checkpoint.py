"""Checkpoints: one safetensors file, replaced in one move. Nothing in it is ever executed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..dale.objective import Objective
from ..errors import EngineError
from .folder import write_atomically
from .prepare import PreparedCase

DISAGREEMENT = "disagreement/"
LEARNED = "learned/"
"""What a case's label was drawn anew to."""


def save_checkpoint(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    disagreement: Mapping[str, Tensor],
    learned: Mapping[str, Tensor],
    progress: dict[str, Any],
) -> None:
    """Everything that changes during training. disagreement: of every case, by name; learned: the labels of the
    cases whose outlines were drawn anew; progress: epoch, step, history; plain JSON values."""
    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    slots = optimizer.state_dict()["state"]
    tensors |= {f"optimizer/{i}/{name}": value for i, slot in slots.items() for name, value in slot.items()}
    tensors |= {DISAGREEMENT + name: values for name, values in disagreement.items()}
    tensors |= {LEARNED + name: label for name, label in learned.items()}
    tensors |= {"dale/thresholds": objective.thresholds, "dale/prior": objective.prior.state.cpu()}
    tensors["dale/warm_up"] = objective.warm_up.state
    alignment = objective.alignment
    if alignment.mean is not None and alignment.std is not None:
        tensors |= {"dale/mean": alignment.mean, "dale/std": alignment.std}
    meta = {"progress": json.dumps({**progress, "seen": alignment.seen.tolist()})}
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_atomically(path, save(copies, meta))


def load_checkpoint(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    cases: Sequence[PreparedCase],
    device: torch.device,
) -> dict[str, Any]:
    """Put everything back and return `progress`; of the cases' maps those of `cases` alone, which may be one rank's.
    Raises EngineError where the file does not fit."""
    try:
        with safe_open(path, "pt") as file:
            progress = json.loads(file.metadata()["progress"])
            own = {kind + case.name for case in cases for kind in (DISAGREEMENT, LEARNED)}
            others = (DISAGREEMENT, LEARNED)
            names = [name for name in file.keys() if name in own or not name.startswith(others)]  # noqa: SIM118
            # copies: Windows replaces no file that is still mapped
            tensors = {name: file.get_tensor(name).clone() for name in names}
        network.load_state_dict(_under(tensors, "network"))
        _load_optimizer(optimizer, _under(tensors, "optimizer"), device)
        for case in cases:
            case.disagreement.copy_(tensors[DISAGREEMENT + case.name])
            if LEARNED + case.name in tensors:
                case.begun = case.label_begun.clone()
                case.label.copy_(tensors[LEARNED + case.name])
        objective.thresholds, objective.prior.state = tensors["dale/thresholds"], tensors["dale/prior"]
        objective.warm_up.state = tensors["dale/warm_up"]
        if "dale/mean" in tensors:
            objective.alignment.mean = tensors["dale/mean"].to(device)
            objective.alignment.std = tensors["dale/std"].to(device)
        progress.setdefault("outlines", {"done": 0, "image_trust": 0.0})  # a run begun before there was such a thing
        objective.alignment.seen = torch.tensor(progress.pop("seen"), dtype=torch.bool, device=device)
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise EngineError(
            "checkpoint-unusable",
            f"{path.name} does not fit these cases or is damaged; train again without resume.",
        ) from error
    return progress


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.split("/", 1)[1]: t for n, t in tensors.items() if n.startswith(prefix + "/")}


def _load_optimizer(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor], device: torch.device) -> None:
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in flat.items():
        index, slot = name.split("/")
        slots.setdefault(int(index), {})[slot] = value.to(device)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
