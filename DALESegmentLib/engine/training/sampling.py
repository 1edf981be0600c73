"""Patches drawn from prepared cases, flipped and turned, and their labels from the memory that the loss writes to.

Where several processes train together, each draws the patches of the whole batch from the same random numbers, and
takes those of its own cases alone; the others' cost it nothing but their random numbers. So the batch is the same
however many processes share it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from monai.data import ThreadBuffer, get_track_meta, set_track_meta
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandGaussianNoise,
    RandScaleIntensity,
    RandShiftIntensity,
)
from torch import Tensor

from ..core.distributed import Ranks
from ..dale.label_memory import LabelMemory
from ..dale.label_state import LabelState
from ..dale.patches import PatchIndex, PatchLabels, class_voxels, points, reviewed_voxels
from ..planning.plan import Plan
from ..planning.preprocessing import PreparedCase
from ..planning.windows import windows_of

_POINTS = 20_000
AHEAD = 3
"""Batches that are ready while a GPU computes."""


@dataclass(frozen=True)
class Outline:
    """What drawing a patch takes to know of a case, also of another rank's: its size, and how many points it has, a
    list each, to centre patches on. partly: whether some of it is not annotated; its last list is of what is. of_case:
    where it holds one of several raters' labels, the case that these are of."""

    size: tuple[int, int, int]
    points: tuple[int, ...]
    partly: bool = False
    of_case: str = ""


@dataclass
class DrawnPatch(PatchIndex):
    """case: its number among those of all ranks; augmented: whether its intensities may be changed."""

    augmented: bool = True

    @property
    def number(self) -> int:
        assert isinstance(self.case, int)
        return self.case


@dataclass(kw_only=True)
class Batch(PatchLabels):
    """The labels of a batch with what the network sees: image (B, C, *patch) float32. where: its patches."""

    image: Tensor
    where: Sequence[DrawnPatch] = ()


@dataclass(frozen=True)
class _Drawn:
    """A batch before its labels are read. own: the rank's patches; images: (B, C, *patch) float32 on the CPU; total:
    patches of the whole batch."""

    own: Sequence[DrawnPatch]
    images: Tensor
    total: int


