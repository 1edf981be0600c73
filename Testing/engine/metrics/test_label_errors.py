"""Ranking and calibration of confidence against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.dale.metrics import auroc, average_precision
from DALESegmentLib.engine.metrics.label_errors import (
    error_sample,
    label_error_scores,
    pooled,
    review_value,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40))
def test_ranking_scores_match_brute_force(pairs):
    score = np.array([s for s, _ in pairs], float)
    positive = np.array([p for _, p in pairs])
    if positive.all() or not positive.any():
        assert auroc(score, positive) is None
        assert average_precision(score, positive) is None
        return
    against = score[positive][:, None] - score[~positive][None]
    assert auroc(score, positive) == pytest.approx(((against > 0) + 0.5 * (against == 0)).mean())
    area, before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        taken = score >= threshold
        recall = positive[taken].sum() / positive.sum()
        area += (recall - before) * positive[taken].mean()
        before = recall
    assert average_precision(score, positive) == pytest.approx(area)


def test_calibration_by_hand():
    label = np.zeros((1, 8), int)
    reference = np.array([[0, 0, 0, 1, 1, 1, 1, 1]])
    confidence = np.array([[0.95, 0.95, 0.95, 0.95, 0.05, 0.05, 0.05, 1.0]])
    result = label_error_scores(label, reference, confidence, (1, 1))["overall"]
    assert result["prevalence"] == 5 / 8
    top, bottom = result["reliability"][9], result["reliability"][0]
    assert (top["voxels"], top["right"]) == (5, 3 / 5)
    assert top["confidence"] == pytest.approx(0.96)
    assert (bottom["voxels"], bottom["right"], bottom["from"], bottom["to"]) == (3, 0.0, 0.0, 0.1)
    assert result["reliability"][4] == {
        "from": 0.4,
        "to": 0.5,
        "voxels": 0,
        "confidence": None,
        "right": None,
    }
    assert result["ece"] == pytest.approx((5 * 0.36 + 3 * 0.05) / 8)


def test_the_band_is_measured_in_mm_along_the_right_axis():
    label = np.zeros((21, 21), int)
    label[10, 10] = 1
    result = label_error_scores(label, label, np.ones(label.shape), (2.0, 1.0), band_mm=2.0)
    # in reach of one voxel's outline: two to each side along i (1 mm), one along j (2 mm), its corners, and itself
    assert result["band"]["voxels"] == 11
    assert result["overall"]["voxels"] == 441


def test_undefined_scores_are_none():
    label = np.zeros((5, 5), int)
    result = label_error_scores(label, label, np.ones((5, 5)), (1, 1))
    assert result["overall"]["auroc"] is None
    assert result["overall"]["auprc"] is None
    assert result["overall"]["ece"] == 0.0
    assert result["band"]["voxels"] == 0
    assert result["band"]["ece"] is None
    with pytest.raises(EngineError, match="grid"):
        label_error_scores(label, label, np.ones((5, 4)), (1, 1))


def test_pooling_is_scoring_everything_at_once():
    rng = np.random.default_rng(3)
    label, reference = rng.integers(0, 2, (2, 40, 40))
    confidence = np.where(label == reference, 0.7, 0.4) + 0.3 * rng.random(label.shape)
    whole = label_error_scores(label, reference, confidence, (1, 1))["overall"]
    halves = [
        error_sample(label[part], reference[part], confidence[part], (1, 1)) for part in (slice(0, 13), slice(13, 40))
    ]
    together = pooled(halves)["overall"]
    assert {k: together[k] for k in ("voxels", "auroc", "auprc", "ece")} == pytest.approx(
        {k: whole[k] for k in ("voxels", "auroc", "auprc", "ece")}
    )
    drawn = pooled(halves, limit=800, seed=1)["overall"]
    assert 650 < drawn["voxels"] < 950
    assert drawn["auroc"] == pytest.approx(whole["auroc"], abs=0.05)
    assert pooled(halves, limit=800, seed=1)["overall"] == drawn


def test_review_value_by_hand():
    region_map = np.zeros((10, 10), np.int32)
    region_map[0, :5], region_map[1, :10] = 1, 2
    wrong = np.zeros((10, 10), bool)
    wrong[0, :4], wrong[1, 0], wrong[9, 5:] = True, True, True
    value = review_value(region_map, [1, 2], wrong)
    assert value["reviewed"] == [5, 15]
    assert value["found"] == [0.4, 0.5]
    assert value["random"] == [0.05, 0.15]
    assert value["gain"] == pytest.approx(0.5 / 0.15)
    upper = np.zeros((10, 10), bool)
    upper[:2] = True
    within = review_value(region_map, [1, 2], wrong, within=upper)
    assert within["random"] == pytest.approx([0.25 * 0.5, 0.75 * 0.5])
    assert review_value(region_map, [1], np.zeros((10, 10), bool))["gain"] is None
    assert review_value(region_map, [], wrong)["found"] is None
