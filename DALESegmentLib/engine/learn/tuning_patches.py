"""Patches of a fine-tune: half of them where the clinician was, half drawn over all cases as in a training.

Of the first half most are the very windows that prediction runs over, neither turned nor brightened. What was confirmed
has to come out right to the voxel in the image it was confirmed in, and that is learned several times sooner where it
is seen as it will be asked for. The rest of that half is turned and brightened as ever, so that what is learned is not
one picture by heart; the second half is the replay that keeps the model from unlearning.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..dale.objective import Batch
from .patches import PatchSampler, confirmed_points
from .plan import Plan
from .pose import Pose
from .prepare import PreparedCase
from .windows import windows_of

CONFIRMED_SHARE = 0.5
"""Of the patches of a batch."""
AS_PREDICTED = 0.9
"""Of those."""


class TuningSampler(PatchSampler):
    """Where nothing is confirmed it draws what a training does."""

    def __init__(self, cases: Sequence[PreparedCase], plan: Plan) -> None:
        super().__init__(cases, plan)
        self.confirmed = {
            i: confirmed_points(case.labels) + self._border(case.labels)
            for i, case in enumerate(self.cases)
            if bool(case.labels.reviewed.any())
        }
        self.windows = [window for i in self.confirmed for window in self._windows_of(i)]

    def seed(self, seed: int, epoch: int) -> None:
        super().seed(seed, epoch)
        self.turn: list[int] = []

    def take(self, poses: Sequence[Pose], device: torch.device) -> Batch:
        """These patches as they are."""
        return self._batch(poses, device)

    def replay_poses(self, count: int, seed: int) -> list[Pose]:
        """As drawn in a training, for looking at: the same for one seed, in place, and as prediction sees them."""
        self.seed(seed, 0)
        drawn = [super(TuningSampler, self)._pose() for _ in range(count)]
        return [self._still(pose.case, pose.start) for pose in drawn]

    def _pose(self) -> Pose:
        if not self.windows or self.random.random() >= CONFIRMED_SHARE:
            return super()._pose()
        if self.random.random() < AS_PREDICTED:
            if not self.turn:
                self.turn = list(self.random.permutation(len(self.windows)))
            return self.windows[self.turn.pop()]
        case = list(self.confirmed)[int(self.random.integers(len(self.confirmed)))]
        return self._turned(case, self._near([self.confirmed[case]]))

    def _windows_of(self, case: int) -> list[Pose]:
        """Those of the sliding window that hold a confirmed voxel."""
        labels = self.cases[case].labels
        windows = windows_of(self._padded_size(labels), self.plan.patch_size)
        poses = [self._still(case, start) for start in windows.starts.tolist()]
        return [pose for pose in poses if bool(labels.reviewed[self._part(pose).where].any())]

    def _still(self, case: int, start: Sequence[int]) -> Pose:
        x, y, z = start
        return Pose(case, (x, y, z), self.plan.patch_size, (), 0, self.turn_axes, as_it_is=True)
