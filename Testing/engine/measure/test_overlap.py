"""Dice over the classes that there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.measure.overlap import mean_dice


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
