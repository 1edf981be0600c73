"""The table's arithmetic by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.goals import make_goals, pooled_recovery
from benchmarks.groups import make_groups
from benchmarks.records import merge_quality
from benchmarks.review_found import entropy, found_share
from benchmarks.statistics import gap_recovery, paired_interval, spread
from benchmarks.table import make_table
from Testing.benchmarks.made_up_records import record, some_records


def test_gap_recovery_by_hand():
    assert gap_recovery(0.8, 0.7, 0.9) == pytest.approx(0.5)
    assert gap_recovery(0.6, 0.7, 0.9) == pytest.approx(-0.5)
    assert gap_recovery(0.8, 0.895, 0.9) is None


def test_a_group_pairs_draws_and_cases():
    (group,) = make_groups(some_records())
    assert group.mean("dale") == pytest.approx(0.85)
    assert group.spread("dale") == pytest.approx(spread([0.8, 0.9])) == pytest.approx(0.1 / 2**0.5)
    assert group.recovery("dale") == pytest.approx((0.85 - 0.7) / (0.9 - 0.7))
    np.testing.assert_allclose(group.differences("dale"), [[0.2, 0.0], [0.2, 0.2]])
    assert group.first() is None  # the other methods are not there


def test_recovery_of_trusted_cells_is_counted_from_plain_without_trust():
    trusted = [record("plain", 0, [0.85, 0.85], trusted=0.05), record("dale", 0, [0.9, 0.9], trusted=0.05)]
    groups = {g.trusted: g for g in make_groups([*some_records(), *trusted])}
    assert groups[0.05].recovery("dale") == pytest.approx(1.0)
    np.testing.assert_allclose(groups[0.05].differences("dale"), [[0.05, 0.05]])


def test_pooled_recovery_weighs_cells_by_their_gap():
    small_gap = [r | {"noise": "affine"} for r in some_records()]
    for r in small_gap:
        if r["method"] != "clean":
            r["dice"] = 0.89
    groups = make_groups([*some_records(), *small_gap])
    assert pooled_recovery(groups) == pytest.approx((0.15 + 0.0) / (0.2 + 0.01))


def test_the_interval_holds_the_mean_and_shrinks_with_agreement():
    rng = np.random.default_rng(0)
    wide = paired_interval([rng.normal(0.1, 0.2, (3, 20))])
    assert wide[0] < 0.1 < wide[1]
    assert paired_interval([np.full((3, 20), 0.1)]) == pytest.approx((0.1, 0.1))
    # two groups count alike, whatever their size
    assert paired_interval([np.zeros((1, 50)), np.ones((1, 2))]) == pytest.approx((0.5, 0.5))


def test_goals_have_the_figures_and_whether_they_are_met():
    goals = {b.name: b for b in make_goals(make_groups(some_records()))}
    recovery = goals["judging sets: gap recovery where noise costs 5 points or more"]
    assert recovery.figure == pytest.approx(0.75)
    assert recovery.met is True
    gain = goals["judging sets: gain over plain, all noise"]
    assert gain.figure == pytest.approx(15)
    assert gain.interval[0] < 15 < gain.interval[1]
    assert goals["judging sets: label-error AUROC"].figure == pytest.approx(0.96)
    assert goals["judging sets: AUROC above cleanlab's, worst set"].figure == pytest.approx(0.06)
    assert goals["tuning sets: label-error AUROC"].met is None
    assert goals["no noise: DALE - plain"].met is None


def test_harm_is_told_by_the_worst_cell_and_the_worst_draw():
    lost = [r | {"noise": "none", "set": "t"} for r in some_records() if r["method"] != "dale"]
    lost += [record("dale", 0, [0.55, 0.75], "none", set="t"), record("dale", 1, [0.6, 0.6], "none", set="t")]
    goals = {b.name: b for b in make_goals(make_groups([*some_records(), *lost]))}
    worst = goals["harm: worst cell whose interval excludes 0, DALE - plain"]
    assert worst.figure == pytest.approx(-7.5)
    assert worst.met is False
    assert goals["harm: worst draw of any cell, DALE - plain"].figure == pytest.approx(-10)
    # what chance explains is no harm
    mixed = [r for r in lost if r["method"] != "dale"]
    mixed += [record("dale", 0, [0.7, 0.7], "none", set="t"), record("dale", 1, [0.6, 0.8], "none", set="t")]
    goals = {b.name: b for b in make_goals(make_groups(mixed))}
    assert goals["harm: worst cell whose interval excludes 0, DALE - plain"].figure == 0.0


def test_doubted_labels_that_are_right_are_counted_by_voxels():
    empty = {"voxels": 0, "confidence": None, "right": None}
    tables = [[empty, {"voxels": n, "confidence": 0.15, "right": right}] for n, right in ((30, 0.5), (10, 0.1))]
    noisy = [r for r in some_records() if r["method"] != "dale"]
    noisy += [record("dale", draw, [0.8, 0.8], reliability=[*table, *[empty] * 8]) for draw, table in enumerate(tables)]
    goals = {b.name: b for b in make_goals(make_groups(noisy))}
    doubted = goals["judging sets: right labels at a confidence of .1 to .2"]
    assert doubted.figure == pytest.approx(40)
    assert doubted.met is False


def test_expected_real_errors_are_compared_with_the_truth_over_all_cells():
    found = [
        record("dale", draw, [0.8], noise=noise, review_expected_20=expected, review_real_20=real)
        for noise, draw, expected, real in (("morph", 0, 9.0, 12), ("morph", 1, 11.0, 8), ("none", 0, 5.0, 0))
    ]
    plain = [record("plain", r["draw"], [0.7], noise=r["noise"]) for r in found]
    goals = {b.name: b for b in make_goals(make_groups([*found, *plain]))}
    name = "judging sets: expected real errors among the first 20, against the truth: within 20 %"
    assert goals[name].figure == pytest.approx(100 * (15 - 10) / 10)
    assert goals[name].met is False
    assert goals[name.replace("judging", "tuning")].figure is None


def test_single_cases_that_lose_are_counted_beyond_what_chance_does():
    good = [record("plain", 0, [0.9, 0.9, 0.9], "none"), record("clean", 0, [0.9, 0.9, 0.9], "none")]
    good += [record("dale", 0, [0.7, 0.75, 0.95], "none"), record("plain-again", 0, [0.9, 0.79, 0.9], "none")]
    (name,) = (n for n in {b.name for b in make_goals(make_groups(good))} if n.startswith("harm by case"))
    goals = {b.name: b for b in make_goals(make_groups(good))}
    assert goals[name].figure == pytest.approx(2 - 1)
    assert goals[name].met is False


def test_a_longer_training_is_set_against_the_short_one():
    longer = [r | {"length": 4} for r in some_records()]
    for r in longer:
        if r["method"] == "dale":
            r["dice"] = 0.775
    goals = {b.name: b for b in make_goals(make_groups([*some_records(), *longer]))}
    assert goals["4x: gap recovery against that of 1x"].figure == pytest.approx(0.375 / 0.75)


def test_the_quarter_with_most_disagreement_is_the_right_one():
    raters = [r | {"noise": "raters"} for r in some_records()]
    goals = {b.name: b for b in make_goals(make_groups(raters))}
    # of the two cases the second has most disagreement: gains 0.0 and 0.2
    assert goals["real raters: DALE - plain, quarter with most disagreement"].figure == pytest.approx(10)


def test_the_table_shows_the_gain_in_points():
    groups = make_groups(some_records())
    text = make_table(groups, make_goals(groups), {"tier": "quick"})
    row = next(line for line in text.splitlines() if line.startswith("| s |") and "| dale |" in line)
    assert "| 0.850 | 0.071 | +15.0 (" in row
    assert "| 0.75 |" in row
    heads = [line for line in text.splitlines() if line.startswith("| set |")]
    assert all(line.count("|") == row.count("|") for line in heads[:1])


def test_found_share_and_entropy_by_hand():
    wrong = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0], bool)
    score = np.arange(10, 0, -1.0)
    assert found_share(score, wrong, 0.1) == 0.5
    assert found_share(score, wrong, 0.3) == 1.0
    assert found_share(-score, wrong, 0.3) == 0.0
    assert entropy(np.array([[0.5, 1.0], [0.5, 0.0]])) == pytest.approx([np.log(2), 0.0], abs=1e-9)


def test_records_of_one_identity_are_replaced_and_others_kept(tmp_path):
    path = tmp_path / "quality.json"
    assert merge_quality(path, some_records()) == 6
    assert merge_quality(path, [record("dale", 0, [1.0, 1.0]), record("dale", 7, [0.1, 0.1])]) == 7
    records = json.loads(path.read_text())["records"]
    assert [r["dice"] for r in records if r["method"] == "dale"] == [1.0, 0.9, 0.1]
    assert not any("test_dice" in r for r in records)
