"""Confident learning (Northcutt et al., JAIR 2021) for segmentation, by the library cleanlab.

A voxel's score is the probability p_y the model gives its label. With class thresholds t_c = mean of p_c over the
voxels labelled c, confident learning counts the voxels labelled i that exceed the threshold of another class j, and
calls as many of the lowest-scored voxels label issues (`cleanlab.segmentation.find_label_issues`).

After half of the steps the issues are found once and ignored for the rest. The probabilities are in-sample, by the
very network in training: out-of-sample ones would need as many more trainings as folds, which no other method gets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from DALESegmentLib.engine.learn.prepare import UNKNOWN
from DALESegmentLib.engine.learn.trainer import Trainer
from DALESegmentLib.engine.process.progress import Progress

from .baseline import Baseline


def label_quality(labels: Sequence[np.ndarray], probabilities: Sequence[np.ndarray]) -> list[np.ndarray]:
    """cleanlab's pixel score, (*grid) in [0, 1] a case. labels: (*grid) classes; probabilities: (K, *grid)."""
    from cleanlab.segmentation.rank import get_label_quality_scores

    scores = []
    for label, p in zip(labels, probabilities, strict=True):
        _, score = get_label_quality_scores(*_one_picture([label], [p]), verbose=False)
        scores.append(score.reshape(label.shape))
    return scores


def label_issues(labels: Sequence[np.ndarray], probabilities: Sequence[np.ndarray]) -> list[np.ndarray]:
    """(*grid) bool a case: what cleanlab calls wrong, judged over all cases together."""
    from cleanlab.segmentation.filter import find_label_issues

    found = find_label_issues(*_one_picture(labels, probabilities), n_jobs=1, verbose=False, downsample=1).ravel()
    ends = np.cumsum([label.size for label in labels])
    return [part.reshape(label.shape) for part, label in zip(np.split(found, ends[:-1]), labels, strict=True)]


def _one_picture(labels: Sequence[np.ndarray], probabilities: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All voxels as one picture of one row: cleanlab knows only 2D, but looks at each pixel by itself."""
    label = np.concatenate([np.asarray(a, int).ravel() for a in labels])
    p = np.concatenate([a.reshape(len(a), -1) for a in probabilities], axis=1)
    return label[None, None], p[None, :, None]


class CleanlabFilter(Baseline):
    def __init__(self, classes: int, epochs: int) -> None:
        super().__init__(classes)
        self.when = max(epochs // 2, 1)

    def after_epoch(self, trainer: Trainer) -> None:
        if len(trainer.history) != self.when:
            return
        cases = trainer.sampler.cases
        known = [case.label.numpy() != UNKNOWN for case in cases]
        # a case smaller than a patch was padded; what was added has no label to be judged
        p = [trainer.predictor.prepared_probabilities(case.image, Progress()).numpy() for case in cases]
        labels = [case.label.numpy()[k] for case, k in zip(cases, known, strict=True)]
        issues = label_issues(labels, [a[:, k] for a, k in zip(p, known, strict=True)])
        for case, inside, issue in zip(cases, known, issues, strict=True):
            wrong = np.zeros(inside.shape, bool)
            wrong[inside] = issue
            case.label[torch.from_numpy(wrong) & ~case.trusted] = UNKNOWN
