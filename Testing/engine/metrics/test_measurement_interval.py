"""Volume and diameter with intervals that hold the truth as often as they say, and none where nothing is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from DALESegmentLib.engine.metrics.measurement_interval import (
    FEWEST,
    Calibration,
    fit_calibration,
    interval_for_label,
    interval_for_prediction,
)


def measured(random, n: int, annotator: float, model: float, bias: float) -> tuple[np.ndarray, ...]:
    """True figures, and what an annotator and a model with these log errors make of them."""
    truth = np.exp(random.normal(0, 1, n))
    return truth, truth * np.exp(random.normal(0, annotator, n)), truth * np.exp(random.normal(bias, model, n))


@pytest.mark.parametrize("model", [0.2, 1.0])
def test_the_intervals_hold_the_truth_as_often_as_they_say(model):
    """For a biased model, better or far worse than the annotators; nobody tells the calibration the truth. Where the
    bias is larger than the spread, intervals are widened to the model's own figure, and hold the more often."""
    random = np.random.default_rng(0)
    held = {"annotator": [], "labelled": [], "learned from": []}
    for _ in range(300):
        _, labels, figures = measured(random, 29, 0.3, model, 0.7)
        calibration = fit_calibration(figures, labels)
        for t, a, m in zip(*measured(random, 5, 0.3, model, 0.7), strict=True):
            for kind, interval, true in (
                ("annotator", interval_for_prediction(m, calibration), a),
                ("labelled", interval_for_label(a, m, calibration, unseen=True), t),
                ("learned from", interval_for_label(a, m, calibration, unseen=False), t),
            ):
                held[kind].append(interval.low <= true <= interval.high)
    assert 0.875 < np.mean(held["annotator"]) < (0.925 if model > 0.7 else 0.97)
    assert 0.875 < np.mean(held["labelled"]) < 0.96
    assert np.mean(held["learned from"]) > 0.9


@pytest.mark.parametrize("cases", [9, 19, 40])
@pytest.mark.parametrize("draw", ["normal", "exponential", "laplace"])
def test_a_new_figure_falls_in_the_interval_at_the_level_however_few_cases(cases, draw):
    """Whatever the distribution: 10 000 calibrations, each judged by one more figure; 3 standard errors are allowed."""
    random = np.random.default_rng(1)
    draws = getattr(random, draw)(size=(10_000, cases + 1)) / 10
    held = []
    for *known, new in draws.tolist():
        interval = interval_for_prediction(math.exp(new), fit_calibration(np.exp(known), np.ones(cases)))
        held.append(interval.low <= 1.0 <= interval.high)
    assert np.mean(held) > 0.9 - 3 * math.sqrt(0.9 * 0.1 / len(held))
    assert np.mean(held) < 0.9 + 1 / cases, "nor wider than it has to be"


@pytest.mark.parametrize("cases", [9, 14, 19, 40])
def test_the_calibration_holds_what_full_conformal_prediction_lets_in(cases):
    """By definition: a figure is let in unless its distance from the mean of all, itself among them, ranks too high."""
    d = np.random.default_rng(cases).gumbel(size=cases) / 4
    let_in = []
    for y in np.arange(-4, 4, 0.002):
        distances = np.abs([*d, y] - np.mean([*d, y]))
        if (distances >= distances[-1]).mean() > 0.1:
            let_in.append(y)
    calibration = fit_calibration(np.exp(d), np.ones(cases))
    assert calibration.cases == cases
    assert calibration.shift - calibration.half == pytest.approx(min(let_in), abs=0.0025)
    assert calibration.shift + calibration.half == pytest.approx(max(let_in), abs=0.0025)


def test_where_too_little_is_known_there_is_no_interval():
    few = [1.0] * (FEWEST - 1)
    assert FEWEST == 9
    assert fit_calibration(few, few) is None
    assert fit_calibration([*few, 0.0, 3.0], [*few, 1.0, 0.0]) is None, "nothing outlined is no measurement"
    assert fit_calibration([*few, 1.0], [*few, 1.0]) == Calibration(0.0, 0.0, 9)
    assert (interval_for_prediction(3.0, None).value, interval_for_prediction(3.0, None).low) == (3.0, None)
    assert interval_for_label(3.0, 2.0, None, unseen=True).high is None
    assert interval_for_label(0.0, 2.0, Calibration(0, 1, 9), unseen=True).low is None


def test_a_label_and_a_model_that_differ_meet_in_the_middle():
    interval = interval_for_label(1.0, 8.0, Calibration(math.log(2.0), math.log(4.0), 30), unseen=True)
    assert interval.value == 1.0
    assert math.sqrt(interval.low * interval.high) == pytest.approx(2.0)  # of 1 and 8 / 2
    assert interval.high / interval.low == pytest.approx(4.0)


@pytest.mark.parametrize("shift", [-3.0, -0.4, 0.0, 0.4, 3.0])
def test_no_interval_excludes_the_value_that_it_is_about(shift):
    calibration = Calibration(shift, 0.3, 30)
    for interval in (
        interval_for_prediction(5.0, calibration),
        *(
            interval_for_label(5.0, model, calibration, unseen)
            for model in (0.1, 5.0, 90.0)
            for unseen in (True, False)
        ),
    ):
        assert interval.low <= interval.value <= interval.high


def test_what_is_confirmed_is_certain():
    calibration = Calibration(0.5, 1.0, 30)
    whole, half, closed = (
        interval_for_label(2.0, 6.0, calibration, unseen=True, open_share=share) for share in (1.0, 0.5, 0.0)
    )
    assert (closed.low, closed.high) == (pytest.approx(2.0), pytest.approx(2.0))
    assert closed.high / closed.low < half.high / half.low < whole.high / whole.low
