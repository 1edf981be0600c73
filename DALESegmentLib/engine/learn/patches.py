"""Patches drawn from prepared cases, turned and flipped; the disagreement goes the same way and comes back.

Only flips and quarter turns are used, so every patch voxel is one voxel of the case and the new disagreement can be
written back to exactly where it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from monai.data import get_track_meta, set_track_meta
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandGaussianNoise,
    RandScaleIntensity,
    RandShiftIntensity,
)
from torch import Tensor

from ..dale.objective import Batch
from .plan import Plan
from .prepare import UNKNOWN, PreparedCase
from .windows import PADDING

_POINTS = 20_000


@dataclass(frozen=True)
class Pose:
    """How a patch lies in its case: first voxel, size, flipped axes, quarter turns in the plane `turn_axes`.

    as_it_is: its brightness is not to be changed either."""

    case: int
    start: tuple[int, int, int]
    size: tuple[int, int, int]
    flips: tuple[int, ...]
    turns: int
    turn_axes: tuple[int, int]
    as_it_is: bool = False

    def take(self, array: Tensor) -> Tensor:
        """The patch of an (..., x, y, z) array. A view where nothing is turned."""
        x, y, z = self.start
        patch = array[..., x : x + self.size[0], y : y + self.size[1], z : z + self.size[2]]
        back = [axis - 3 for axis in self.flips]
        turned = torch.rot90(patch, self.turns, [axis - 3 for axis in self.turn_axes]) if self.turns else patch
        return turned.flip(back) if back else turned

    def put(self, array: Tensor, patch: Tensor) -> None:
        """Write a patch back to where `take` found it."""
        x, y, z = self.start
        back = [axis - 3 for axis in self.flips]
        patch = patch.flip(back) if back else patch
        patch = torch.rot90(patch, -self.turns, [axis - 3 for axis in self.turn_axes]) if self.turns else patch
        array[..., x : x + self.size[0], y : y + self.size[1], z : z + self.size[2]] = patch.to(array.dtype)


class PatchSampler:
    """Draws batches; seeded anew for each epoch, so that a resumed training sees what it would have seen.

    Every other patch is centred near a labelled voxel (each class as often), in fine-tuning near a trusted one.
    """

    def __init__(self, cases: Sequence[PreparedCase], plan: Plan, *, focus_trusted: bool = False) -> None:
        self.plan = plan
        self.cases = [_padded(case, plan) for case in cases]
        self.points = [_points(case, plan.classes, focus_trusted) for case in self.cases]
        square = _square_plane(plan)
        self.turn_axes = square or (0, 1)
        self.may_turn = square is not None
        self.augment = Compose(
            [
                RandScaleIntensity(factors=0.2, prob=0.3),
                RandShiftIntensity(offsets=0.2, prob=0.3),
                RandGaussianNoise(prob=0.2, std=0.1),
                RandAdjustContrast(prob=0.2, gamma=(0.7, 1.5)),
            ]
        )

    def seed(self, seed: int, epoch: int) -> None:
        self.random = np.random.default_rng([seed, epoch])
        self.augment.set_random_state(int(self.random.integers(2**31)))
        self.order: list[int] = []

    def draw(self, device: torch.device) -> tuple[Batch, list[Pose]]:
        """A batch on the device, and where its patches lie."""
        poses = [self._pose() for _ in range(self.plan.batch_size)]
        return self._batch(poses, device), poses

    def _batch(self, poses: Sequence[Pose], device: torch.device, *, augment: bool = True) -> Batch:
        images, labels, trusted, valid, s = [], [], [], [], []
        for pose in poses:
            case = self.cases[pose.case]
            label = pose.take(case.label)
            images.append(pose.take(case.image).clone())
            labels.append(label.clamp_min(0))
            valid.append(label >= 0)
            trusted.append(pose.take(case.trusted))
            s.append(pose.take(case.disagreement))
        with _plain_tensors():
            images = [
                self.augment(image) if augment and not pose.as_it_is else image
                for image, pose in zip(images, poses, strict=True)
            ]
        return Batch(
            self._stack(images, device).float(),
            self._stack(labels, device).long(),
            self._stack(trusted, device),
            self._stack(valid, device).float(),
            self._stack(s, device).float(),
        )

    def write_back(self, poses: Sequence[Pose], disagreement: Tensor) -> None:
        """(B, *grid) new disagreement to the cases it belongs to."""
        values = disagreement.detach().cpu()
        for pose, patch in zip(poses, values, strict=True):
            full = patch.unsqueeze(self.plan.slice_axis) if self.plan.dims == 2 else patch
            pose.put(self.cases[pose.case].disagreement, full)

    def _stack(self, patches: list[Tensor], device: torch.device) -> Tensor:
        stacked = torch.stack([p.contiguous() for p in patches])
        if self.plan.dims == 2:
            stacked = stacked.squeeze(self.plan.slice_axis - 3)
        return stacked.to(device, non_blocking=True)

    def _pose(self) -> Pose:
        if not self.order:
            self.order = list(self.random.permutation(len(self.cases)))
        case = int(self.order.pop())
        classes = [p for p in self.points[case] if len(p)]
        if classes and self.random.random() < 0.5:
            return self._turned(case, self._near(case, classes))
        patch = np.array(self.plan.patch_size)
        # beyond the border and back by the clip below: corners would otherwise hardly ever be seen
        start = self.random.integers(-(patch // 2), np.array(self.cases[case].label.shape) - patch + patch // 2 + 1)
        return self._turned(case, start)

    def _near(self, case: int, lists: Sequence[np.ndarray]) -> np.ndarray:
        """Where a patch near one of these points starts; each list as often."""
        patch = np.array(self.plan.patch_size)
        points = lists[int(self.random.integers(len(lists)))]
        jitter = self.random.integers(-(patch // 4), patch // 4 + 1)
        return points[int(self.random.integers(len(points)))] - patch // 2 + jitter

    def _turned(self, case: int, start: np.ndarray) -> Pose:
        patch = np.array(self.plan.patch_size)
        start = np.clip(start, 0, np.array(self.cases[case].label.shape) - patch)
        flips = tuple(axis for axis in range(3) if patch[axis] > 1 and self.random.random() < 0.5)
        turns = int(self.random.integers(4)) if self.may_turn else 0
        return Pose(case, _triple(start), _triple(patch), flips, turns, self.turn_axes)


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """MONAI's transforms on tensors as they are: keeping an affine up to date would cost a third of a small step."""
    was = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(was)


