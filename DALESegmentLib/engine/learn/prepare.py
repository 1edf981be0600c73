"""Prepared cases: the arrays a training draws from, in the plan's layout and spacing, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import NormalizeIntensity, ScaleIntensityRange, Spacing, SpatialResample
from monai.utils import convert_to_tensor
from torch import Tensor

from ..cancel import checkpoint
from ..cases.case import Case
from ..cases.fingerprint import image_fingerprint
from ..cases.geometry import Geometry
from ..dale.label_state import LabelDisagreement, LabelState
from ..errors import EngineError
from .layout import canonical_affine, canonical_size, from_canonical, to_canonical
from .plan import Plan

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

    @property
    def spacing(self) -> tuple[float, ...]:
        """mm along the axes (x, y, z) of the prepared grid."""
        return tuple(float(step) for step in self.affine[:3, :3].double().norm(dim=0))


def prepare_image(case: Case, plan: Plan) -> MetaTensor:
    """(C, x, y, z) float32: turned, resampled and normalised as the plan says."""
    image = _on_plan_grid(case.image, case.geometry, plan, "bilinear")
    checkpoint()
    return _normalise(image, plan)


def prepare_case(case: Case, plan: Plan) -> PreparedCase:
    """Image, label and trusted mask on one grid. Labels are resampled by nearest neighbour, so that every
    prepared voxel keeps the label some clinician gave."""
    assert case.label is not None
    image = prepare_image(case, plan)
    checkpoint()
    label, _ = prepare_label(case, plan)
    checkpoint()
    trusted = np.zeros(case.label.shape, bool) if case.trusted is None else case.trusted
    reviewed = _on_plan_grid(trusted[None], case.geometry, plan, "nearest").as_tensor()[0].bool().contiguous()
    return PreparedCase(
        case.name,
        case.geometry,
        image.affine,
        image.as_tensor().contiguous(),
        LabelState(label, reviewed),
        image_fingerprint(case.image),
    )


def prepare_label(case: Case, plan: Plan) -> tuple[Tensor, Tensor]:
    """The label as network classes (x, y, z) int16, and the affine of that grid. Raises as `label_classes`."""
    label = _on_plan_grid(label_classes(case, plan)[None], case.geometry, plan, "nearest")
    return label.as_tensor()[0].to(torch.int16).contiguous(), label.affine


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
            "leave that segment out or train a model that has it.",
        )
    return classes


def to_native(
    values: Tensor, affine: Tensor, geometry: Geometry, mode: Literal["bilinear", "nearest"] = "bilinear"
) -> np.ndarray:
    """(C, x, y, z) on a prepared grid to (C, *geometry.array_shape), float32. Exact where nothing was resampled. mode:
    "nearest" for what belongs to a label, so that it does not leak over an outline."""
    size = canonical_size(geometry)
    target = torch.from_numpy(canonical_affine(geometry))
    if tuple(values.shape[1:]) != size or not torch.allclose(affine.double(), target, atol=1e-4):
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
