"""The score of a model on the cases it does not learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..distributed.ranks import Ranks
from ..measure.overlap import mean_dice
from ..process.progress import Progress
from .predictor import Predictor
from .prepare import PreparedCase


def validation_dice(
    cases: Sequence[PreparedCase], predictor: Predictor, progress: Progress, ranks: Ranks | None = None
) -> float | None:
    """Mean Dice over classes and cases against their given labels; None without such cases. cases: the rank's own; the
    mean is that of all."""
    scores = []
    for case in cases:
        progress.check()
        scores.append(mean_dice(predictor.prepared_classes(case.image, progress), case.labels.target()))
    scores = (ranks or Ranks()).together(scores)
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None
