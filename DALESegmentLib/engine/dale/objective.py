"""One training step's loss: DALE's parts put together, or plain Dice + cross-entropy through the same path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..distributed.totals import over_ranks
from .alignment import FeatureAlignment
from .alternation import keep_class_mass, step_weights
from .class_prior import ClassPrior
from .confidence import consistent_margin, label_confidence, label_margin
from .config import DaleConfig
from .disagreement import ema_update, instant_disagreement
from .partition import fuzziness
from .trusted import emphasise_trusted
from .warm_up import WarmUp
from .weighted_loss import weighted_dice_ce

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
        fuzzy, voxels = over_ranks((f * batch.valid).sum(), batch.valid.sum())
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
