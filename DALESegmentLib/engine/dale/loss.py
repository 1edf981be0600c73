"""The loss of a training, `DaleLoss`: Dice + cross-entropy in which each voxel weighs as much as its label is trusted.

    CE   = Σ ω l / Σ valid
    Dice = 1 - mean_c ( 2 Σ δ p_c y_c + ε ) / ( Σ δ p_c + Σ δ y_c + ε ),   c = 1 .. K-1

ω and δ are the weights of a voxel, l = -log p_y is its cross-entropy. With all weights 1, which is plain training, this
is MONAI's DiceCELoss with `batch=True` and without the background in Dice. A training begins plain (`WarmUp`). After
that the weights follow from the partition (`partition`), the confidence of the label (`quality`) and the kind of step
(`paper_terms`), all judged by logits that are adjusted to the frequencies of the classes (`ClassPrior`). Voxels that a
reviewer confirmed or corrected keep their full weight.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.distributed import all_reduce_sum
from ..core.errors import EngineError
from .config import DaleConfig
from .label_memory import LabelMemory
from .paper_terms import FeatureAlignment, keep_class_mass, step_weights
from .partition import ema_update, fuzziness, instant_disagreement, near_outlines, threshold
from .patches import PatchLabels, unknown_class
from .quality import consistent_margin, label_confidence, label_margin

DEFAULT = DaleConfig()


class DaleLoss(nn.Module):
    """The loss of every step of a training.

        loss = loss_fn(network(images), memory.at(where), progress=step / steps)

    In training mode it writes the new disagreement back to the labels' memory, and counts its steps: stable and fuzzy
    ones in turn. In evaluation mode (`loss_fn.eval()`) it changes nothing. `state_dict` holds all that a resumed
    training needs beside the memory's. Once an epoch, `update_thresholds` fits the partition to the disagreement.

    In several processes (torch.distributed) each calls it in every step with its share of the batch and gets the loss
    of the whole one; where gradients are averaged, as by DistributedDataParallel, multiply it by their number.

    Args:
        num_classes: K, with background.
        config: the parts of DALE and their numbers; None is plain Dice + cross-entropy.
        reviewed_share: of fine-tuning, see `upweight_reviewed`.

    Attributes:
        fuzzy_share: of the voxels of the last step, the share that is fuzzy.
        steps: how many there were.
    """

    thresholds: Tensor

    def __init__(self, num_classes: int, config: DaleConfig | None = DEFAULT, reviewed_share: float = 0.0) -> None:
        super().__init__()
        if not isinstance(num_classes, int) or num_classes < 2:
            raise EngineError(
                "bad-shape", f"num_classes is {num_classes!r}; give a whole number from 2 on, with background."
            )
        if not isinstance(config, DaleConfig | None):
            raise EngineError("bad-shape", f"config is {config!r}; give a DaleConfig, or None for plain training.")
        self.num_classes = num_classes
        self.config = config
        self.reviewed_share = reviewed_share
        numbers = config or DEFAULT
        self.register_buffer("thresholds", torch.full((num_classes,), numbers.lowest_threshold))
        self.prior = ClassPrior(num_classes, numbers)
        self.warm_up = WarmUp(0.0 if config is None else config.warm_up, numbers)
        self.alignment = FeatureAlignment(num_classes, numbers)
        self.steps = 0
        self.fuzzy_share: Tensor | float = 0.0

    def forward(self, logits: Tensor, labels: PatchLabels, progress: float, features: Tensor | None = None) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            logits: (B, K, *patch), 2D or 3D.
            labels: of the same patches, as `LabelMemory.at` gives them.
            progress: the share of the training that is done, from 0 to 1.
            features: (B, F, *coarser) of the network, for the alignment; without them there is none.

        Raises:
            EngineError: "bad-shape" or "unknown-class".
        """
        self._check(logits, labels, progress)
        logits = logits.float()
        detached = logits.detach()
        adjusted = self.prior.adjusted(detached)
        posterior = adjusted.softmax(1)
        if self.training:
            self.prior.observe(posterior, labels.target, labels.valid)
        margin = label_margin(adjusted, labels.target)
        now = instant_disagreement(posterior, labels.target, margin)
        s = ema_update(labels.disagreement, labels.seen, now, (self.config or DEFAULT).memory)
        if self.config is None or self._is_warming_up(progress):
            loss = self._plain(logits, labels)
        else:
            loss = self._weighted(logits, labels, self.config, margin, s, progress, features)
        if self.training:
            self.steps += 1
            labels.record(s)
        return loss

    @torch.no_grad()
    def update_thresholds(self, memory: LabelMemory) -> None:
        """Fit the partition to the disagreement as it is now; in several processes all call it together. Raises
        EngineError("unknown-class")."""
        if self.config is not None and self.config.partition:
            samples = memory.disagreement_by_class(self.num_classes)
            self.thresholds.copy_(torch.tensor([threshold(sample, self.config) for sample in samples]))

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.steps)

    def set_extra_state(self, state: Tensor) -> None:
        self.steps = int(state)

    def _check(self, logits: Tensor, labels: PatchLabels, progress: float) -> None:
        if not isinstance(logits, Tensor) or not isinstance(labels, PatchLabels):
            raise EngineError(
                "bad-shape",
                f"The loss was called with a {type(logits).__name__} and a {type(labels).__name__}; give the network's "
                "output as one tensor, and the labels that memory.at(where) gives.",
            )
        if not isinstance(progress, (int, float)) or not 0 <= progress < 2:  # a few steps too many do no harm
            raise EngineError(
                "bad-shape", f"progress is {progress!r}; give the share of the training that is done, from 0 to 1."
            )
        batch, *grid = labels.target.shape
        if tuple(logits.shape) != (batch, self.num_classes, *grid):
            raise EngineError(
                "bad-shape",
                f"The logits have the shape {tuple(logits.shape)}; for these labels and {self.num_classes} classes the "
                f"network must give {(batch, self.num_classes, *grid)}.",
            )
        if labels.classes > self.num_classes:
            raise unknown_class("a case of this batch", labels.classes - 1, self.num_classes)

    def _is_warming_up(self, progress: float) -> bool:
        return self.warm_up.lasts(progress) if self.training else not self.warm_up.over

    def _plain(self, logits: Tensor, labels: PatchLabels) -> Tensor:
        ce = self._upweighted(labels.valid, labels)
        loss = weighted_dice_ce(logits, labels.target, ce, labels.valid, labels.valid)
        if self.config is not None and self.training:
            self.warm_up.observe(loss.detach())
        self.fuzzy_share = 0.0
        return loss

    def _weighted(
        self,
        logits: Tensor,
        labels: PatchLabels,
        config: DaleConfig,
        margin: Tensor,
        s: Tensor,
        progress: float,
        features: Tensor | None,
    ) -> Tensor:
        is_fuzzy_step = bool(self.steps % 2) or not config.alternates
        f = self._fuzziness(s, labels, config)
        if config.partition:
            w = self._confidence(margin, s, labels, config) if is_fuzzy_step else None
            ce, dice = step_weights(f, w)
        else:  # no voxel is stable, and w alone weighs both losses
            ce = dice = self._confidence(margin, s, labels, config)
        same = ce is dice
        kept = (labels.target, self.num_classes, labels.reviewed, config.max_class_scale)
        ce = keep_class_mass(ce * labels.valid, *kept)
        dice = ce if same else keep_class_mass(dice * labels.valid, *kept)
        ce = self._upweighted(ce, labels)
        loss = weighted_dice_ce(logits, labels.target, ce, dice, labels.valid)
        if config.alignment and features is not None:
            is_stable_step = not is_fuzzy_step or not config.alternates
            steps = (is_stable_step, is_fuzzy_step)
            loss = loss + self.alignment(features, logits.detach(), labels, f > 0.5, *steps, progress)
        fuzzy, voxels = all_reduce_sum((f * labels.valid).sum(), labels.valid.sum())
        self.fuzzy_share = fuzzy / voxels.clamp_min(1)
        return loss

    def _upweighted(self, weights: Tensor, labels: PatchLabels) -> Tensor:
        largest = (self.config or DEFAULT).max_reviewed_scale
        return upweight_reviewed(weights, labels.reviewed, self.reviewed_share, largest)

    def _fuzziness(self, s: Tensor, labels: PatchLabels, config: DaleConfig) -> Tensor:
        if config.partition:
            f = fuzziness(s, labels.target, self.thresholds.to(s.device), config.sharpness)
            near = near_outlines(labels.target, config.fuzzy_reach)
            if labels.unlabelled is not None:  # where somebody may have overlooked what is there
                near = near | labels.unlabelled.view(-1, *[1] * (near.ndim - 1))
            f = f * near
        else:
            f = torch.ones_like(s)
        return f.masked_fill(labels.reviewed, 0.0)

    @staticmethod
    def _confidence(margin: Tensor, s: Tensor, labels: PatchLabels, config: DaleConfig) -> Tensor:
        if not config.confidence:
            return labels.reviewed.float()
        consistent = consistent_margin(margin, s) if config.consistency else margin
        w = label_confidence(consistent, temperature=config.temperature)
        return w.masked_fill(labels.reviewed, 1.0)


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


