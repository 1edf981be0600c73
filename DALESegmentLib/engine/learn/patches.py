"""Patches drawn from prepared cases, turned and flipped (`Pose`); the disagreement goes the same way and comes back.

Where several processes train together, each draws the poses of the whole batch from the same random numbers, and takes
the patches of its own cases alone; the others' cost it nothing but their random numbers. So the batch is the same
however many processes share it.
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

from ..dale.disagreement import START
from ..dale.objective import Batch
from ..distributed.ranks import Ranks
from .plan import Plan
from .pose import Pose
from .prepare import UNKNOWN, PreparedCase
from .windows import PADDING

_POINTS = 20_000


@dataclass(frozen=True)
class Outline:
    """What drawing a pose takes to know of a case, also of another rank's: its size (padded to a patch at least), and
    how many points it has, a list each, to centre patches on."""

    size: tuple[int, int, int]
    points: tuple[int, ...]


class PatchSampler:
    """Draws batches; seeded anew for each epoch, so that a resumed training sees what it would have seen.

    Every other patch is centred near a labelled voxel (each class as often), in fine-tuning near a trusted one.
    cases: the rank's own.
    """

    def __init__(
        self, cases: Sequence[PreparedCase], plan: Plan, *, focus_trusted: bool = False, ranks: Ranks | None = None
    ) -> None:
        self.plan = plan
        self.ranks = ranks or Ranks()
        self.cases = [_padded(case, plan) for case in cases]
        self.focus_trusted = focus_trusted
        self.look_again()
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

    def look_again(self) -> None:
        """Find where to centre patches, after labels were drawn anew."""
        self.points = [_points(case, self.plan.classes, self.focus_trusted) for case in self.cases]
        self.outlines = self.ranks.together(
            [
                Outline(_triple(np.array(case.label.shape)), tuple(len(p) for p in points))
                for case, points in zip(self.cases, self.points, strict=True)
            ]
        )

    def seed(self, seed: int, epoch: int) -> None:
        self.random = np.random.default_rng([seed, epoch])
        self.augment.set_random_state(int(self.random.integers(2**31)))
        self.order: list[int] = []

    def draw(self, device: torch.device) -> tuple[Batch, list[Pose]]:
        """The rank's share of a batch on the device, and where its patches lie. Of a batch without a patch of its own
        it gets an empty patch that counts for nothing, and no pose."""
        drawn = [self._pose() for _ in range(self.plan.batch_size)]
        poses = [pose for pose in drawn if self.ranks.owns(pose.case)]
        return self._batch(poses, device, drawn), poses

    def _batch(self, poses: Sequence[Pose], device: torch.device, drawn: Sequence[Pose] | None = None) -> Batch:
        """drawn: the whole batch that these are the own ones of, to be augmented; None leaves them as they are."""
        images, labels, trusted, valid, s = [], [], [], [], []
        for pose in poses:
            case = self._own(pose)
            label = pose.take(case.label)
            images.append(pose.take(case.image).clone())
            labels.append(label.clamp_min(0))
            valid.append(label >= 0)
            trusted.append(pose.take(case.trusted))
            s.append(pose.take(case.disagreement))
        with _plain_tensors():
            images = self._augmented(drawn, images) if drawn is not None else images
        if not poses:
            empty = torch.zeros(self.plan.patch_size)
            images, labels, valid = [empty.expand(self.plan.channels, -1, -1, -1)], [empty], [empty]
            trusted, s = [empty.bool()], [torch.full_like(empty, START)]
        return Batch(
            self._stack(images, device).float(),
            self._stack(labels, device).long(),
            self._stack(trusted, device),
            self._stack(valid, device).float(),
            self._stack(s, device).float(),
            len(poses if drawn is None else drawn),
        )

    def _augmented(self, drawn: Sequence[Pose], images: Sequence[Tensor]) -> list[Tensor]:
        """The own images, augmented by the random numbers that are theirs in the whole batch."""
        own = iter(images)
        augmented = []
        for pose in drawn:
            if self.ranks.owns(pose.case):
                image = next(own)
                augmented.append(image if pose.as_it_is else self.augment(image))
                continue
            shape = torch.empty(1).expand(self.plan.channels, *pose.size)
            for transform in self.augment.transforms:
                transform.randomize(shape)
        return augmented

    def write_back(self, poses: Sequence[Pose], disagreement: Tensor) -> None:
        """(B, *grid) new disagreement to the cases it belongs to."""
        values = disagreement.detach().cpu()
        for pose, patch in zip(poses, values[: len(poses)], strict=True):
            full = patch.unsqueeze(self.plan.slice_axis) if self.plan.dims == 2 else patch
            pose.put(self._own(pose).disagreement, full)

    def _own(self, pose: Pose) -> PreparedCase:
        return self.cases[pose.case // self.ranks.size]

    def _stack(self, patches: list[Tensor], device: torch.device) -> Tensor:
        stacked = torch.stack([p.contiguous() for p in patches])
        if self.plan.dims == 2:
            stacked = stacked.squeeze(self.plan.slice_axis - 3)
        return stacked.to(device, non_blocking=True)

    def _pose(self) -> Pose:
        if not self.order:
            self.order = list(self.random.permutation(len(self.outlines)))
        case = int(self.order.pop())
        lists = [points for points in self._points_of(case) if len(points)]
        if lists and self.random.random() < 0.5:
            return self._turned(case, self._near(lists))
        patch, grid = np.array(self.plan.patch_size), np.array(self.outlines[case].size)
        # beyond the border and back by the clip below: corners would otherwise hardly ever be seen
        return self._turned(case, self.random.integers(-(patch // 2), grid - patch + patch // 2 + 1))

    def _points_of(self, case: int) -> list[np.ndarray]:
        """Points (N, 3) to centre patches on. Another rank's are not known here, and not needed: as many in the middle
        take as many random numbers."""
        if self.ranks.owns(case):
            return self.points[case // self.ranks.size]
        outline = self.outlines[case]
        return [np.broadcast_to(np.array(outline.size) // 2, (n, 3)) for n in outline.points]

    def _near(self, lists: Sequence[np.ndarray]) -> np.ndarray:
        """Where a patch near one of these points starts; each list as often."""
        patch = np.array(self.plan.patch_size)
        points = lists[int(self.random.integers(len(lists)))]
        jitter = self.random.integers(-(patch // 4), patch // 4 + 1)
        start: np.ndarray = points[int(self.random.integers(len(points)))] - patch // 2 + jitter
        return start

    def _turned(self, case: int, start: np.ndarray) -> Pose:
        patch = np.array(self.plan.patch_size)
        start = np.clip(start, 0, np.array(self.outlines[case].size) - patch)
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
    case.label = padded.label[inside]  # and is where outlines are drawn anew
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
