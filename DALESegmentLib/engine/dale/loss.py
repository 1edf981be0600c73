"""One training step's loss: DALE's parts put together, or plain Dice + cross-entropy through the same path.

Dice + cross-entropy with a weight a voxel for each. With all weights 1 it is MONAI's DiceCELoss (batch Dice).

CE   = Σ ω l / Σ valid
Dice = 1 - mean_c ( 2 Σ δ p_c y_c + ε ) / ( Σ δ p_c + Σ δ y_c + ε ),   c = 1 .. K-1

Trusted voxels: what a clinician confirmed or corrected is not outvoted by the many voxels nobody looked at.

The class prior π: what to add to the logits so that the network gives each class as much as the annotators did.

Soft Dice is at its best not where the posterior is split at ½ but at half the Dice that can be reached (Lipton et al.
2014 for F1). With noisy labels that is far below ½: the network draws too large, and judged by its raw logits, labels
would look wrong on one side of the outline. So labels are judged by z + b, with b solved along the way for

    Σ_i softmax(z_i + b)_c = Σ_i 1(y_i = c)      by      b_c <- b_c + η ( log L_c - log P_c )

L and P are running averages of the labelled and the given mass of the class. In the closed form of the label
confidence, b_y - b_c is T logit π. That b restores the posterior is exact where the logits are off by a constant a
class, a heuristic otherwise; the network's own output is left as it is.

The warm-up: how long training stays plain before labels are doubted.

It ends by the training curve's own slope: as soon as the mean loss of the last tenth of the training is no more than
`SLOPE` below that of the tenth before it. Where labels are good the loss goes on falling, and a network that is still
learning the easy part cannot tell hard from wrong; where labels contradict each other it soon stands still, and going
on would only learn them by heart. Looked at every twentieth of the training, from a fifth of it on. A heuristic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.distributed import all_reduce_sum
from .config import DaleConfig
from .memory import ema_update, fuzziness, instant_disagreement
from .paper_terms import FeatureAlignment, keep_class_mass, step_weights
from .quality import consistent_margin, label_confidence, label_margin

ALIGNED_VOXELS = 4096
"""Of a batch; means and spreads of so many voxels say the same as those of all."""
SETTLING = 0.1
"""Share of the training in which the statistics are gathered before they are used: ten times their memory, and more."""


@dataclass
class Batch:
    """What a step learns from; all (B, *grid) except image (B, C, *grid). valid is 0 in padding; seen: whether the
    disagreement says anything. `patches`: how many the whole batch has, where this is one rank's share of it."""

    image: Tensor
    label: Tensor
    trusted: Tensor
    valid: Tensor
    disagreement: Tensor
    seen: Tensor
    patches: int | None = None


@dataclass
class StepResult:
    loss: Tensor
    disagreement: Tensor | None
    """The next s of the batch's voxels, (B, *grid) float32; None where the loss keeps none."""
    fuzzy_share: float


