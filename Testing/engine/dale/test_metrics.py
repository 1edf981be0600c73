"""The metrics of label quality over several images, against brute force over all their voxels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from DALESegmentLib.engine.dale.metrics import CalibrationError, LabelErrorAUROC

SPACING = (2.0, 1.0, 1.0)


@pytest.fixture
def images():
    """Three images of other sizes, whose quality says something about their wrong labels."""
    random = np.random.default_rng(5)
    made = []
    for depth in (4, 5, 6):
        reference = ndimage.gaussian_filter(random.normal(size=(depth, 14, 12)), 2) > 0
        label = np.where(random.random(reference.shape) < 0.15, ~reference, reference).astype(np.int16)
        quality = np.clip(0.3 + 0.3 * (label == reference) + 0.4 * random.random(label.shape), 0, 1)
        made.append((quality, label, reference.astype(np.int16)))
    return made


def by_pairs(quality, wrong):
    gap = quality[wrong][:, None].astype(np.float32) - quality[~wrong].astype(np.float32)
    return ((gap < 0) + 0.5 * (gap == 0)).mean()


def joined(images):
    quality, wrong = zip(*((q.ravel(), (label != r).ravel()) for q, label, r in images), strict=True)
    return np.concatenate(quality), np.concatenate(wrong)


def test_the_auroc_is_that_of_all_voxels_together(images):
    metric = LabelErrorAUROC()
    for image in images:
        metric.update(*image)
    assert metric.compute() == pytest.approx(by_pairs(*joined(images)))
    metric.reset()
    metric.update(*images[0])
    assert metric.compute() == pytest.approx(by_pairs(*joined(images[:1])))


def test_within_mm_counts_what_lies_near_an_outline():
    """One row of voxels 1 mm long; the outline lies between the tenth and the eleventh."""
    label = np.zeros((1, 20), np.int16)
    label[0, :10] = 1
    reference, quality = label.copy(), np.full(label.shape, 0.9)
    reference[0, [11, 19]] = 1
    quality[0, 11] = 0.1  # the wrong voxel near the outline is found, the one far from it is not
    metric, all_of_it = LabelErrorAUROC(within_mm=3.0), LabelErrorAUROC()
    metric.update(quality, label, reference, spacing=(1.0, 1.0))
    all_of_it.update(quality, label, reference)
    assert metric.compute() == 1.0
    assert all_of_it.compute() == pytest.approx(0.75)
    metric.update(np.full(label.shape, 0.9), label, label, spacing=(1.0, 9.0))  # nothing lies within 3 mm there
    assert metric.compute() == 1.0


def test_the_calibration_error_is_that_of_all_voxels_together(images):
    metric = CalibrationError()
    for image in images:
        metric.update(*image)
    quality, wrong = joined(images)
    expected, edges = 0.0, np.linspace(0, 1, 11)
    for low, high in pairwise(edges):
        inside = (quality >= low) & ((quality < high) | (high == 1))
        if inside.any():
            expected += inside.mean() * abs(quality[inside].mean() - (~wrong[inside]).mean())
    assert metric.compute() == pytest.approx(expected, abs=1e-6)
    assert sum(one["voxels"] for one in metric.bins()) == len(wrong)
    metric.reset()
    assert metric.compute() is None


def test_what_is_undefined_is_none(images):
    quality, label, _ = images[0]
    metric = LabelErrorAUROC()
    assert metric.compute() is None
    metric.update(quality, label, label)
    assert metric.compute() is None


def test_what_does_not_fit_is_refused(images):
    quality, label, reference = images[0]
    for metric in (LabelErrorAUROC(), CalibrationError()):
        with pytest.raises(ValueError, match="quality has the shape"):
            metric.update(quality[1:], label, reference)
        with pytest.raises(ValueError, match="reference has the shape"):
            metric.update(quality, label, reference[1:])
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            metric.update(quality + 1, label, reference)
    with pytest.raises(ValueError, match="within_mm needs spacing"):
        LabelErrorAUROC(within_mm=2.0).update(quality, label, reference)
    with pytest.raises(ValueError, match="within_mm is 0"):
        LabelErrorAUROC(within_mm=0)
