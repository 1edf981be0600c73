"""Volumes that are too large after training on noisy labels, put right by one offset of the logits.

Trained with soft Dice, a network draws too large where labels are noisy (Nordström et al., arXiv 2206.06484): the less
sure it is of an outline, the wider. At the end of a training the sizes that it draws in the training cases are compared
with those that are labelled. Where they are clearly larger (Wilcoxon's signed-rank test over the cases), an offset
between the background and all other classes would make the median size right. Half of it is taken, and no more than
`volume_max_offset`, as part of the network's last layer, so that whoever runs the model has it, too. A heuristic: it
takes the labels' errors to cancel out over the cases, which those of an annotator who always draws too small do not,
nor those that happen to be small in a few cases; and a network that has learned its training cases by heart draws them
as they are labelled, and other cases too large all the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import stats

from ..dale.config import DaleConfig
from ..planning.networks import add_to_logits
from .callbacks import Callback
from .validation import Predicted, evaluation_windows, predicted

if TYPE_CHECKING:
    from .trainer import Trainer


@dataclass(frozen=True)
class VolumeOffset:
    """offset: added to the logits of all classes but the background; ratio: of the drawn volume to the labelled one
    before, the median over the cases."""

    offset: float
    ratio: float

    def __str__(self) -> str:
        return (
            f"Volume calibrated: the network drew {self.ratio:.2f} times as large as the labels are (median); its "
            f"logits were shifted by {self.offset:+.2f}."
        )


class VolumeCalibration(Callback):
    """Calibrates the network after its last epoch, see above. found: None where sizes were not clearly too large."""

    name = "volume_calibration"

    def __init__(self, config: DaleConfig) -> None:
        self.config = config
        self.found: VolumeOffset | None = None

    def on_epoch_end(self, trainer: Trainer) -> None:
        ended = len(trainer.history) == trainer.settings.epochs or trainer.should_stop
        if not ended or trainer.starts_over or trainer.loss.config is None:
            return
        windows = evaluation_windows(trainer.sampler, self.config.cross_fitting_config)
        own = [predicted(trainer.network, of_case, trainer.device) for of_case in windows]
        found = volume_offset(trainer.ranks.all_gather(own), self.config)
        if found is not None and _shift(trainer, found.offset):
            self.found = found

    def state_dict(self) -> dict[str, Any]:
        return {"found": None if self.found is None else asdict(self.found)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.found = None if state["found"] is None else VolumeOffset(**state["found"])


def volume_offset(cases: list[Predicted], config: DaleConfig) -> VolumeOffset | None:
    """None where there are too few cases with something labelled, or these are not clearly drawn too large."""
    labelled = [case for case in cases if case.given.sum()]
    if len(labelled) < config.cross_fitting_config.min_cases:
        return None
    growth = np.log([max(case.drawn(0.0), 1) / case.given.sum() for case in labelled])
    ratio = float(np.exp(np.median(growth)))
    if ratio <= config.volume_target or not growth.any():
        return None
    if stats.wilcoxon(growth, alternative="greater", zero_method="zsplit").pvalue >= config.volume_level:
        return None
    offsets = [offset for case in labelled if (offset := case.offset(config.volume_target)) is not None]
    middle = config.volume_share * float(np.median(offsets))
    return VolumeOffset(max(middle, -config.volume_max_offset), ratio) if middle < 0 else None


@torch.no_grad()
def _shift(trainer: Trainer, offset: float) -> bool:
    """Whether the network could be changed."""
    patch = torch.randn((1, trainer.plan.channels, *trainer.plan.network_patch), device=trainer.device)
    offsets = torch.full((trainer.plan.classes,), offset, device=trainer.device)
    offsets[0] = 0.0
    was = trainer.network.training
    trainer.network.eval()
    done = add_to_logits(trainer.network, offsets, lambda: trainer.network(patch))
    trainer.network.train(was)
    return done
