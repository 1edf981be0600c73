"""Patches drawn from prepared cases, turned and flipped (`Pose`); the disagreement goes the same way and comes back.

Where several processes train together, each draws the poses of the whole batch from the same random numbers, and takes
the patches of its own cases alone; the others' cost it nothing but their random numbers. So the batch is the same
however many processes share it.

Where a patch lies in its case, and how it is turned.

Only flips and quarter turns are used, so every patch voxel is one voxel of the case, and what is learned about it can
be written back to exactly where it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import EllipsisType

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

from ..core.distributed import Ranks
from ..dale.label_state import IGNORED, LabelState
from ..dale.loss import Batch
from ..planning.plan import Plan
from ..planning.preprocessing import PreparedCase
from ..planning.windows import PADDING
from .class_voxels import class_voxels, points, reviewed_voxels

_POINTS = 20_000


@dataclass(frozen=True)
class Outline:
    """What drawing a pose takes to know of a case, also of another rank's: its size (padded to a patch at least), and
    how many points it has, a list each, to centre patches on."""

    size: tuple[int, int, int]
    points: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """The part of a case under a patch: its first voxel and the one after its last, and how many voxels of the patch
    lie before and behind the case; these have no label and count for nothing."""

    low: tuple[int, int, int]
    high: tuple[int, int, int]
    before: tuple[int, int, int]
    behind: tuple[int, int, int]

    @property
    def where(self) -> tuple[slice, ...]:
        """In the case."""
        return tuple(slice(a, b) for a, b in zip(self.low, self.high, strict=True))

    @property
    def inside(self) -> tuple[slice, ...]:
        """In the patch."""
        sizes = (b - a for a, b in zip(self.low, self.high, strict=True))
        return tuple(slice(first, first + n) for first, n in zip(self.before, sizes, strict=True))

    def padded(self, values: Tensor, outside: float) -> Tensor:
        """(x, y, z) values of the part, and outside the case this one."""
        return F.pad(values, self._pads, value=outside) if any(self._pads) else values

    def padded_image(self, image: Tensor) -> Tensor:
        """Of the whole image (C, x, y, z) this part; outside the case what lies at its border."""
        where = (slice(None), *self.where)
        values = image[where]
        return F.pad(values, self._pads, mode=PADDING) if any(self._pads) else values

    @property
    def _pads(self) -> list[int]:
        both = zip(reversed(self.before), reversed(self.behind), strict=True)
        return [n for sides in both for n in sides]


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
        self.cases = list(cases)
        self.focus_trusted = focus_trusted
        self.rebuild_index()
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

    def rebuild_index(self) -> None:
        """Find where to centre patches, after the learned labels changed."""
        self.points = [
            [found + self._border(case.labels) for found in _points(case.labels, self.plan.classes, self.focus_trusted)]
            for case in self.cases
        ]
        self.outlines = self.ranks.all_gather(
            [
                Outline(self._padded_size(case.labels), tuple(len(p) for p in points))
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
        images, labels, trusted, valid, s, seen = [], [], [], [], [], []
        for pose in poses:
            case = self._own(pose)
            part = self._part(pose)
            state = case.labels
            label = pose.turned(part.padded(state.target(part.where), IGNORED))
            images.append(pose.turned(part.padded_image(case.image)).clone())
            labels.append(label.clamp_min(0))
            valid.append(label >= 0)
            trusted.append(pose.turned(part.padded(state.reviewed[part.where], False)))
            s.append(pose.turned(part.padded(state.disagreement[part.where], 0.0)))
            seen.append(pose.turned(part.padded(state.seen[part.where], True)))
        with _plain_tensors():
            images = self._augmented(drawn, images) if drawn is not None else images
        if not poses:
            empty = torch.zeros(self.plan.patch_size)
            images, labels, valid = [empty.expand(self.plan.channels, -1, -1, -1)], [empty], [empty]
            trusted, s, seen = [empty.bool()], [empty], [empty.bool()]
        return Batch(
            self._stack(images, device).float(),
            self._stack(labels, device).long(),
            self._stack(trusted, device),
            self._stack(valid, device).float(),
            self._stack(s, device).float(),
            self._stack(seen, device),
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
            part = self._part(pose)
            self._own(pose).labels.record(part.where, pose.unturned(full)[part.inside])

    def _border(self, labels: LabelState) -> np.ndarray:
        """(3,) voxels that are added before a case smaller than a patch."""
        return np.array([max(0, p - n) // 2 for p, n in zip(self.plan.patch_size, labels.shape, strict=True)], np.int32)

    def _padded_size(self, labels: LabelState) -> tuple[int, int, int]:
        return _triple(np.maximum(self.plan.patch_size, labels.shape))

    def _part(self, pose: Pose) -> Part:
        """The part of its case that a patch covers; poses count from the border on."""
        labels = self._own(pose).labels
        first = np.array(pose.start) - self._border(labels)
        last = first + np.array(pose.size)
        low, high = np.maximum(first, 0), np.minimum(last, labels.shape)
        return Part(_triple(low), _triple(high), _triple(low - first), _triple(last - high))

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


def _points(labels: LabelState, classes: int, focus_trusted: bool) -> list[np.ndarray]:
    """(N, 3) voxels to centre patches on: one list a class, or the trusted voxels."""
    if focus_trusted and bool(labels.reviewed.any()):
        return [confirmed_points(labels)]
    counts = labels.class_counts()
    every = {c: max(1, counts.get(c, 0) // _POINTS) for c in range(1, classes)}
    return [points(flat, labels.shape) for flat in class_voxels(labels, every).values()]


def confirmed_points(labels: LabelState) -> np.ndarray:
    """(N, 3) confirmed voxels to centre patches on."""
    return reviewed_voxels(labels, _POINTS)


def _square_plane(plan: Plan) -> tuple[int, int] | None:
    """The plane in which quarter turns keep patch size and spacing, if any."""
    for a, b in ((0, 1), (0, 2), (1, 2)):
        same_spacing = plan.spacing is None or abs(plan.spacing[a] / plan.spacing[b] - 1) < 0.05
        if plan.patch_size[a] == plan.patch_size[b] > 1 and same_spacing:
            return a, b
    return None


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

    @property
    def box(self) -> tuple[EllipsisType | slice, ...]:
        """Where it lies, as an index of an (..., x, y, z) array."""
        return (..., *(slice(first, first + n) for first, n in zip(self.start, self.size, strict=True)))

    def take(self, array: Tensor) -> Tensor:
        """The patch of an (..., x, y, z) array. A view where nothing is turned."""
        return self.turned(array[self.box])

    def put(self, array: Tensor, patch: Tensor) -> None:
        """Write a patch back to where `take` found it."""
        array[self.box] = self.unturned(patch).to(array.dtype)

    def turned(self, patch: Tensor) -> Tensor:
        """(..., *size), as it lies in its case, flipped and turned. A view where nothing is turned."""
        back = [axis - 3 for axis in self.flips]
        turned = torch.rot90(patch, self.turns, [axis - 3 for axis in self.turn_axes]) if self.turns else patch
        return turned.flip(back) if back else turned

    def unturned(self, patch: Tensor) -> Tensor:
        """What `turned` was given."""
        back = [axis - 3 for axis in self.flips]
        patch = patch.flip(back) if back else patch
        return torch.rot90(patch, -self.turns, [axis - 3 for axis in self.turn_axes]) if self.turns else patch
