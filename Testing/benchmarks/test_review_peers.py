"""Foreground-aware random and ClaSP PE by hand, and the goal that compares them with the review list."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.goals import make_goals
from benchmarks.groups import make_groups
from benchmarks.review_found import review_found
from benchmarks.review_peers import (
    BETAS,
    asked_for,
    band_of,
    clasp_scores,
    near_foreground,
    random_share,
)
from benchmarks.scored_label import ScoredLabel
from DALESegmentLib.engine.geometry.grid import Geometry
from Testing.benchmarks.made_up_records import record, some_records


def disc_with_an_error(name: str = "a", edge: int = 40) -> ScoredLabel:
    """A disc whose label lacks a corner that the model finds, and is unsure about."""
    y, x = np.indices((edge, edge))
    truth = (np.hypot(y - edge / 2, x - edge / 2) < 10).astype(np.int64)
    label = truth.copy()
    label[(y > edge / 2) & (x > edge / 2)] = 0
    p1 = np.where(truth > 0, 0.95, 0.02)
    p1[truth != label] = 0.6
    p = np.stack([1 - p1, p1])
    geometry = Geometry((edge, edge), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    return ScoredLabel(name, label, truth, p, np.where(truth != label, 0.2, 0.95), geometry)


def test_random_share_is_what_many_random_orders_find():
    rng = np.random.default_rng(0)
    first, wrong = rng.random(400) < 0.3, rng.random(400) < 0.2
    found = []
    for _ in range(3000):
        order = np.argsort(np.where(first, 0.0, 1.0) + 0.5 * rng.random(400))
        found.append(wrong[order[:40]].sum() / wrong.sum())
    assert random_share(first, wrong) == pytest.approx(np.mean(found), abs=0.003)
    few = np.zeros(400, bool)
    few[:10] = True
    wrong = np.arange(400) < 100
    assert random_share(few, wrong) == pytest.approx((10 + 30 * 90 / 390) / 100)
    assert random_share(np.zeros(400, bool), wrong) == pytest.approx(0.1)


def test_near_the_foreground_is_near_label_or_prediction():
    scored = disc_with_an_error()
    near = near_foreground(scored)
    assert near[scored.label > 0].all()
    assert near[scored.truth > 0].all()  # predicted
    assert 0 < (near & (scored.truth == 0)).sum() < (band_of(scored) & (scored.truth == 0)).sum()


def test_blocks_are_asked_for_by_class_and_at_random_at_first():
    """Forty blocks of ten voxels; the four of class 1 are less doubtful than any other."""
    blocks = np.repeat(np.arange(40), 10)
    predicted = (blocks >= 36).astype(int)
    h = np.where(predicted == 1, 0.1, 0.5 + 0.001 * blocks)
    first = [np.argsort(asked_for(blocks, h, predicted, np.random.default_rng(seed))) for seed in range(30)]
    tenth = [set(order[:4].tolist()) for order in first]
    assert np.mean([len(t & {36, 37, 38, 39}) > 0 for t in tenth]) > 0.9  # though entropy alone asks for none
    assert len({tuple(order[:1]) for order in first}) > 5
    for order in first:
        assert sorted(order.tolist()) == [*range(40)]
    # what is left comes by entropy alone
    rest = [b for b in first[0].tolist()[25:] if b < 36]
    assert rest == sorted(rest, reverse=True)
    assert (BETAS[0], BETAS[-1]) == pytest.approx((1, 100))


def test_whole_blocks_of_every_case_have_one_place_that_depends_on_the_seed_alone():
    scored = [disc_with_an_error("a"), disc_with_an_error("b", 30)]
    bands = [band_of(j) for j in scored]
    three, four, again = clasp_scores(scored, bands, [3, 4, 3])
    assert len(three) == sum(int(band.sum()) for band in bands)
    assert np.array_equal(three, again)
    assert not np.array_equal(three, four)
    places = np.split(three, [int(bands[0].sum())])
    assert not set(places[0]) & set(places[1])  # a block lies in one case
    maps = np.full(bands[0].shape, np.nan)
    maps[bands[0]] = places[0]
    block = maps[6:12, 12:18]  # of 6 mm each way
    assert np.unique(block[~np.isnan(block)]).size == 1


def test_all_orders_are_reported_and_none_beats_the_best_possible():
    figures = review_found([disc_with_an_error("a"), disc_with_an_error("b")])
    best = figures["review_found_10pct_best"]
    assert set(figures) == {
        f"review_found_10pct{order}" for order in ("", "_doubt", "_entropy", "_random", "_clasp_pe", "_best")
    }
    assert all(0 < value <= best + 1e-9 for value in figures.values())
    assert figures["review_found_10pct_entropy"] == pytest.approx(best)
    assert figures["review_found_10pct_random"] > 0.1


def test_the_goal_is_the_lead_over_the_better_of_both():
    found = {"review_found_10pct": 0.4, "review_found_10pct_best": 0.5}
    name = "judging sets: review above foreground-aware random and ClaSP PE, same share"

    def goal(**more: float):
        rows = [r | found | more if r["method"] == "dale" else r for r in some_records()]
        return {g.name: g for g in make_goals(make_groups(rows))}[name]

    met = goal(review_found_10pct_random=0.1, review_found_10pct_clasp_pe=0.3)
    assert met.figure == pytest.approx(0.2)
    assert met.met
    assert goal(review_found_10pct_random=0.1, review_found_10pct_clasp_pe=0.45).met is False
    assert goal().met is None
    assert goal(review_found_10pct_random=0.1).met is None
    tuning = [r | {"role": "tuning"} for r in [record("dale", 0, [0.5, 0.5], **found)]]
    assert {g.name: g for g in make_goals(make_groups(tuning))}[name].met is None
