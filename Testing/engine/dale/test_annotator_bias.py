"""A bias that reviewed voxels show is undone elsewhere, and only where nearly all of them show it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.dale.correctors.annotator_bias import (
    AnnotatorBias,
    Bias,
    ReviewedLabel,
    apply_bias,
    contour_shifts,
    estimate_bias,
)
from DALESegmentLib.engine.dale.label_state import LabelState
from DALESegmentLib.engine.metrics.segmentation import mean_dice

SPACING = (1.0, 1.0)


def disc(radius: float, size: int = 64) -> np.ndarray:
    i, j = np.indices((size, size)) - size / 2
    return (np.hypot(i, j) < radius).astype(np.int16)


def a_review(truth: np.ndarray, given: np.ndarray, sampling=SPACING, first: int = 40) -> ReviewedLabel:
    """The part beyond row `first` was looked at and corrected."""
    trusted = np.zeros(truth.shape, bool)
    trusted[first:] = True
    return ReviewedLabel(given, np.where(trusted, truth, given), trusted, sampling)


def many(mm_of, places: int = 20) -> list[ReviewedLabel]:
    """Discs, the n-th drawn too large by mm_of(n) all round, too small where negative."""
    return [a_review(disc(r), disc(r + mm_of(n))) for n, r in enumerate(np.linspace(14, 20, places))]


@pytest.mark.parametrize("mm", [3.0, -3.0])
def test_a_bias_one_way_is_undone_where_nobody_looked(mm):
    reviews = many(lambda n: mm)
    bias = estimate_bias(reviews)
    assert bias is not None
    assert (bias.unit, bias.places, bias.agreeing) == ("mm", 20, 20)
    assert bias.offset == pytest.approx(-mm, abs=0.75)
    assert ("large" if mm > 0 else "small") in bias.describe()
    for review, radius in zip(reviews, np.linspace(14, 20, 20), strict=True):
        better = apply_bias(review.now, bias, SPACING, review.reviewed)
        assert mean_dice(better, disc(radius)) > 0.96
        assert np.array_equal(better[review.reviewed], review.now[review.reviewed])


def test_an_error_in_proportion_to_the_object_is_told_from_one_in_mm():
    reviews = [a_review(disc(r), disc(1.3 * r), first=42) for r in np.linspace(8, 20, 20)]
    bias = estimate_bias(reviews)
    assert bias is not None
    assert bias.unit == "radius"
    assert bias.offset == pytest.approx(-0.3 / 1.3, abs=0.07)  # of the radius as drawn


@pytest.mark.parametrize(
    "mm_of",
    [
        lambda n: 3.0 if n % 2 else -3.0,
        lambda n: 3.0 if n % 4 else -3.0,
        lambda n: 3.0 if n % 3 else 0.0,  # confirmed as drawn
        lambda n: 0.0,
    ],
)
def test_places_that_do_not_agree_say_nothing(mm_of):
    assert estimate_bias(many(mm_of)) is None


def test_few_places_say_nothing():
    assert estimate_bias([]) is None
    assert estimate_bias(many(lambda n: 3.0, places=13)) is None
    assert estimate_bias(many(lambda n: 3.0, places=14)) is not None


def test_objects_that_were_missed_or_invented_are_no_evidence_of_an_outline():
    truth, nothing = disc(15), np.zeros((64, 64), np.int16)
    everywhere = np.ones(truth.shape, bool)
    missed = ReviewedLabel(nothing, truth, everywhere, SPACING)
    whole = ReviewedLabel(truth, nothing, truth > 0, SPACING)
    assert not [*contour_shifts(missed)]
    assert not [*contour_shifts(whole)]


def test_millimetres_are_measured_along_every_axis():
    sampling = (3.0, 1.0)
    i, j = (np.indices((40, 90)) - np.array([20, 45]).reshape(2, 1, 1)) * np.array(sampling).reshape(2, 1, 1)
    truth, given = ((np.hypot(i, j) < radius).astype(np.int16) for radius in (30, 34))
    bias = estimate_bias([a_review(truth, given, sampling, first=24)] * 20)
    assert bias is not None
    assert bias.offset == pytest.approx(-4.0, abs=1.0)
    better = apply_bias(given, bias, sampling, np.zeros(truth.shape, bool))
    assert mean_dice(better, truth) > 0.95


@pytest.mark.parametrize("mm", [-3.0, 3.0])
def test_an_outline_is_moved_across_thick_slices(mm):
    label = np.zeros((12, 30, 30), np.int16)
    label[4:8, 3:27, 3:27] = 1
    moved = apply_bias(label, Bias(mm, "mm", 20, 20), (5.0, 1.0, 1.0), np.zeros(label.shape, bool))
    assert np.flatnonzero(moved[:, 15, 15]).tolist() == ([3, 4, 5, 6, 7, 8] if mm > 0 else [5, 6])


def test_no_object_vanishes_and_no_class_grows_into_another():
    label = disc(15)
    label[:4, :4] = 1  # far smaller than the offset
    label[32:, :][label[32:, :] == 1] = 2
    untrusted = np.zeros(label.shape, bool)
    small = apply_bias(label, Bias(-5.0, "mm", 20, 20), SPACING, untrusted)
    assert small[:4, :4].any()
    assert set(np.unique(small)) == {0, 1, 2}
    large = apply_bias(label, Bias(3.0, "mm", 20, 20), SPACING, untrusted)
    assert np.array_equal(large[label > 0], label[label > 0])
    assert ((large > 0) & (label == 0)).any()


def test_a_label_without_background_is_left_as_it_is():
    full = np.ones((8, 8), np.int16)
    assert np.array_equal(apply_bias(full, Bias(-2.0, "mm", 20, 20), SPACING, np.zeros(full.shape, bool)), full)


@dataclass
class Reviewed2D:
    name: str
    labels: LabelState
    image: torch.Tensor = field(default_factory=lambda: torch.zeros(1))
    spacing: tuple[float, ...] = SPACING


def labelled(name: str, review: ReviewedLabel) -> Reviewed2D:
    return Reviewed2D(name, LabelState(torch.from_numpy(review.now.copy()), torch.from_numpy(review.reviewed)))


def test_cases_nobody_reviewed_are_corrected_too():
    reviews = many(lambda n: 3.0)
    cases = [labelled(str(n), review) for n, review in enumerate(reviews)]
    truth = disc(17)
    nobody = replace(reviews[0], now=disc(20), reviewed=np.zeros(truth.shape, bool))
    cases.append(labelled("not reviewed", nobody))
    corrector = AnnotatorBias()
    corrector.fit(cases)
    assert corrector.bias is None  # what was there before is not known
    assert corrector.propose(cases[-1]) is None
    for case, review in zip(cases, reviews, strict=False):
        case.labels.restore_given(torch.from_numpy(review.given))
    corrector.fit(cases)
    assert corrector.bias is not None
    again = AnnotatorBias()
    again.load_state_dict(json.loads(json.dumps(corrector.state_dict())))
    for case in cases:
        assert case.labels.set_proposal("annotator_bias", again.propose(case)) > 0
    last = cases[-1].labels
    assert last.target().dtype == torch.int16
    assert mean_dice(last.target().numpy(), truth) > 0.96
    assert np.array_equal(last.given.numpy(), nobody.now)
    for case, review in zip(cases, reviews, strict=False):
        assert np.array_equal(case.labels.target().numpy()[review.reviewed], review.now[review.reviewed])
    corrector.fit(cases)
    assert corrector.bias == again.bias, "what was corrected is not taken for given"