class Objective:
    """The loss of every step of a training, from its first (share 0) to its last (share 1).

    settings None is plain training; its disagreement is kept all the same, because label confidence is of use there
    too. trusted_share is for fine-tuning, see `emphasise_trusted`.
    """

    def __init__(self, classes: int, settings: DaleConfig | None, trusted_share: float = 0.0) -> None:
        self.classes = classes
        self.trusted_share = trusted_share
        self.settings = settings
        self.memory = (settings or DaleConfig()).memory
        self.thresholds = torch.full((classes,), (settings or DaleConfig()).lowest_threshold)
        self.prior = ClassPrior(classes)
        self.warm_up = WarmUp(0.0 if settings is None else settings.warm_up)
        self.alignment = FeatureAlignment(classes)

    def __call__(self, batch: Batch, logits: Tensor, features: Tensor | None, step: int, share: float) -> StepResult:
        """step counts all steps so far (its parity is the phase); share is the part of the training done."""
        detached = logits.detach().float()
        judged = self.prior.judged(detached)
        posterior = judged.softmax(1)
        self.prior.observe(posterior, batch.label, batch.valid)
        margin = label_margin(judged, batch.label)
        now = instant_disagreement(posterior, batch.label, margin)
        s = ema_update(batch.disagreement, batch.seen, now, self.memory)
        settings = self.settings
        if settings is None or self.warm_up.lasts(share):
            ce = emphasise_trusted(batch.valid, batch.trusted, self.trusted_share)
            loss = weighted_dice_ce(logits, batch.label, ce, batch.valid, batch.valid)
            if settings is not None:
                self.warm_up.observe(float(loss.detach()))
            return StepResult(loss, s, 0.0)

        fuzzy_step = bool(step % 2) or not settings.alternates
        f = self._fuzziness(s, batch, settings)
        if settings.partition:
            w = self._confidence(margin, s, batch, settings) if fuzzy_step else None
            ce, dice = step_weights(f, w)
        else:  # no voxel is stable, and w alone weighs both losses
            ce = dice = self._confidence(margin, s, batch, settings)
        same = ce is dice
        ce = keep_class_mass(ce * batch.valid, batch.label, self.classes, batch.trusted)
        dice = ce if same else keep_class_mass(dice * batch.valid, batch.label, self.classes, batch.trusted)
        ce = emphasise_trusted(ce, batch.trusted, self.trusted_share)
        loss = weighted_dice_ce(logits, batch.label, ce, dice, batch.valid)
        if settings.alignment and features is not None:
            loss = loss + self._alignment(features, detached, f, batch, fuzzy_step, share, settings)
        fuzzy, voxels = all_reduce_sum((f * batch.valid).sum(), batch.valid.sum())
        return StepResult(loss, s, float(fuzzy / voxels.clamp_min(1)))

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that changes during a training, on the CPU."""
        state = {"thresholds": self.thresholds, "prior": self.prior.state, "warm_up": self.warm_up.state}
        alignment = self.alignment
        if alignment.mean is not None and alignment.std is not None:
            state |= {"mean": alignment.mean, "std": alignment.std}
        return {name: value.detach().cpu() for name, value in (state | {"aligned": alignment.seen}).items()}

    def load_state_dict(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        """Raises KeyError where something is missing."""
        self.thresholds, self.prior.state, self.warm_up.state = (state[n] for n in ("thresholds", "prior", "warm_up"))
        if "mean" in state:
            self.alignment.mean, self.alignment.std = state["mean"].to(device), state["std"].to(device)
        self.alignment.seen = state["aligned"].to(device)

    def _fuzziness(self, s: Tensor, batch: Batch, settings: DaleConfig) -> Tensor:
        if settings.partition:
            f = fuzziness(s, batch.label, self.thresholds.to(s.device), settings.sharpness)
        else:
            f = torch.ones_like(s)
        return f.masked_fill(batch.trusted, 0.0)

    @staticmethod
    def _confidence(margin: Tensor, s: Tensor, batch: Batch, settings: DaleConfig) -> Tensor:
        if not settings.confidence:
            return batch.trusted.float()
        consistent = consistent_margin(margin, s) if settings.consistency else margin
        w = label_confidence(consistent, temperature=settings.temperature)
        return w.masked_fill(batch.trusted, 1.0)

    def _alignment(
        self,
        features: Tensor,
        logits: Tensor,
        f: Tensor,
        batch: Batch,
        fuzzy_step: bool,
        share: float,
        settings: DaleConfig,
    ) -> Tensor:
        """Stable steps feed the statistics, fuzzy steps pay the distance, ramped in over the last part."""
        if share <= settings.alignment_start - SETTLING:
            return features.new_zeros(())
        grid = features.shape[2:]
        every = max(1, (batch.patches or features.shape[0]) * grid.numel() // ALIGNED_VOXELS)

        def drawn(values: Tensor) -> Tensor:
            """(N, C) of (B, C, *grid) values, on the features' grid."""
            return _at(values, grid).flatten(2)[:, :, ::every].movedim(1, -1).flatten(0, 1)

        fuzzy, inside, label = (
            drawn(values.unsqueeze(1)).squeeze(1) for values in (f > 0.5, batch.valid > 0, batch.label)
        )
        flat = drawn(features)
        if not fuzzy_step or not settings.alternates:
            self.alignment.observe(flat, label.long(), inside & ~fuzzy)
        if not fuzzy_step or share <= settings.alignment_start:
            return features.new_zeros(())
        ramp = (share - settings.alignment_start) / max(1.0 - settings.alignment_start, 1e-6)
        predicted = drawn(logits).argmax(1)
        return settings.alignment_weight * ramp * self.alignment.loss(flat, predicted, inside & fuzzy)


def _at(values: Tensor, grid: torch.Size) -> Tensor:
    """(B, C, *grid) values on the features' grid, which may be coarser than the logits'."""
    if values.shape[2:] == grid:
        return values
    return F.interpolate(values.float(), size=grid, mode="nearest-exact").to(values.dtype)


SMOOTH = 1e-5


