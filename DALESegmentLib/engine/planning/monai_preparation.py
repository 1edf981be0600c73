"""The preprocessing of a MONAI bundle by MONAI's own transforms, and their inverse for its outputs."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from monai import transforms
from monai.data import MetaTensor
from torch import Tensor

from ..core.errors import checkpoint
from ..geometry.grid import Geometry
from .preparation import MonaiPreparation


def prepare(image: np.ndarray, geometry: Geometry, how: MonaiPreparation) -> MetaTensor:
    """(C, *geometry.array_shape), the grid of `in_own_orientation`, to (C, x, y, z) float32 as the bundle's network
    takes it."""
    ijk = np.ascontiguousarray(np.moveaxis(np.transpose(np.asarray(image, np.float32)), -1, 0))
    if geometry.dims == 2:
        ijk = ijk[..., None]
    tensor = MetaTensor(torch.from_numpy(ijk), affine=torch.from_numpy(geometry.ijk_to_ras()))
    for step in _steps(how):
        checkpoint()
        tensor = cast(MetaTensor, step(tensor))
    return cast(MetaTensor, tensor.float())


def finish(outputs: Tensor, prepared: MetaTensor, geometry: Geometry, how: MonaiPreparation) -> np.ndarray:
    """(K, x, y, z) outputs of the network to probabilities (K', *geometry.array_shape), which sum to 1."""
    values = activated(outputs, how) if how.activated_first else outputs
    moved = MetaTensor(values, affine=prepared.affine, applied_operations=list(prepared.applied_operations))
    for step in reversed(_steps(how)):
        checkpoint()
        if isinstance(step, transforms.InvertibleTransform):
            moved = step.inverse(moved)
    values = moved.as_tensor()
    found = (values if how.activated_first else activated(values, how)).numpy().astype(np.float32)
    found[0] += np.clip(1 - found.sum(0), 0, 1)  # nothing outside of what was cropped
    if geometry.dims == 2:
        found = found[..., 0]
    return np.ascontiguousarray(np.transpose(np.moveaxis(found, 0, -1)))


def activated(outputs: Tensor, how: MonaiPreparation) -> Tensor:
    """(K, ...) to (K', ...) that sum to 1: one sigmoid output is the foreground."""
    if how.activation == "softmax":
        return outputs.softmax(0)
    foreground = outputs.sigmoid()
    return torch.cat([1 - foreground, foreground])


def _steps(how: MonaiPreparation) -> list[transforms.Transform]:
    return _kept_steps(how.model_dump_json(include={"steps"}))


@lru_cache(maxsize=32)
def _kept_steps(described: str) -> list[transforms.Transform]:
    """The same objects each time: an inverse is that of the very transform that was applied."""
    return [_made(name, arguments) for name, arguments in json.loads(described)["steps"]]


def _made(name: str, arguments: dict) -> transforms.Transform:
    if name == "Orientation":  # of the world as it is seen
        arguments = {"axcodes": "RAS", "labels": None}
    return getattr(transforms, name)(**arguments)