def upweight_reviewed(
    weights: Tensor, reviewed: Tensor, share: float, max_scale: float = DEFAULT.max_reviewed_scale
) -> Tensor:
    """Scale the weights of reviewed voxels up to `share` of all weight in the batch; never down.

    weights: (B, *grid) ≥ 0; reviewed: (B, *grid) bool; share in [0, 1). A few corrected voxels would otherwise be a
    thousandth of the loss, outvoted by the many that nobody looked at. The scale is at most `max_scale`. A
    heuristic.
    """
    if share <= 0:
        return weights
    inside, everywhere = all_reduce_sum(weights[reviewed].sum(), weights.sum())
    outside = everywhere - inside
    scale = (share / (1.0 - share) * outside / inside.clamp_min(1e-6)).clamp(1.0, max_scale)
    return torch.where(reviewed, weights * scale, weights)


_FLOOR = 1e-4


class ClassPrior(nn.Module):
    """What to add to the logits so that the network predicts each class as often as the annotators drew it.

    Soft Dice is at its best not where the posterior is split at ½ but at half the Dice that can be reached (Lipton et
    al. 2014 for F1). With noisy labels that is far below ½: the network draws too large, and judged by its raw logits,
    labels would look wrong on one side of the outline. So labels are judged by z + b, with b solved along the way for

        Σ_i softmax(z_i + b)_c = Σ_i 1(y_i = c)      by      b_c <- b_c + η ( log L_c - log P_c )

    L and P are running averages of the labelled and the predicted mass of the class. In the closed form of the label
    confidence, b_y - b_c is T logit π. That b restores the posterior is exact where the logits are off by a constant a
    class, a heuristic otherwise; the network's own output is left as it is.

    state: (3, K) float32: b, L and P; all 0 before the first batch.
    """

    state: Tensor

    def __init__(self, num_classes: int, config: DaleConfig = DEFAULT) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("state", torch.zeros(3, num_classes))

    def adjusted(self, logits: Tensor) -> Tensor:
        """z + b; logits: (B, K, *grid)."""
        offset = self.state[0].to(logits.device)
        return logits + offset.reshape(1, -1, *[1] * (logits.ndim - 2))

    def observe(self, posterior: Tensor, label: Tensor, valid: Tensor) -> None:
        """posterior: (B, K, *grid), softmax of what `adjusted` gives, without gradient; label, valid: (B, *grid), valid
        0 in padding."""
        predicted = (posterior * valid.unsqueeze(1)).sum([0, *range(2, posterior.ndim)])
        labelled = torch.bincount(label.flatten(), valid.flatten(), minlength=posterior.shape[1])
        predicted, labelled, voxels = all_reduce_sum(predicted, labelled.to(predicted), valid.sum())
        fresh = torch.stack([labelled, predicted]) / voxels.clamp_min(1.0)
        state = self.state.to(fresh.device)
        masses = state[1:]
        masses = torch.where(masses.any(), torch.lerp(fresh, masses, self.config.prior_memory), fresh)
        labelled, predicted = masses.clamp_min(_FLOOR)
        offset = state[0] + self.config.prior_rate * (labelled / predicted).log()
        largest = self.config.max_prior_offset
        offset = (offset - offset[0]).clamp(-largest, largest)  # a constant for all classes changes nothing
        self.state = torch.cat([offset[None], masses])


