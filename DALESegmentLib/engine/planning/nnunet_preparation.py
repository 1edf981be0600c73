"""nnU-Net's preprocessing, and the way back of its outputs (Isensee et al., nnU-Net, 2021; DefaultPreprocessor of
version 2): crop to what is not 0, normalise, resample with splines.

Written after what nnU-Net does, so that its predictions are repeated; equality is tested with nnU-Net itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage
from skimage.transform import resize

from ..core.errors import checkpoint
from ..geometry.grid import Geometry
from ..geometry.orientation import canonical_affine, canonical_size, canonical_spacing, to_canonical
from .preparation import Intensities, NnunetPreparation

COARSE = 3.0
"""nnU-Net's ANISO_THRESHOLD: an axis this many times coarser than the finest one is resampled by itself."""
_SMALLEST = 1e-8


@dataclass(frozen=True)
class CroppedGrid:
    """box: of the image, in plan axes; shape: after resampling; own, wanted: mm before and after."""

    box: tuple[slice, ...]
    shape: tuple[int, ...]
    own: tuple[float, ...]
    wanted: tuple[float, ...]


def prepare(image: np.ndarray, geometry: Geometry, how: NnunetPreparation) -> MetaTensor:
    """(C, *geometry.array_shape) of `in_own_orientation`, to (C, x, y, z) float32 as nnU-Net's network takes it."""
    turned = to_canonical(np.asarray(image, np.float32), geometry)
    inside = _filled(turned)
    grid = _grid_of(inside, geometry, how)
    checkpoint()
    cropped, mask = turned[np.index_exp[:] + grid.box], inside[grid.box]
    normalised = np.stack([_normalised(c, mask, each) for c, each in zip(cropped, how.channels, strict=True)])
    checkpoint()
    values = _resampled(normalised, grid.shape, grid.own, grid.wanted, how.image_order, how)
    affine = canonical_affine(geometry)
    low = [s.start for s in grid.box]
    steps = np.array([s.stop - s.start for s in grid.box]) / np.array(grid.shape)
    change = np.diag([*steps, 1.0])
    change[:3, 3] = np.array(low) + (steps - 1) / 2  # centres of the outer edges stay where they are
    return MetaTensor(torch.from_numpy(values.astype(np.float32)), affine=torch.from_numpy(affine @ change))


def finish(logits: np.ndarray, image: np.ndarray, geometry: Geometry, how: NnunetPreparation) -> np.ndarray:
    """(K, x, y, z) of the prepared image, in the precision of the sums, to (K', *canonical size), see
    `class_probabilities`.

    image, geometry: as `prepare` got them.
    """
    grid = _grid_of(_filled(to_canonical(np.asarray(image, np.float32), geometry)), geometry, how)
    shape = tuple(s.stop - s.start for s in grid.box)
    checkpoint()
    values = _resampled(logits, shape, grid.wanted, grid.own, how.output_order, how)
    checkpoint()
    found = class_probabilities(torch.from_numpy(values.astype(np.float32)), how).numpy()
    whole = np.zeros((len(found), *canonical_size(geometry)), np.float32)
    whole[0] = 1.0
    whole[np.index_exp[:] + grid.box] = found
    return whole


def class_probabilities(logits: torch.Tensor, how: NnunetPreparation) -> torch.Tensor:
    """(K, ...) outputs to (K', ...) that sum to 1, the background first.

    Regions hold one another, and each is a class more than the next: the class of the i-th has what the i-th is more
    probable than what it holds. Where a later one is the more probable, it counts for the earlier ones as well; so the
    last region above one half is the last class with a tail sum above it, which is nnU-Net's decision.
    """
    if how.activation != "regions":
        return logits.softmax(0)
    at_least = logits.sigmoid().flip(0).cummax(0).values.flip(0)
    return torch.cat([1 - at_least[:1], at_least[:-1] - at_least[1:], at_least[-1:]])


