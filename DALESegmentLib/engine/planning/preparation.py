"""How an image is prepared for a network that was trained by another program, and how its answer goes back.

The description is data: it is read from that program's files, checked, and kept in the plan, so that a fine-tune of
such a network goes on with it. What is done with it stands in `nnunet_preparation` and `monai_preparation`.

Axes are those of the plan. Where the other program does not turn images to R, A, S, the plan's axes are the ones of its
own orientation, and grids are turned as if that were R, A, S: see `in_own_orientation`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..geometry.grid import LPS_TO_RAS, Geometry

STORED = "stored"
Activation = Literal["softmax", "regions", "sigmoid"]
_STRICT = ConfigDict(extra="forbid", frozen=True)


class Tiling(BaseModel):
    """How windows lie and are blended. overlap: share of a window; even: steps are evenly long, as nnU-Net has them,
    instead of all but the last; weights: of a window's voxels; sigma: of the Gaussian, as a share of the window;
    order: of the axes along which windows follow one another, the slowest first; half: sums of windows are in half
    precision, as nnU-Net has them; padding: how an image smaller than a window is filled up (torch's modes)."""

    model_config = _STRICT

    overlap: float = Field(0.25, ge=0, lt=1)
    even: bool = False
    weights: Literal["gaussian", "constant", "nnunet"] = "gaussian"
    sigma: float = Field(0.125, gt=0, le=10)
    half: bool = False
    order: tuple[int, int, int] = (0, 1, 2)
    padding: Literal["replicate", "constant", "reflect", "circular"] = "replicate"


class Intensities(BaseModel):
    """Of one channel, as nnU-Net names them. numbers: mean, standard deviation, lower and upper bound of "ct"; masked:
    computed where the image is not 0, and only there."""

    model_config = _STRICT

    kind: Literal["ct", "zscore", "none", "rescale", "rgb"]
    masked: bool = False
    numbers: tuple[float, float, float, float] | None = None


class Preparation(BaseModel):
    """orientation: of the plan's axes, three letters such as RAS, or "stored" for that of the file. activation: of the
    outputs; "regions": of which each holds the next one, and is one class more than that. mirrored: axes of the network
    along which predictions are averaged over flips."""

    model_config = _STRICT

    orientation: str = Field(STORED, pattern="^(stored|[RL][AP][SI])$")
    activation: Activation = "softmax"
    tiling: Tiling = Tiling()
    mirrored: tuple[int, ...] = ()

    @property
    def resampled_to(self) -> tuple[float, ...]:
        """mm along the axes that images are resampled along; empty where they keep their voxels."""
        return ()

    @field_validator("mirrored")
    @classmethod
    def _each_once(cls, axes: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(axes)) < len(axes) or not set(axes) <= {0, 1, 2}:
            raise ValueError("no axes")
        return axes


class NnunetPreparation(Preparation):
    """axes: the plan's axis of each axis of nnU-Net's arrays. spacing: mm along nnU-Net's axes, two of a 2D network.
    order: of the interpolation of images and of outputs."""

    program: Literal["nnU-Net"] = "nnU-Net"
    axes: tuple[int, int, int]
    spacing: tuple[float, ...]
    channels: tuple[Intensities, ...]
    image_order: int = Field(3, ge=0, le=5)
    output_order: int = Field(1, ge=0, le=5)
    separate: bool | None = None
    """Whether the coarse axis is resampled by itself; None: where it is three times as coarse as the others."""

    @property
    def folder(self) -> str:
        """Of a run, where its model is written in its program's own form."""
        return "nnunet"

    @property
    def resampled_to(self) -> tuple[float, ...]:
        return self.spacing

    @model_validator(mode="after")
    def _check(self) -> NnunetPreparation:
        spacing = all(np.isfinite(mm) and 1e-3 < mm < 1e3 for mm in self.spacing) and len(self.spacing) in (2, 3)
        if not (spacing and sorted(self.axes) == [0, 1, 2]):
            raise ValueError("no grid")
        if any(each.kind == "ct" and each.numbers is None for each in self.channels):
            raise ValueError("no window")
        return self


class MonaiPreparation(Preparation):
    """steps: MONAI's transforms of an image by name, with their plain arguments, in order. activated_first: outputs
    become probabilities before they go back to the image's grid, not after it."""

    program: Literal["MONAI"] = "MONAI"
    steps: tuple[tuple[str, dict[str, Any]], ...]
    activated_first: bool = True

    @property
    def folder(self) -> str:
        """Of a run, where its model is written in its program's own form."""
        return "monai"

    @property
    def resampled_to(self) -> tuple[float, ...]:
        pixdim = next((arguments["pixdim"] for name, arguments in self.steps if name == "Spacing"), ())
        each = pixdim if isinstance(pixdim, list | tuple) else [pixdim] * 3
        return tuple(float(mm) for mm in each if mm is not None and mm > 0)

    @model_validator(mode="after")
    def _check(self) -> MonaiPreparation:
        for name, arguments in self.steps:
            if name not in STEPS or not set(arguments) <= set(STEPS[name]):
                raise ValueError("no step that is known")
        return self


STEPS: dict[str, tuple[str, ...]] = {
    "Orientation": ("axcodes",),
    "Spacing": ("pixdim", "diagonal", "mode", "padding_mode", "align_corners", "scale_extent", "recompute_affine"),
    "ScaleIntensityRange": ("a_min", "a_max", "b_min", "b_max", "clip"),
    "ScaleIntensityRangePercentiles": ("lower", "upper", "b_min", "b_max", "clip", "relative", "channel_wise"),
    "ScaleIntensity": ("minv", "maxv", "factor", "channel_wise"),
    "NormalizeIntensity": ("subtrahend", "divisor", "nonzero", "channel_wise"),
    "CropForeground": ("margin", "allow_smaller", "k_divisible", "mode"),
}
"""MONAI's transforms that are known, with the arguments that are."""


def in_own_orientation(geometry: Geometry, preparation: Preparation | None) -> Geometry:
    """The grid with the world turned so that the preparation's orientation is R, A, S there.

    A linear map of the world, so that a part of the turned grid is the turned grid of a part.
    """
    if preparation is None or geometry.dims == 2 or preparation.orientation == "RAS":
        return geometry
    direction = np.array(geometry.direction, float).reshape(3, 3)
    if preparation.orientation == STORED:
        turn = LPS_TO_RAS @ np.linalg.inv(direction)
    else:
        turn = np.diag([1.0 if a == b else -1.0 for a, b in zip(preparation.orientation, "RAS", strict=True)])
    origin = turn @ np.array(geometry.origin, float)
    turned = turn @ direction
    return replace(geometry, origin=tuple(map(float, origin)), direction=tuple(map(float, turned.ravel())))