class PatchSampler:
    """Draws batches; seeded anew for each epoch, so that a resumed training sees what it would have seen.

    Every other patch is centred near a labelled voxel (each class as often), in fine-tuning near a trusted one.
    An image with several raters' labels is drawn as often as any other, with the label of one of them, by chance.
    cases: the rank's own. memory: of their labels, by the cases' numbers among those of all ranks.
    """

    def __init__(
        self, cases: Sequence[PreparedCase], plan: Plan, *, focus_trusted: bool = False, ranks: Ranks | None = None
    ) -> None:
        self.plan = plan
        self.ranks = ranks or Ranks()
        self.cases = list(cases)
        self.memory = LabelMemory(dict(zip(self.numbers, self.cases, strict=True)))
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
        self.points = [_points(case.labels, self.plan.classes, self.focus_trusted) for case in self.cases]
        drawn = [_annotated_points(case.labels) for case in self.cases]
        self.points = [[*own, *some] for own, some in zip(self.points, drawn, strict=True)]
        self.outlines = self.ranks.all_gather(
            [
                Outline(_triple(case.labels.shape), tuple(len(p) for p in points), bool(some), case.of_case)
                for case, points, some in zip(self.cases, self.points, drawn, strict=True)
            ]
        )
        self.images = _by_image(self.outlines)

    @property
    def numbers(self) -> list[int]:
        """Of the own cases, among those of all ranks."""
        return [self.ranks.rank + n * self.ranks.size for n in range(len(self.cases))]

    def windows_of(self, case: int) -> list[DrawnPatch]:
        """Those that the sliding window has of this case, as they are predicted."""
        labels = self.memory[case]
        windows = windows_of(
            tuple(np.maximum(self.plan.patch_size, labels.shape)), self.plan.patch_size, tiling=self.plan.tiling
        )
        starts = windows.starts + self._starts(case)[0]
        return [self._drawn(case, start, augmented=False) for start in starts.tolist()]

    def take(self, patches: Sequence[DrawnPatch], device: torch.device) -> Batch:
        """These patches as they are; of those of other ranks' cases nothing."""
        own = [patch for patch in patches if self.ranks.owns(patch.number)]
        return self._labelled(_Drawn(own, self._stacked(self._images(own)), len(patches)), device)

    def seed(self, seed: int, epoch: int) -> None:
        self.random = np.random.default_rng([seed, epoch])
        self.augment.set_random_state(int(self.random.integers(2**31)))
        self.order: list[int] = []

    def batches(self, count: int, device: torch.device, *, ahead: bool | None = None) -> Iterator[Batch]:
        """So many batches on the device, see `draw`. ahead: cut and augment patches in a thread while the one before is
        learned; None does so on a GPU. Labels and disagreement are read when a batch is asked for, so that a step
        always sees what the one before it has learned, and the batches are the same either way."""
        pin = device.type == "cuda"
        source = (self._draw(pin=pin) for _ in range(count))
        if not (pin if ahead is None else ahead):
            yield from (self._labelled(drawn, device) for drawn in source)
            return
        for drawn in ThreadBuffer(_with_error(source), AHEAD):
            if isinstance(drawn, Exception):
                raise drawn
            yield self._labelled(drawn, device)

    def draw(self, device: torch.device) -> Batch:
        """The rank's share of a batch, on the device. Of a batch without a patch of its own it gets an empty patch that
        counts for nothing."""
        return self._labelled(self._draw(), device)

    def _draw(self, *, pin: bool = False) -> _Drawn:
        drawn = [self._patch() for _ in range(self.plan.batch_size)]
        own = [patch for patch in drawn if self.ranks.owns(patch.number)]
        images = self._images(own)
        with _plain_tensors():
            stacked = self._stacked(self._augmented(drawn, images))
        return _Drawn(own, stacked.pin_memory() if pin else stacked, len(drawn))

    def _images(self, own: Sequence[DrawnPatch]) -> list[Tensor]:
        return [patch.take(self._own(patch).image, mode=self.plan.tiling.padding).clone() for patch in own]

    def _stacked(self, images: Sequence[Tensor]) -> Tensor:
        if not images:
            return torch.zeros((1, self.plan.channels, *self.plan.network_patch))
        return torch.stack([image.contiguous() for image in images]).float()

    def _labelled(self, drawn: _Drawn, device: torch.device) -> Batch:
        if drawn.own:
            labels = self.memory.at(drawn.own, device)
        else:
            labels = PatchLabels.empty(self.plan.network_patch, device)
        labels.total = drawn.total
        return Batch(**vars(labels), image=drawn.images.to(device, non_blocking=True), where=drawn.own)

    def _augmented(self, drawn: Sequence[DrawnPatch], images: Sequence[Tensor]) -> list[Tensor]:
        """The own images, augmented by the random numbers that are theirs in the whole batch."""
        own = iter(images)
        augmented = []
        for patch in drawn:
            if self.ranks.owns(patch.number):
                image = next(own)
                augmented.append(self.augment(image) if patch.augmented else image)
                continue
            if not patch.augmented:
                continue
            shape = torch.empty(1).expand(self.plan.channels, *patch.size)
            for transform in self.augment.transforms:
                transform.randomize(shape)
        return augmented

    def _own(self, patch: DrawnPatch) -> PreparedCase:
        return self.cases[patch.number // self.ranks.size]

    def _patch(self) -> DrawnPatch:
        if not self.order:
            self.order = list(self.random.permutation(len(self.images)))
        raters = self.images[int(self.order.pop())]
        case = raters[0] if len(raters) == 1 else raters[int(self.random.integers(len(raters)))]
        lists = self._points_of(case)
        annotated = [lists.pop()] if self.outlines[case].partly else []
        lists = [points for points in lists if len(points)]
        if lists and self.random.random() < 0.5:
            return self._turned(case, self._near(lists))
        if annotated:
            return self._turned(case, self._near(annotated))
        patch = np.array(self.plan.patch_size)
        first, last = self._starts(case)
        # beyond the border and back by the clip below: corners would otherwise hardly ever be seen
        return self._turned(case, self.random.integers(first - patch // 2, last + patch // 2 + 1))

    def _starts(self, case: int) -> tuple[np.ndarray, np.ndarray]:
        """(3,) first and last voxel at which a patch may start; before the case where that is smaller than a patch."""
        size, patch = np.array(self.outlines[case].size), np.array(self.plan.patch_size)
        first = -(np.maximum(patch - size, 0) // 2)
        return first, first + np.maximum(size - patch, 0)

    def _points_of(self, case: int) -> list[np.ndarray]:
        """Points (N, 3) to centre patches on. Another rank's are not known here, and not needed: as many in the middle
        take as many random numbers."""
        if self.ranks.owns(case):
            return list(self.points[case // self.ranks.size])
        return [self._in_the_middle(case, n) for n in self.outlines[case].points]

    def _in_the_middle(self, case: int, count: int) -> np.ndarray:
        """(count, 3) points."""
        return np.broadcast_to(np.array(self.outlines[case].size) // 2, (count, 3))

    def _near(self, lists: Sequence[np.ndarray]) -> np.ndarray:
        """Where a patch near one of these points starts; each list as often."""
        patch = np.array(self.plan.patch_size)
        points = lists[int(self.random.integers(len(lists)))]
        jitter = self.random.integers(-(patch // 4), patch // 4 + 1)
        start: np.ndarray = points[int(self.random.integers(len(points)))] - patch // 2 + jitter
        return start

    def _turned(self, case: int, start: np.ndarray) -> DrawnPatch:
        patch = np.array(self.plan.patch_size)
        start = np.clip(start, *self._starts(case))
        flips = tuple(axis for axis in range(3) if patch[axis] > 1 and self.random.random() < 0.5)
        turns = int(self.random.integers(4)) if self.may_turn else 0
        return self._drawn(case, start.tolist(), flips, turns)

    def _drawn(
        self, case: int, start: Sequence[int], flips: tuple[int, ...] = (), rot90: int = 0, augmented: bool = True
    ) -> DrawnPatch:
        plan = self.plan
        slice_axis = plan.slice_axis if plan.dims == 2 else None
        return DrawnPatch(
            case, _triple(start), plan.patch_size, flips, rot90, self.turn_axes, slice_axis, augmented=augmented
        )


def _with_error(source: Iterator[_Drawn]) -> Iterator[_Drawn | Exception]:
    """What ends the source is its last item: MONAI's ThreadBuffer would end without a word."""
    try:
        yield from source
    except Exception as problem:
        yield problem


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """MONAI's transforms on tensors as they are: keeping an affine up to date would cost a third of a small step."""
    was = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(was)


def _by_image(outlines: Sequence[Outline]) -> list[list[int]]:
    """The numbers of the cases, those of one image together."""
    found: dict[object, list[int]] = {}
    for number, outline in enumerate(outlines):
        found.setdefault(outline.of_case or number, []).append(number)
    return list(found.values())


def _triple(values: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in values)
    return x, y, z


def _points(labels: LabelState, classes: int, focus_trusted: bool) -> list[np.ndarray]:
    """(N, 3) voxels to centre patches on: one list a class, or the trusted voxels."""
    if focus_trusted and bool(labels.reviewed.any()):
        return [confirmed_points(labels)]
    counts = labels.class_counts()
    every = {c: max(1, counts.get(c, 0) // _POINTS) for c in range(1, classes)}
    return [points(flat, labels.shape) for flat in class_voxels(labels, every).values()]


def _annotated_points(labels: LabelState) -> list[np.ndarray]:
    """A list of (N, 3) voxels of a case that is annotated in part; no list where it is as a whole, or not at all."""
    counts = labels.class_counts()
    total = sum(counts.values())
    if total in (0, math.prod(labels.shape)):
        return []
    found = class_voxels(labels, dict.fromkeys(counts, max(1, total // _POINTS)))
    return [points(torch.cat(list(found.values())), labels.shape)]


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
