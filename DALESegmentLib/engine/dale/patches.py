"""Patches: where one lies in its case and how it is turned (`PatchIndex`), the labels of a batch (`PatchLabels`),
and voxels of each class that patches can be centred on (`class_voxels`).

Only flips and quarter turns are used, so every voxel of a patch is one voxel of the case, and what is learned about it
can be written back to exactly where it came from. A patch may stick out of its case on any side.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import EngineError
from .label_state import LabelState, Where

CaseName = Hashable
"""What a case is called in a `LabelMemory`, most often a string."""


@dataclass(frozen=True)
class Coverage:
    """Which voxels a patch and its case have in common: `where` in the case; `inside` the patch, before it is turned;
    pads: how many voxels of the patch lie before and behind the case, as `torch.nn.functional.pad` takes them."""

    where: tuple[slice, ...]
    inside: tuple[slice, ...]
    pads: tuple[int, ...]

    def padded(self, values: Tensor, value: float = 0.0, mode: str = "constant") -> Tensor:
        """(..., *part) values of the common voxels, filled up to the patch."""
        if not any(self.pads):
            return values
        return F.pad(values, self.pads, mode=mode, value=value if mode == "constant" else None)


@dataclass  # not frozen, since Lightning copies what is in a batch field by field
class PatchIndex:
    """A patch of a case, 2D or 3D.

    Args:
        case: as it is called in the `LabelMemory`.
        start: the patch's first voxel along each axis of the case's grid; negative before the case.
        size: the patch's voxels along each axis, before it is turned.
        flips: axes along which the patch is flipped.
        rot90: quarter turns, before the flips, from the first axis of `plane` to the second, as in `torch.rot90`.
        plane: the two axes of the turns.
        slice_axis: of patches that are one slice of a volume, the axis across it, which the patch does not have.

    Raises:
        EngineError: "bad-patch".
    """

    case: CaseName
    start: tuple[int, ...]
    size: tuple[int, ...]
    flips: tuple[int, ...] = ()
    rot90: int = 0
    plane: tuple[int, int] = (0, 1)
    slice_axis: int | None = None

    def __post_init__(self) -> None:
        try:
            self.start, self.size = _whole(self.start), _whole(self.size)
            self.flips, self.plane, (self.rot90,) = _whole(self.flips), _whole(self.plane), _whole([self.rot90])
            self._check()
        except (TypeError, ValueError) as error:
            raise EngineError(
                "bad-patch",
                f"{self} is no patch: start and size are a whole number for each axis, flips different axes, plane two "
                "of them, rot90 a whole number, and slice_axis an axis along which the size is 1.",
            ) from error

    def _check(self) -> None:
        """Raises ValueError or TypeError."""
        axes = range(len(self.size))
        turned = self.plane if self.rot90 else ()
        across = () if self.slice_axis is None else (self.slice_axis,)
        fit = all(axis in axes for axis in (*self.flips, *turned, *across)) and all(self.size[a] == 1 for a in across)
        twice = any(len(set(each)) < len(each) for each in (self.flips, turned))
        if not fit or twice or len(self.start) != len(axes) or len(self.plane) != 2:
            raise ValueError

    @staticmethod
    def whole(case: CaseName, shape: Sequence[int]) -> PatchIndex:
        """A case of this shape as one patch."""
        return PatchIndex(case, (0,) * len(shape), tuple(shape))

    def coverage(self, shape: Sequence[int]) -> Coverage:
        """The voxels in common with a grid of this shape. Raises EngineError("patch-outside") where there are none."""
        if not len(self.start) == len(self.size) == len(shape):
            raise self._outside(shape)
        where, inside = [], []
        pads: list[int] = []
        for start, size, length in zip(self.start, self.size, shape, strict=True):
            low, high = max(start, 0), min(start + size, length)
            if low >= high:
                raise self._outside(shape)
            where.append(slice(low, high))
            inside.append(slice(low - start, high - start))
            pads = [low - start, start + size - high, *pads]  # the last axis first
        return Coverage(tuple(where), tuple(inside), tuple(pads))

    def take(self, array: Tensor, value: float = 0.0, mode: str = "constant") -> Tensor:
        """The patch of an (..., *grid) array, a view where nothing is padded or turned. Outside the case it holds
        `value`, or with a mode of `torch.nn.functional.pad`, such as "replicate", what that says."""
        array = torch.as_tensor(array)
        part = self.coverage(array.shape[array.ndim - len(self.size) :])
        box: Any = (..., *part.where)
        return self.oriented(part.padded(array[box], value, mode))

    def put(self, array: Tensor, patch: Tensor) -> None:
        """Write an (..., *patch) patch back to where `take` found it in an (..., *grid) array."""
        part = self.coverage(array.shape[array.ndim - len(self.size) :])
        box: Any = (..., *part.where)
        inside: Any = (..., *part.inside)
        array[box] = self.restored(patch)[inside].to(array.dtype)

    def oriented(self, patch: Tensor) -> Tensor:
        """(..., *size), as it lies in the case, turned and flipped."""
        dims = len(self.size)
        if self.rot90:
            patch = torch.rot90(patch, self.rot90, [axis - dims for axis in self.plane])
        if self.flips:
            patch = patch.flip([axis - dims for axis in self.flips])
        return patch if self.slice_axis is None else patch.squeeze(self.slice_axis - dims)

    def restored(self, patch: Tensor) -> Tensor:
        """What `oriented` was given."""
        dims = len(self.size)
        if self.slice_axis is not None:
            patch = patch.unsqueeze(self.slice_axis - dims)
        if self.flips:
            patch = patch.flip([axis - dims for axis in self.flips])
        return torch.rot90(patch, -self.rot90, [axis - dims for axis in self.plane]) if self.rot90 else patch

    def _outside(self, shape: Sequence[int]) -> EngineError:
        return EngineError(
            "patch-outside",
            f"The patch of {self.size} voxels from {self.start} on has no voxel of the case {self.case}, which has "
            f"{tuple(shape)}; give start and size along each axis of the case's label.",
        )


@dataclass
class PatchLabels:
    """The labels of a batch of patches, (B, *patch) each.

    Attributes:
        target: int64, the classes to learn, 0 where nothing is learned.
        reviewed: bool, whether a reviewer confirmed or corrected the label.
        valid: float32, 0 in padding and where nothing is learned, else 1.
        disagreement: float32, in [0, 1].
        seen: bool, whether the disagreement says anything.
        total: how many patches the whole batch has, where these are one process's share of it.
        classes: that there are in the cases at least, as far as that is known.
        record_to: where the next disagreement is written to; nowhere if empty.
        unlabelled: (B,) bool, whether the whole case of a patch has nothing but background; None for none.
    """

    target: Tensor
    reviewed: Tensor
    valid: Tensor
    disagreement: Tensor
    seen: Tensor
    total: int | None = None
    classes: int = 0
    record_to: Sequence[tuple[LabelState, PatchIndex]] = ()
    unlabelled: Tensor | None = None

    @staticmethod
    def empty(patch: Sequence[int], device: torch.device | str = "cpu", total: int | None = None) -> PatchLabels:
        """One patch that counts for nothing, for a process without a patch of its own in this batch."""
        values = torch.zeros((1, *patch), device=device)
        return PatchLabels(values.long(), values.bool(), values, values, values.bool(), total)

    def record(self, disagreement: Tensor) -> None:
        """Write (B, *patch) new disagreement back to the voxels it belongs to, unless some of it is not a number."""
        if not self.record_to:
            return
        values = disagreement.detach().cpu()
        if not bool(values.sum().isfinite()):
            return
        for (labels, index), patch in zip(self.record_to, values, strict=True):
            part = index.coverage(labels.shape)
            labels.record(part.where, index.restored(patch)[part.inside])


def _whole(values: Iterable[Any]) -> Any:
    """As a tuple of int; also of numpy's and torch's. Raises TypeError, for a bool too."""
    found = tuple(values)
    if any(isinstance(value, bool) for value in found):
        raise TypeError
    return tuple(operator.index(value) for value in found)


def unknown_class(whose: str, largest: int, num_classes: int) -> EngineError:
    return EngineError(
        "unknown-class",
        f"The label of {whose} has the class {largest}, but the loss knows {num_classes} classes, 0 to "
        f"{num_classes - 1}; give it more classes, or the label the numbers of these.",
    )


def class_voxels(
    labels: LabelState, every: Mapping[int, int], passed: Mapping[int, int] | None = None
) -> dict[int, Tensor]:
    """(N,) int64 indices into the flattened grid, in its order, by class of the target.

    every: by class, n where every n-th of its voxels is taken, beginning with the first; passed: how many voxels of the
    class, of other cases, are counted before.
    """
    return _taken(labels, labels.target, every, dict(passed or {}))


def reviewed_voxels(labels: LabelState, most: int) -> np.ndarray:
    """(N, dims) int32, so many reviewed voxels at most, or up to twice as many."""
    count = sum(int(labels.reviewed[where].sum()) for where in labels.slabs())
    found = _taken(labels, lambda where: labels.reviewed[where], {1: max(1, count // most)}, {})
    return points(found[1], labels.shape)


def points(flat: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """(N, dims) int32 of (N,) flat indices."""
    return np.stack(np.unravel_index(flat.numpy(), shape), axis=1).astype(np.int32)


def _taken(
    labels: LabelState, label: Callable[[Where], Tensor], every: Mapping[int, int], passed: dict[int, int]
) -> dict[int, Tensor]:
    taken: dict[int, list[Tensor]] = {value: [torch.zeros(0, dtype=torch.int64)] for value in every}
    start = 0
    for where in labels.slabs():
        part = label(where).flatten()
        for value in _present(part, every):
            at = (part == value).nonzero().squeeze(1)
            before = passed.get(value, 0)
            taken[value].append(at[-before % every[value] :: every[value]] + start)
            passed[value] = before + len(at)
        start += len(part)
    return {value: torch.cat(parts) for value, parts in taken.items()}


def _present(part: Tensor, values: Iterable[int]) -> list[int]:
    there = set(torch.unique(part).tolist())
    return [value for value in values if value in there]
