"""Prepared cases: arrays in the plan's layout and spacing, the way back to the native grid, and their cache.

The cache puts the voxels of cases that do not fit into memory in memory-mapped files. The files have no name, or on
Windows and network disks a name that begins with a dot and that vanishes with the process, so that even a killed one
leaves nothing behind.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import NormalizeIntensity, ScaleIntensityRange, Spacing, SpatialResample
from monai.utils import convert_to_tensor
from torch import Tensor

from ..core.errors import EngineError, checkpoint
from ..core.memory import available_memory
from ..dale.label_state import IGNORED, LabelDisagreement, LabelState
from ..geometry.grid import Geometry
from ..geometry.orientation import canonical_affine, canonical_size, from_canonical, to_canonical
from ..io.case import Case, image_fingerprint
from . import monai_preparation, nnunet_preparation
from .plan import Plan
from .preparation import MonaiPreparation, NnunetPreparation, in_own_orientation

_UNKNOWN = -1


@dataclass
class PreparedCase:
    """image (C, x, y, z) float32; labels: (x, y, z) network classes, and what is known of them."""

    name: str
    geometry: Geometry
    affine: Tensor
    image: Tensor
    labels: LabelState
    fingerprint: str = ""
    """Of the image as it came, see `image_fingerprint`."""
    patient: str = ""
    """Whose cases stay together; empty where each case is another's."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Hashes of what the case was made from, see `hash_inputs`."""
    of_case: str = ""
    """Where it holds one of several raters' labels: the case that these are of, and whose image they share."""
    rater: str = ""

    @property
    def spacing(self) -> tuple[float, ...]:
        """mm along the axes (x, y, z) of the prepared grid."""
        return tuple(float(step) for step in self.affine[:3, :3].double().norm(dim=0))


def prepare_image(case: Case, plan: Plan) -> MetaTensor:
    """(C, x, y, z) float32: turned, resampled and normalised as the plan says. Raises EngineError("file-too-large")
    where that does not fit into memory."""
    _check_room(case, plan)
    if isinstance(plan.imported, NnunetPreparation):
        return nnunet_preparation.prepare(case.image, in_own_orientation(case.geometry, plan.imported), plan.imported)
    if isinstance(plan.imported, MonaiPreparation):
        return monai_preparation.prepare(case.image, in_own_orientation(case.geometry, plan.imported), plan.imported)
    image = _on_plan_grid(case.image, case.geometry, plan, "bilinear")
    checkpoint()
    return _normalise(image, plan)


def _check_room(case: Case, plan: Plan) -> None:
    """The voxels are those of the spacing that the model's files say, be it ever so fine."""
    spacing = (plan.spacing or ()) if plan.imported is None else plan.imported.resampled_to
    coarsest = sorted(case.geometry.spacing, reverse=True)[: len(spacing)]
    finer = math.prod(coarsest) / math.prod(spacing[: len(coarsest)])
    needed, free = case.image.size * finer * np.dtype(np.float32).itemsize, available_memory()
    if needed > free:
        raise EngineError(
            "file-too-large",
            f"{case.name} takes {needed / 1e9:.3g} GB of memory at the voxel size of the model "
            f"({' × '.join(f'{mm:.3g}' for mm in spacing)} mm), but {free / 1e9:.1f} GB are free; crop it first, or "
            "use a model of larger voxels.",
        )


def prepare_case(case: Case, plan: Plan, like: PreparedCase | None = None) -> PreparedCase:
    """Image, label and trusted mask on one grid. Labels are resampled by nearest neighbour, so that every
    prepared voxel keeps the label some clinician gave. like: of the same image, which is then taken from there."""
    assert case.label is not None
    image = prepare_image(case, plan) if like is None else MetaTensor(like.image, affine=like.affine)
    checkpoint()
    label, _ = prepare_label(case, plan, image)
    checkpoint()
    trusted = np.zeros(case.label.shape, bool) if case.trusted is None else case.trusted
    reviewed = _like_image(trusted[None], case, plan, image)[0].bool().contiguous()
    return PreparedCase(
        case.name,
        in_own_orientation(case.geometry, plan.imported),
        image.affine,
        image.as_tensor().contiguous() if like is None else like.image,
        LabelState(label, reviewed),
        image_fingerprint(case.image),
    )


def prepare_label(case: Case, plan: Plan, image: MetaTensor | None = None) -> tuple[Tensor, Tensor]:
    """The label as network classes (x, y, z) int16, IGNORED where it is not annotated, and the affine of that grid.
    image: the case's, if prepared already. Raises what `label_classes` raises."""
    classes = label_classes(case, plan)
    if case.annotated is not None:
        classes = np.where(case.annotated, classes, np.int16(IGNORED))
    if plan.imported is not None:  # whose grid may depend on what the image holds
        image = prepare_image(case, plan) if image is None else image
        return _like_image(classes[None], case, plan, image)[0].to(torch.int16).contiguous(), image.affine
    label = _on_plan_grid(classes[None], case.geometry, plan, "nearest")
    return label.as_tensor()[0].to(torch.int16).contiguous(), label.affine


def _like_image(array: np.ndarray, case: Case, plan: Plan, image: MetaTensor) -> Tensor:
    """(C, *geometry.array_shape) on the grid of the prepared image, by nearest neighbour."""
    if plan.imported is None:
        return _on_plan_grid(array, case.geometry, plan, "nearest").as_tensor()
    grid = in_own_orientation(case.geometry, plan.imported)
    affine = torch.from_numpy(canonical_affine(grid))
    turned = MetaTensor(torch.from_numpy(to_canonical(np.asarray(array, np.float32), grid)), affine=affine)
    resample = SpatialResample(mode="nearest", padding_mode="border", dtype=np.float32)
    return convert_to_tensor(resample(turned, dst_affine=image.affine, spatial_size=image.shape[1:]), track_meta=False)


