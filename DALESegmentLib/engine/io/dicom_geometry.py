"""Where the slices of a DICOM image lie: evenly spaced along their normal, be they shifted against each other, or an
error that says what they are instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..core.errors import EngineError
from ..core.notes import note
from ..geometry.grid import Geometry
from ..geometry.slice_stack import SliceStack
from .dicom_frames import WORDS, Frame

_ROUNDED = 0.5
"""Of a voxel's edge, that slices may be shifted because their positions are rounded."""
CONTRAST = (
    "EchoTime",
    "EffectiveEchoTime",
    "DiffusionBValue",
    "InversionTime",
    "FlipAngle",
    "ConvolutionKernel",
    "KVP",
)
"""What makes another contrast: slices of one image have it in common."""


def stack_of(frames: Sequence[Frame], name: str) -> SliceStack:
    """Where the frames, in their order, lie; without the shifts that rounded positions have."""
    first = frames[0]
    axes = np.eye(3)
    if first.orientation is not None:
        axes = np.stack([first.orientation[:3], first.orientation[3:], first.normal], axis=1)
    origin = np.zeros(3) if first.position is None else first.position
    depth = first.thickness or 1.0
    if len(frames) > 1:
        depth = _distance(frames, axes[:, 2], name)
        _tell_mixture(frames, name)
    geometry = Geometry(
        (*first.size, len(frames)),
        (*first.spacing, depth),
        tuple(float(x) for x in origin),
        tuple(float(x) for x in axes.ravel()),
        frame_of_reference=str(first.file.get("FrameOfReferenceUID") or ""),
        series=str(first.file.get("SeriesInstanceUID") or ""),
    )
    if len(frames) == 1:
        return SliceStack(geometry, np.zeros((1, 2)))
    stack = SliceStack.of(geometry, np.array([frame.position for frame in frames]))
    shift = float(np.linalg.norm(stack.shifts, axis=1).max())
    if shift <= _ROUNDED * min(first.spacing):
        return SliceStack(geometry, np.zeros_like(stack.offsets))
    _tell_shift(stack, shift, name)
    return stack


def _tell_shift(stack: SliceStack, shift: float, name: str) -> None:
    """Note that slices are shifted against each other. Raises EngineError("dicom-tilted")."""
    if shift > stack.geometry.spacing[2] * (stack.geometry.size[2] - 1):
        raise EngineError(
            "dicom-tilted",
            f"The slices of {name} are shifted against each other by more than they are apart ({shift:.4g} mm), so "
            "their positions contradict the way they face; export the original series again.",
        )
    degrees = stack.degrees
    if degrees is None:
        note(f"The slices of {name} are shifted against each other by up to {shift:.3g} mm; each was put in its place.")
    else:
        note(
            f"{name} was taken with a tilted gantry ({degrees:.1f} degrees): its slices were shifted by up to "
            f"{shift:.1f} mm to stand straight."
        )


def _distance(frames: Sequence[Frame], normal: np.ndarray, name: str) -> float:
    """mm between slices that are evenly spaced along their normal."""
    depths = np.array([frame.position for frame in frames]) @ normal
    gaps = np.diff(depths)
    usual = float(np.median(gaps))
    same = min(1e-3, 1e-2 * min(frames[0].spacing))
    if gaps.min() < same:
        raise _several_at_one_place(frames, depths, same, name)
    if np.abs(gaps - usual).max() > max(0.02 * usual, min(0.01, 0.1 * usual)):
        raise EngineError(
            "dicom-spacing",
            f"The slices of {name} are unevenly spaced ({gaps.min():.4g} to {gaps.max():.4g} mm), "
            "so slices are probably missing; export the whole series again.",
        )
    return float(depths[-1] - depths[0]) / len(gaps)


def _tell_mixture(frames: Sequence[Frame], name: str) -> None:
    """Note where slices, though each at a place of its own, were taken in different ways."""
    for keyword in CONTRAST:
        values = sorted({frame.signs.get(keyword, "") for frame in frames} - {""}, key=_as_number)
        if len(values) > 1:
            listed = ", ".join(values[:6])
            found = f"{len(values)} {WORDS[keyword]} ({listed})"
            note(f"{name}: its slices have {found}; they may be parts of several series.")
            return


def _several_at_one_place(frames: Sequence[Frame], depths: np.ndarray, same: float, name: str) -> EngineError:
    """Says what they are: that of which there are several values where several slices lie."""
    places = Counter(np.cumsum(np.diff(depths, prepend=depths[0]) >= same).tolist())
    found = f"{len(frames)} slices at {len(places)} positions"
    for keyword, words in WORDS.items():
        values = {frame.signs.get(keyword, "") for frame in frames}
        if 1 < len(values) <= max(places.values()) * 2:
            listed = ", ".join(sorted(values, key=_as_number)[:6])
            found += f": {len(values)} {words} ({listed})"
            break
    return EngineError(
        "dicom-spacing",
        f"{name} has several slices at the same position ({found}); put one time point or echo in a folder of its own.",
    )


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