def _triple(values: np.ndarray) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in values)
    return x, y, z


def _padded(case: PreparedCase, plan: Plan) -> PreparedCase:
    """The case, at least as large as a patch; what is added has the label UNKNOWN and counts for nothing."""
    short = [max(0, p - n) for p, n in zip(plan.patch_size, case.label.shape, strict=True)]
    if not any(short):
        return case
    pads = [n for s in reversed(short) for n in (s // 2, s - s // 2)]
    image = F.pad(case.image, pads, mode=PADDING)
    label = F.pad(case.label, pads, value=UNKNOWN)
    trusted = F.pad(case.trusted, pads, value=False)
    padded = PreparedCase(case.name, case.geometry, case.affine, image, label, trusted, case.disagreement)
    padded.disagreement = F.pad(case.disagreement, pads)
    inside = tuple(slice(s // 2, s // 2 + n) for s, n in zip(short, case.label.shape, strict=True))
    # the unpadded case keeps seeing what training learns about it
    case.disagreement = padded.disagreement[inside]
    return padded


def confirmed_points(case: PreparedCase) -> np.ndarray:
    """(N, 3) confirmed voxels to centre patches on."""
    return _thinned(case.trusted)


def _points(case: PreparedCase, classes: int, focus_trusted: bool) -> list[np.ndarray]:
    """Voxels to centre patches on: one list a class, or the trusted voxels."""
    if focus_trusted and bool(case.trusted.any()):
        return [confirmed_points(case)]
    return [_thinned(case.label == c) for c in range(1, classes)]


def _thinned(mask: Tensor) -> np.ndarray:
    points: np.ndarray = mask.nonzero().numpy()
    return points[:: max(1, len(points) // _POINTS)]


def _square_plane(plan: Plan) -> tuple[int, int] | None:
    """The plane in which quarter turns keep patch size and spacing, if any."""
    for a, b in ((0, 1), (0, 2), (1, 2)):
        same_spacing = plan.spacing is None or abs(plan.spacing[a] / plan.spacing[b] - 1) < 0.05
        if plan.patch_size[a] == plan.patch_size[b] > 1 and same_spacing:
            return a, b
    return None
