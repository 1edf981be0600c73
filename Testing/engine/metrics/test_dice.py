"""Dice against sets of voxels, of any class values, as arrays and as tensors."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from DALESegmentLib.engine.metrics.segmentation import dice, mean_dice


def by_counting_pairs(a, b):
    scores = []
    for value in sorted({*a.ravel().tolist(), *b.ravel().tolist()} - {0}):
        mine, theirs = ({*np.flatnonzero(x == value).tolist()} for x in (a, b))
        scores.append(Fraction(2 * len(mine & theirs), len(mine) + len(theirs)))
    return float(sum(scores) / len(scores)) if scores else None


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([[0], [0, 1], [0, 1, 7], [0, 3, 40_000, 1_000_000]]), st.booleans())
def test_it_is_the_share_of_common_voxels(seed, values, tensors):
    rng = np.random.default_rng(seed)
    a, b = (rng.choice(values, (4, 5)) for _ in range(2))
    found = mean_dice(*(torch.from_numpy(x) if tensors else x for x in (a, b)))
    expected = by_counting_pairs(a, b)
    assert found is None if expected is None else found == pytest.approx(expected, abs=1e-15)


def test_two_empty_masks_have_none():
    assert dice(0, 0) is None
    assert dice(0, 3) == 0.0
    assert dice(3, 6) == 1.0
    assert mean_dice(np.zeros((2, 2), int), np.zeros((2, 2), int)) is None


def test_large_label_values_cost_nothing():
    label = np.zeros((4, 4), np.int64)
    label[1, 1] = 2_000_000_000
    assert mean_dice(label, label) == 1.0


def test_classes_are_counted_and_not_the_numbers_between_them():
    label = np.zeros((6, 6), np.uint64)
    label[:3], label[3:5] = 5, 2**60
    prediction = label.copy()
    prediction[3] = 7
    found = mean_dice(prediction, label)
    assert found == pytest.approx((1 + 2 * 6 / 18 + 0) / 3)


def test_tensors_of_different_types():
    label = torch.tensor([[0, 1, 2, 2]], dtype=torch.int16)
    assert mean_dice(label.to(torch.uint8), label) == 1.0
    assert mean_dice(torch.zeros_like(label), torch.zeros_like(label)) is None
    assert mean_dice(label == 1, label == 2) == 0.0
