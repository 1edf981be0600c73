"""Fine-tuning on confirmed voxels: the loss, the patches, and the score that decides which weights are kept.

The loss adds a distillation term (Learning without Forgetting, Li and Hoiem, 2016) on unconfirmed voxels, because a few
confirmed voxels must not change the predictions everywhere else:

    L = L_training + λ Σ_i valid_i (1 - reviewed_i) KL( p_before,i || p_i ) / Σ_i valid_i

Half of the patches hold confirmed voxels; the other half is drawn over all cases as in a training, and is the replay
that prevents forgetting. Most patches of the first half are the windows of the sliding-window prediction without
augmentation: confirmed voxels are learned several times sooner where the network sees them as in prediction. The rest
is augmented, which limits overfitting.

The score is computed on a few fixed patches with confirmed voxels, and as many of the replay.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.distributed import Ranks, all_reduce_sum
from ..dale.loss import DaleLoss
from ..dale.patches import PatchLabels
from ..metrics.segmentation import dice, mean_of
from ..planning.plan import FinetuneConfig, Plan, TrainSettings
from ..planning.preprocessing import PreparedCase
from .sampling import Batch, DrawnPatch, PatchSampler, confirmed_points

DEFAULT = FinetuneConfig()


class DistillationLoss(DaleLoss):
    """Adds the distillation term to the training's loss. before: the network as it is now; it is copied."""

    def __init__(self, plan: Plan, settings: TrainSettings, before: nn.Module) -> None:
        super().__init__(plan.classes, settings.objective_settings, settings.trusted_share)
        self.distillation_weight = settings.finetune.distillation_weight
        self.before = copy.deepcopy(before).eval().requires_grad_(False)

    def forward(self, logits: Tensor, labels: PatchLabels, progress: float, features: Tensor | None = None) -> Tensor:
        assert isinstance(labels, Batch)
        loss = super().forward(logits, labels, progress, features)
        device = labels.image.device.type
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            before = self.before(labels.image)
        return loss + self.distillation_weight * _distance(before.float(), logits, labels)


def _distance(before: Tensor, now: Tensor, batch: Batch) -> Tensor:
    """before, now: (B, K, *grid) logits."""
    log_before = before.log_softmax(1)
    divergence = (log_before.exp() * (log_before - now.log_softmax(1))).sum(1)
    weights = batch.valid * ~batch.reviewed
    whole, voxels = all_reduce_sum((weights * divergence).sum(), batch.valid.sum())
    return whole / voxels.clamp_min(1)


@dataclass(frozen=True)
class ReviewScore:
    """wrong: confirmed voxels contradicted, of `confirmed` scored; replay: Dice with the labels, away from them."""

    wrong: int
    confirmed: int
    replay: float

    def row(self) -> dict[str, Any]:
        share = self.wrong / self.confirmed if self.confirmed else 0.0
        return {"confirmed_wrong": round(share, 4), "replay_dice": round(self.replay, 4)}


def is_better(
    score: ReviewScore, best: ReviewScore, before: ReviewScore, margin: float = DEFAULT.replay_margin
) -> bool:
    """Fewer confirmed voxels contradicted, and no more than the margin of Dice lost on the replay against the model
    before; where the voxels are equal, the better replay."""
    kept = score.replay >= before.replay - margin
    return kept and (score.wrong, -score.replay) < (best.wrong, -best.replay)


def scoring_patches(sampler: FinetuneSampler, seed: int, device: torch.device) -> list[Batch]:
    """Batches, the same for one seed: windows that hold confirmed voxels, evenly drawn, and replay."""
    count = sampler.config.scored_patches
    windows = sampler.windows[:: max(1, -(-len(sampler.windows) // count))]
    patches = windows + sampler.replay_patches(count, seed)
    size = sampler.plan.batch_size
    return [sampler.take(patches[i : i + size], device) for i in range(0, len(patches), size)]


def score_on_review(network: nn.Module, patches: list[Batch], ranks: Ranks | None = None) -> ReviewScore:
    """Replay Dice is pooled over the patches of all ranks, the mean of the classes that are there."""
    was = network.training
    network.eval()
    wrong = confirmed = 0
    both, sizes = torch.zeros(1), torch.zeros(1)
    with torch.no_grad():
        for batch in patches:
            logits = network(batch.image)
            found, classes = logits.argmax(1), logits.shape[1]
            wrong += int((batch.reviewed & (found != batch.target)).sum())
            confirmed += int(batch.reviewed.sum())
            counted = ((batch.valid > 0) & ~batch.reviewed).float().flatten()
            mine, given = found.flatten(), batch.target.flatten()
            agreed = torch.bincount(given, counted * (mine == given), minlength=classes)
            both = both + agreed.cpu()
            total = torch.bincount(mine, counted, minlength=classes) + torch.bincount(given, counted, minlength=classes)
            sizes = sizes + total.cpu()
    network.train(was)
    shares = _of_all(ranks, (wrong, confirmed, both, sizes))
    wrong, confirmed = sum(share[0] for share in shares), sum(share[1] for share in shares)
    both, sizes = (torch.stack([share[n] for share in shares]).sum(0) for n in (2, 3))
    scores = [dice(n, size) for n, size in zip(both[1:].tolist(), sizes[1:].tolist(), strict=True)]
    replay = mean_of(scores)
    return ReviewScore(wrong, confirmed, 1.0 if replay is None else replay)


def _of_all(ranks: Ranks | None, value: Any) -> list[Any]:
    return (ranks or Ranks()).gather_all(value)


class FinetuneSampler(PatchSampler):
    """Where nothing is confirmed it draws what a training does.

    confirmed: (N, 3) points by case, of another rank's as many in its middle; windows: of all ranks' cases, those that
    hold a confirmed voxel.
    """

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        plan: Plan,
        config: FinetuneConfig = DEFAULT,
        *,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__(cases, plan, ranks=ranks)
        self.config = config
        own = [confirmed_points(case.labels) for case in self.cases]
        counts = self.ranks.all_gather([len(points) for points in own])
        self.confirmed = {
            i: own[i // self.ranks.size] if self.ranks.owns(i) else self._in_the_middle(i, n)
            for i, n in enumerate(counts)
            if n
        }
        found = [self._confirmed_windows(i) if len(points) else [] for i, points in zip(self.numbers, own, strict=True)]
        self.windows = [window for windows in self.ranks.all_gather(found) for window in windows]

    def seed(self, seed: int, epoch: int) -> None:
        super().seed(seed, epoch)
        self.turn: list[int] = []

    def replay_patches(self, count: int, seed: int) -> list[DrawnPatch]:
        """As drawn in a training, for evaluation: the same for one seed, in place, and as prediction sees them."""
        self.seed(seed, 0)
        drawn = [super(FinetuneSampler, self)._patch() for _ in range(count)]
        return [self._drawn(patch.number, patch.start, augmented=False) for patch in drawn]

    def _patch(self) -> DrawnPatch:
        if not self.windows or self.random.random() >= self.config.confirmed_share:
            return super()._patch()
        if self.random.random() < self.config.as_predicted:
            if not self.turn:
                self.turn = list(self.random.permutation(len(self.windows)))
            return self.windows[self.turn.pop()]
        case = list(self.confirmed)[int(self.random.integers(len(self.confirmed)))]
        return self._turned(case, self._near([self.confirmed[case]]))

    def _confirmed_windows(self, case: int) -> list[DrawnPatch]:
        """Those of the sliding window that hold a confirmed voxel."""
        labels = self.memory[case]
        return [w for w in self.windows_of(case) if bool(labels.reviewed[w.coverage(labels.shape).where].any())]
