"""What corrections show of a hand is undone elsewhere, and only where nearly all of them show it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save

from DALESegmentLib.engine.distributed.ranks import Ranks
from DALESegmentLib.engine.learn.folder import CHECKPOINT_FILE, write_atomically
from DALESegmentLib.engine.learn.prepare import PreparedCase
from DALESegmentLib.engine.learn.redrawn import learn_from, recall_given, redraw_case
from DALESegmentLib.engine.learn.remembered import Remembered, labels_of, load_remembered, save_labels
from DALESegmentLib.engine.measure.overlap import mean_dice
from DALESegmentLib.engine.review.hand import Hand, Reviewed, learn_hand, places_of, redraw
from Testing.phantoms import ball_case

SAMPLING = (1.0, 1.0)


def disc(radius: float, size: int = 64) -> np.ndarray:
    i, j = np.indices((size, size)) - size / 2
    return (np.hypot(i, j) < radius).astype(np.int16)


def a_review(truth: np.ndarray, given: np.ndarray, sampling=SAMPLING, first: int = 40) -> Reviewed:
    """The part beyond row `first` was looked at and corrected."""
    trusted = np.zeros(truth.shape, bool)
    trusted[first:] = True
    return Reviewed(given, np.where(trusted, truth, given), trusted, sampling)


def many(mm_of, places: int = 20) -> list[Reviewed]:
    """Discs, the n-th drawn too large by mm_of(n) all round, too small where negative."""
    return [a_review(disc(r), disc(r + mm_of(n))) for n, r in enumerate(np.linspace(14, 20, places))]


@pytest.mark.parametrize("mm", [3.0, -3.0])
def test_a_hand_that_always_errs_one_way_is_undone_where_nobody_looked(mm):
    reviews = many(lambda n: mm)
    hand = learn_hand(reviews)
    assert hand is not None
    assert (hand.unit, hand.places, hand.agreeing) == ("mm", 20, 20)
    assert hand.offset == pytest.approx(-mm, abs=0.75)
    assert ("large" if mm > 0 else "small") in hand.describe()
    for review, radius in zip(reviews, np.linspace(14, 20, 20), strict=True):
        better = redraw(review.now, hand, SAMPLING, review.trusted)
        assert mean_dice(better, disc(radius)) > 0.96
        assert np.array_equal(better[review.trusted], review.now[review.trusted])


def test_an_error_in_proportion_to_the_object_is_told_from_one_in_mm():
    reviews = [a_review(disc(r), disc(1.3 * r), first=42) for r in np.linspace(8, 20, 20)]
    hand = learn_hand(reviews)
    assert hand is not None
    assert hand.unit == "radius"
    assert hand.offset == pytest.approx(-0.3 / 1.3, abs=0.07)  # of the radius as drawn


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
    assert learn_hand(many(mm_of)) is None


def test_few_places_say_nothing():
    assert learn_hand([]) is None
    assert learn_hand(many(lambda n: 3.0, places=15)) is None
    assert learn_hand(many(lambda n: 3.0, places=16)) is not None


def test_objects_that_were_missed_or_invented_are_no_evidence_of_an_outline():
    truth, nothing = disc(15), np.zeros((64, 64), np.int16)
    everywhere = np.ones(truth.shape, bool)
    missed = Reviewed(nothing, truth, everywhere, SAMPLING)
    whole = Reviewed(truth, nothing, truth > 0, SAMPLING)
    assert not [*places_of(missed)]
    assert not [*places_of(whole)]


def test_millimetres_are_measured_along_every_axis():
    sampling = (3.0, 1.0)
    i, j = (np.indices((40, 90)) - np.array([20, 45]).reshape(2, 1, 1)) * np.array(sampling).reshape(2, 1, 1)
    truth, given = ((np.hypot(i, j) < radius).astype(np.int16) for radius in (30, 34))
    hand = learn_hand([a_review(truth, given, sampling, first=24)] * 20)
    assert hand is not None
    assert hand.offset == pytest.approx(-4.0, abs=1.0)
    better = redraw(given, hand, sampling, np.zeros(truth.shape, bool))
    assert mean_dice(better, truth) > 0.95


@pytest.mark.parametrize("mm", [-3.0, 3.0])
def test_an_outline_is_moved_across_thick_slices(mm):
    label = np.zeros((12, 30, 30), np.int16)
    label[4:8, 3:27, 3:27] = 1
    moved = redraw(label, Hand(mm, "mm", 20, 20), (5.0, 1.0, 1.0), np.zeros(label.shape, bool))
    assert np.flatnonzero(moved[:, 15, 15]).tolist() == ([3, 4, 5, 6, 7, 8] if mm > 0 else [5, 6])


def test_no_object_vanishes_and_no_class_grows_into_another():
    label = disc(15)
    label[:4, :4] = 1  # far smaller than the offset
    label[32:, :][label[32:, :] == 1] = 2
    untrusted = np.zeros(label.shape, bool)
    small = redraw(label, Hand(-5.0, "mm", 20, 20), SAMPLING, untrusted)
    assert small[:4, :4].any()
    assert set(np.unique(small)) == {0, 1, 2}
    large = redraw(label, Hand(3.0, "mm", 20, 20), SAMPLING, untrusted)
    assert np.array_equal(large[label > 0], label[label > 0])
    assert ((large > 0) & (label == 0)).any()


def test_a_label_without_background_is_left_as_it_is():
    full = np.ones((8, 8), np.int16)
    assert np.array_equal(redraw(full, Hand(-2.0, "mm", 20, 20), SAMPLING, np.zeros(full.shape, bool)), full)


def prepared_disc(name: str, review: Reviewed) -> PreparedCase:
    shape = (*review.now.shape, 1)
    return PreparedCase(
        name,
        ball_case().geometry,
        torch.eye(4),
        torch.zeros((1, *shape)),
        torch.from_numpy(review.now.reshape(shape)),
        torch.from_numpy(review.trusted.reshape(shape)),
        torch.full(shape, 0.5, dtype=torch.float16),
    )


def test_cases_nobody_looked_at_are_redrawn_too():
    reviews = many(lambda n: 3.0)
    cases = [prepared_disc(str(n), review) for n, review in enumerate(reviews)]
    truth = disc(17)
    nobody = replace(reviews[0], now=disc(20), trusted=np.zeros(truth.shape, bool))
    cases.append(prepared_disc("nobody looked", nobody))
    assert learn_from(cases) is None  # what was there before is not known
    for case, review in zip(cases, reviews, strict=False):
        case.given = torch.from_numpy(review.given.reshape((*review.given.shape, 1)))
    hand = learn_from(cases)
    assert hand is not None
    redraw_case(cases[-1], hand)
    assert cases[-1].label.dtype == torch.int16
    assert mean_dice(cases[-1].label.numpy()[..., 0], truth) > 0.96
    assert np.array_equal(cases[-1].given.numpy()[..., 0], nobody.now)


def test_what_a_label_was_before_is_known_through_several_runs(tmp_path):
    review = many(lambda n: 3.0)[0]
    case = prepared_disc("case", review)
    drawn_first = torch.from_numpy(review.given.reshape(case.label.shape))
    recall_given(case, Remembered(drawn_first.to(torch.uint8), case.disagreement, torch.zeros(()), drawn_first))
    assert case.given is not None
    assert torch.equal(case.given, drawn_first)
    save_labels(tmp_path, labels_of([case], Ranks()))
    write_atomically(tmp_path / CHECKPOINT_FILE, save({"disagreement/case": case.disagreement}))
    (again,) = load_remembered(tmp_path).values()
    assert torch.equal(again.label, case.label.to(torch.uint8))
    assert torch.equal(again.given, drawn_first.to(torch.uint8))
    later = prepared_disc("case", review)
    recall_given(later, again)
    assert torch.equal(later.given, drawn_first)
