"""The two short tables: methods against each other, and DALE without its parts."""

from __future__ import annotations

from benchmarks.groups import RANKED, make_groups
from benchmarks.methods.registry import ABLATIONS
from benchmarks.summary import ablation_rows, gain, markdown, method_rows
from Testing.benchmarks.made_up_records import record, some_records

GAINS = dict(zip(RANKED, (0.0, -0.1, 0.01, 0.01, 0.02, 0.03, 0.04, 0.02, 0.03, 0.05), strict=True))


def every_method(noise: str, network: str = "UNet") -> list[dict]:
    return [record(m, draw, [0.7 + g, 0.7 + g], noise, network=network) for m, g in GAINS.items() for draw in (0, 1)]


def test_methods_are_set_against_plain_by_noise_and_over_all():
    none = [r | {"dice": r["dice"] - 0.3, "test_dice": [0.4, 0.4]} for r in every_method("none")]
    rows = method_rows(make_groups([*every_method("morph"), *every_method("markov"), *none]))
    assert rows[0] == ["gain over plain", "all noise", "morph", "markov", "none"]
    table = {row[0]: row[1:] for row in rows[1:]}
    assert "plain" not in table
    assert table["dale"] == ["+5.0 (+5.0 to +5.0)"] * 3 + ["+0.0 (+0.0 to +0.0)"]  # all noise is without none
    assert table["gce"][0] == "-10.0 (-10.0 to -10.0)"


def test_a_cell_without_all_methods_and_a_second_network_are_left_out():
    rows = method_rows(make_groups([*every_method("morph"), *every_method("morph", "SegResNet"), *some_records()]))
    assert len(rows[0]) == 3
    assert method_rows(make_groups(some_records()))[1][1] == "–"


def test_parts_are_compared_where_all_of_them_are():
    parts = [record(m, 0, [0.8, 0.8], label_error_auroc=0.9, ece=0.02) for m in ABLATIONS]
    rows = ablation_rows(make_groups([*some_records(), *parts]))
    assert [row[0] for row in rows[1:]] == ["dale", *ABLATIONS]
    assert rows[2][1:] == ["+10.0 (+0.0 to +20.0)", "0.900", "–", "0.020"]
    assert len(ablation_rows(make_groups(some_records()))) == 1


def test_without_cells_there_is_a_dash_and_a_head():
    assert gain([], "dale") == "–"
    assert markdown(method_rows([])) == ["| gain over plain | all noise |", "| --- | --- |"] + [
        f"| {m} | – |" for m in RANKED[1:]
    ]
