"""Confident learning (Northcutt et al., JAIR 2021) for segmentation, by the library cleanlab.

A voxel's score is the probability p_y the model gives its label. With class thresholds t_c = mean of p_c over the
voxels labelled c, confident learning counts the voxels labelled i that exceed the threshold of another class j, and
calls as many of the lowest-scored voxels label issues (`cleanlab.segmentation.find_label_issues`).

After half of the steps the issues are found once and ignored for the rest. The probabilities are in-sample, by the
very network in training: out-of-sample ones would need as many more trainings as folds, which no other method gets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from DALESegmentLib.engine.dale.correctors.base import LabelledImage, Predictions
from DALESegmentLib.engine.dale.label_state import IGNORED, NO_PROPOSAL


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
    """All voxels as one picture of one row: cleanlab knows only 2D, but takes each pixel by itself."""
    label = np.concatenate([np.asarray(a, int).ravel() for a in labels])
    p = np.concatenate([a.reshape(len(a), -1) for a in probabilities], axis=1)
    return label[None, None], p[None, :, None]


class CleanlabFilter:
    """Ignores the issues of all cases. A label corrector; fit once."""

    name = "cleanlab"
    is_active = True

    def __init__(self) -> None:
        self.issues: dict[str, np.ndarray] = {}

    def fit(self, cases: Iterable[LabelledImage], predictions: Predictions) -> None:
        every = list(cases)
        p = [predictions.probabilities(case) for case in every]
        issues = label_issues([case.labels.target().numpy() for case in every], p)
        self.issues = {case.name: issue for case, issue in zip(every, issues, strict=True)}

    def propose(self, case: LabelledImage, predictions: Predictions) -> np.ndarray:
        return np.where(self.issues[case.name], np.int16(IGNORED), np.int16(NO_PROPOSAL))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