def label_classes(case: Case, plan: Plan) -> np.ndarray:
    """The case's label as network classes (*grid) int16.

    Raises EngineError("unknown-class") for a value the model does not know.
    """
    assert case.label is not None
    table = np.full(max(plan.class_values) + 2, _UNKNOWN, np.int16)
    table[plan.class_values] = np.arange(plan.classes)
    # values beyond the table get its last entry, so that it need not be as long as the label's largest value
    classes: np.ndarray = table.take(np.asarray(case.label, np.intp), mode="clip")
    if (classes == _UNKNOWN).any():
        value = int(case.label[classes == _UNKNOWN][0])
        known = ", ".join(str(v) for v in plan.class_values if v)
        raise EngineError(
            "unknown-class",
            f"The label of {case.name} has the value {value}, but the model knows only {known}; "
            "leave that segment out or train a model that has it (train --pretrained-weights adds it to this one).",
        )
    return classes


def same_affine(affine: Tensor, target: Tensor) -> bool:
    """Whether both 4×4 affines place voxels alike, but for rounding: to 1e-4 of the smallest edge of a voxel."""
    finest = float(target[:3, :3].norm(dim=0).min())
    return torch.allclose(affine.double() / finest, target.double() / finest, atol=1e-4)


def to_native(
    values: Tensor, affine: Tensor, geometry: Geometry, mode: Literal["bilinear", "nearest"] = "bilinear"
) -> np.ndarray:
    """(C, x, y, z) on a prepared grid to (C, *geometry.array_shape), float32. Exact where nothing was resampled. mode:
    "nearest" for what belongs to a label, so that it does not leak over an outline."""
    size = canonical_size(geometry)
    target = torch.from_numpy(canonical_affine(geometry))
    if tuple(values.shape[1:]) != size or not same_affine(affine, target):
        resample = SpatialResample(mode=mode, padding_mode="border", dtype=np.float32)
        moved = MetaTensor(values.float(), affine=affine)
        values = convert_to_tensor(resample(moved, dst_affine=target, spatial_size=size), track_meta=False)
    return from_canonical(values.cpu().numpy(), geometry)


def native_disagreement(known: LabelDisagreement, affine: Tensor, geometry: Geometry) -> LabelDisagreement:
    """From a prepared grid to the case's own, by nearest neighbour: what is known of a label must not leak over its
    outline, nor what is unknown mix with what is known."""
    both = torch.stack([known.values.float(), known.seen.float()])
    values, seen = torch.from_numpy(to_native(both, affine, geometry, "nearest"))
    return LabelDisagreement(values, seen > 0.5)


def _on_plan_grid(array: np.ndarray, geometry: Geometry, plan: Plan, mode: str) -> MetaTensor:
    """(C, *geometry.array_shape) turned and, where the plan has a spacing, resampled; float32."""
    affine = torch.from_numpy(canonical_affine(geometry))
    turned = to_canonical(np.asarray(array, np.float32), geometry)
    tensor = MetaTensor(torch.from_numpy(turned), affine=affine)
    if plan.spacing is None:
        return tensor
    checkpoint()
    resample = Spacing(pixdim=plan.spacing, mode=mode, padding_mode="border", dtype=np.float32)
    return cast(MetaTensor, resample(tensor))


def _normalise(image: MetaTensor, plan: Plan) -> MetaTensor:
    if plan.normalise == "ct" and plan.ct_window is not None:
        low, high = plan.ct_window
        return cast(MetaTensor, ScaleIntensityRange(low, high, b_min=-1.0, b_max=1.0, clip=True)(image))
    if plan.normalise == "case":
        return cast(MetaTensor, NormalizeIntensity(channel_wise=True)(image))
    # brightness differs from slice to slice: every slice is its own image
    axes = [axis + 1 for axis in range(3) if axis != plan.slice_axis]
    mean, std = image.mean(axes, keepdim=True), image.std(axes, keepdim=True)
    return cast(MetaTensor, (image - mean) / std.clamp_min(1e-6))


KEPT_FREE = 0.6
"""Of the memory that is free before the first case; once no more than that is left, cases go to files."""


class CaseCache:
    """folder: where there is room for the files: 10 bytes a voxel, 4 more for each channel after the first, and 2 for
    each corrector."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept_free = KEPT_FREE * available_memory()

    def keep(self, case: PreparedCase, like: PreparedCase | None = None) -> PreparedCase:
        """The same case, to be used instead of this one; what is written to its voxels stays as in memory. Where there
        is no room for files either, it stays in memory. like: one that was kept, and has the same image."""
        if available_memory() >= self._kept_free:
            return case
        try:
            arrays = {name: self._in_a_file(values) for name, values in case.labels.state_dict().items()}
            labels = LabelState.from_state_dict(arrays, self._new)
            image = self._in_a_file(case.image) if like is None else like.image
            return replace(case, image=image, labels=labels)
        except OSError:
            return case

    def _new(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """An array of zeros in a file; in memory where there is no room for it."""
        zeros = torch.zeros(shape, dtype=kind)
        try:
            return self._in_a_file(zeros)
        except OSError:
            return zeros

    def _in_a_file(self, voxels: Tensor) -> Tensor:
        array = voxels.contiguous().numpy()
        if not array.size:
            return voxels
        with tempfile.TemporaryFile(prefix=".case-", dir=self._folder) as file:  # the mapping keeps it open
            array.tofile(file)
            file.flush()
            return torch.from_numpy(np.memmap(file, array.dtype, "r+", shape=array.shape))