def decide_regions(probabilities: np.ndarray) -> np.ndarray:
    """(K, *grid) of `class_probabilities` to class indices (*grid): the last region that is more probable than not."""
    tail = np.cumsum(probabilities[::-1], 0)[::-1]
    found = np.zeros(probabilities.shape[1:], np.int16)
    for index in range(1, len(probabilities)):
        found[tail[index] > 0.5] = index
    return found


def _filled(image: np.ndarray) -> np.ndarray:
    """(C, x, y, z): where any channel is not 0, holes filled."""
    return ndimage.binary_fill_holes((image != 0).any(0))


def _grid_of(inside: np.ndarray, geometry: Geometry, how: NnunetPreparation) -> CroppedGrid:
    found = ndimage.find_objects(inside.astype(np.uint8))
    box = found[0] if found else tuple(slice(0, n) for n in inside.shape)
    own = canonical_spacing(geometry)
    wanted = list(own)
    for axis, mm in zip(how.axes[-len(how.spacing) :], how.spacing, strict=True):
        wanted[axis] = mm
    size = [s.stop - s.start for s in box]
    shape = tuple(max(1, round(o / w * n)) for o, w, n in zip(own, wanted, size, strict=True))
    return CroppedGrid(box, shape, own, tuple(wanted))


def _normalised(channel: np.ndarray, mask: np.ndarray, how: Intensities) -> np.ndarray:
    channel = channel.astype(np.float32)
    if how.kind == "ct":
        assert how.numbers is not None
        mean, deviation, low, high = how.numbers
        return (np.clip(channel, low, high) - mean) / max(deviation, _SMALLEST)
    if how.kind == "zscore":
        known = channel[mask] if how.masked else channel
        scaled = (channel - known.mean()) / max(known.std(), _SMALLEST)
        return np.where(mask, scaled, channel) if how.masked else scaled
    if how.kind == "rescale":
        channel = channel - channel.min()
        return channel / max(channel.max(), _SMALLEST)
    return channel / 255.0 if how.kind == "rgb" else channel


def _resampled(
    values: np.ndarray,
    shape: Sequence[int],
    own: Sequence[float],
    wanted: Sequence[float],
    order: int,
    how: NnunetPreparation,
) -> np.ndarray:
    """(C, x, y, z) to (C, *shape) by splines; a coarse axis by nearest neighbour."""
    if tuple(values.shape[1:]) == tuple(shape):
        return values
    axis = _separate_axis(own, wanted, how.separate)
    return np.stack([_resampled_channel(channel, tuple(shape), order, axis) for channel in values])


def _resampled_channel(channel: np.ndarray, shape: tuple[int, ...], order: int, axis: int | None) -> np.ndarray:
    checkpoint()
    wide = channel.astype(np.float64)
    if axis is None:
        return resize(wide, shape, order, mode="edge", anti_aliasing=False).astype(channel.dtype)
    flat = tuple(n for a, n in enumerate(shape) if a != axis)
    slices = [
        resize(np.take(wide, n, axis), flat, order, mode="edge", anti_aliasing=False) for n in range(wide.shape[axis])
    ]
    count = len(slices)
    where = count / shape[axis] * (np.arange(shape[axis]) + 0.5) - 0.5
    nearest = ndimage.map_coordinates(np.arange(count), where[None], order=0, mode="nearest")
    return np.stack([slices[n] for n in nearest], axis).astype(channel.dtype)


def _separate_axis(own: Sequence[float], wanted: Sequence[float], asked: bool | None) -> int | None:
    """The one axis that is coarser than all others, where it is to be resampled by itself."""
    if asked is False:
        return None
    coarse = [s for s in (own, wanted) if asked or max(s) / min(s) > COARSE]
    if not coarse:
        return None
    at = [axis for axis, mm in enumerate(coarse[0]) if mm == max(coarse[0])]
    return at[0] if len(at) == 1 else None