class WarmUp(nn.Module):
    """How long a training stays plain before labels are doubted.

    The warm-up ends by the training curve's own slope: as soon as the mean loss of the last tenth of the training is no
    more than `warm_up_slope` below that of the tenth before it. Where labels are good the loss goes on falling, and a
    network that is still learning the easy part cannot tell hard from wrong; where labels contradict each other it soon
    stands still, and going on would only learn them by heart. The curve is looked at every twentieth of the training
    (`warm_up_blocks`), from a fifth of it on. A heuristic.

    longest: the share of the training after which it ends in any case; 0 is no warm-up. losses: (blocks, 2), the sum
    and number of the losses in each twentieth.
    """

    losses: Tensor

    def __init__(self, longest: float, config: DaleConfig = DEFAULT) -> None:
        super().__init__()
        self.longest = longest
        self.config = config
        self.over = False
        self.block = 0
        self.register_buffer("losses", torch.zeros(config.warm_up_blocks, 2))

    def lasts(self, progress: float) -> bool:
        """Whether the step at this share of the training, in [0, 1], is still plain."""
        blocks = self.config.warm_up_blocks
        block = min(int(progress * blocks + 1e-9), blocks - 1)
        if block > self.block:
            self.block = block
            self.over = self.over or self._stands_still()
        self.over = self.over or progress >= self.longest
        return not self.over

    def observe(self, loss: Tensor | float) -> None:
        """The loss of a step that `lasts` was asked about."""
        self.losses[self.block, 0] += loss.to(self.losses.device) if isinstance(loss, Tensor) else loss
        self.losses[self.block, 1] += 1.0

    def get_extra_state(self) -> Tensor:
        return torch.tensor([int(self.over), self.block])

    def set_extra_state(self, state: Tensor) -> None:
        self.over, self.block = bool(state[0]), int(state[1])

    def _stands_still(self) -> bool:
        ended = self.losses[: self.block]
        if len(ended) < 4:
            return False
        (before, steps), (now, steps_now) = ended[-4:-2].sum(0), ended[-2:].sum(0)
        return bool(steps > 0 and steps_now > 0 and now / steps_now > (1 - self.config.warm_up_slope) * before / steps)