def weighted_dice_ce(logits: Tensor, label: Tensor, ce_weights: Tensor, dice_weights: Tensor, valid: Tensor) -> Tensor:
    """A scalar. logits: (B, K, *grid); label, ω, δ: (B, *grid); valid: (B, *grid), 0 in padding."""
    logits, label = logits.float(), label.long()
    log_probability = F.log_softmax(logits, 1)
    index = label.unsqueeze(1)
    cross_entropy = -(ce_weights * valid * log_probability.gather(1, index).squeeze(1)).sum()
    probability = log_probability.exp()
    one_hot = torch.zeros_like(probability).scatter_(1, index, 1.0)
    axes = [0, *range(2, logits.ndim)]
    w = (dice_weights * valid).unsqueeze(1)
    overlap = (w * probability * one_hot).sum(axes)
    size = (w * (probability + one_hot)).sum(axes)
    cross_entropy, overlap, size, voxels = all_reduce_sum(cross_entropy, overlap, size, valid.sum())
    dice = (2 * overlap + SMOOTH) / (size + SMOOTH)
    return cross_entropy / voxels.clamp_min(1) + 1.0 - dice[1:].mean()


LARGEST_SCALE = 30.0


def emphasise_trusted(weights: Tensor, trusted: Tensor, share: float) -> Tensor:
    """Scale the weights of trusted voxels up to `share` of all weight in the batch; never down.

    weights: (B, *grid) ≥ 0; trusted: (B, *grid) bool; share in [0, 1). A few corrected voxels would otherwise be a
    thousandth of the loss. The scale is limited to LARGEST_SCALE. A heuristic.
    """
    if share <= 0:
        return weights
    inside, everywhere = all_reduce_sum(weights[trusted].sum(), weights.sum())
    outside = everywhere - inside
    scale = (share / (1.0 - share) * outside / inside.clamp_min(1e-6)).clamp(1.0, LARGEST_SCALE)
    return torch.where(trusted, weights * scale, weights)


LARGEST = 4.0
_FLOOR = 1e-4


class ClassPrior:
    """state: (3, K) float32: b, L and P; all 0 before the first batch."""

    def __init__(self, classes: int, rate: float = 0.1, memory: float = 0.95) -> None:
        self.rate = rate
        self.memory = memory
        self.state = torch.zeros(3, classes)

    def judged(self, logits: Tensor) -> Tensor:
        """z + b; logits: (B, K, *grid)."""
        offset = self.state[0].to(logits.device)
        return logits + offset.reshape(1, -1, *[1] * (logits.ndim - 2))

    def observe(self, posterior: Tensor, label: Tensor, valid: Tensor) -> None:
        """posterior: (B, K, *grid), softmax of what `judged` gives, without gradient; label, valid: (B, *grid), valid 0
        in padding."""
        given = (posterior * valid.unsqueeze(1)).sum([0, *range(2, posterior.ndim)])
        counted = torch.bincount(label.flatten(), valid.flatten(), minlength=posterior.shape[1])
        given, counted, voxels = all_reduce_sum(given, counted.to(given), valid.sum())
        fresh = torch.stack([counted, given]) / voxels.clamp_min(1.0)
        self.state = self.state.to(fresh.device)
        masses = self.state[1:]
        masses = torch.where(masses.any(), torch.lerp(fresh, masses, self.memory), fresh)
        labelled, predicted = masses.clamp_min(_FLOOR)
        offset = self.state[0] + self.rate * (labelled / predicted).log()
        offset = (offset - offset[0]).clamp(-LARGEST, LARGEST)  # a constant for all classes changes nothing
        self.state = torch.cat([offset[None], masses])


BLOCKS = 20
SLOPE = 0.05


class WarmUp:
    """longest: the share of the training after which it ends in any case; 0 is no warm-up."""

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self.over = False
        self.block = 0
        self.losses = torch.zeros(BLOCKS, 2)
        """Sum and number of the losses, a block each."""

    def lasts(self, share: float) -> bool:
        """Whether the step at this share of the training, in [0, 1], is still plain."""
        block = min(int(share * BLOCKS + 1e-9), BLOCKS - 1)
        if block > self.block:
            self.block = block
            self.over = self.over or self._stands_still()
        self.over = self.over or share >= self.longest
        return not self.over

    def observe(self, loss: float) -> None:
        """The loss of a step that `lasts` was asked about."""
        self.losses[self.block] += torch.tensor([loss, 1.0])

    def _stands_still(self) -> bool:
        ended = self.losses[: self.block]
        if len(ended) < 4:
            return False
        (before, steps), (now, steps_now) = ended[-4:-2].sum(0), ended[-2:].sum(0)
        return bool(steps > 0 and steps_now > 0 and now / steps_now > (1 - SLOPE) * before / steps)

    @property
    def state(self) -> Tensor:
        """(BLOCKS + 1, 2) float32, for a checkpoint."""
        return torch.cat([self.losses, torch.tensor([[float(self.over), float(self.block)]])])

    @state.setter
    def state(self, state: Tensor) -> None:
        self.losses = state[:-1].clone()
        self.over, self.block = bool(state[-1, 0]), int(state[-1, 1])
