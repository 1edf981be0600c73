"""The sentence says what the table says, whichever way it went."""

from __future__ import annotations

import pytest

from DALESegmentLib.demo.tables import agreement_rows, verdict


def found(plain: float, dale: float, tuned: float, hd95: float | None = 3.0) -> dict:
    scores = {"plain": plain, "dale": dale, "tuned": tuned, "given": 0.8}
    return {
        "held_out": {name: {"dice": dice, "hd95_mm": hd95, "nsd": 0.9} for name, dice in scores.items()},
        "data": {"test": ["a", "b"], "given": "one rater's label"},
        "review": {"regions": 5},
    }


@pytest.mark.parametrize(
    ("plain", "dale", "words"),
    [
        (0.80, 0.83, "DALE is better than plain training by 3.0 Dice points"),
        (0.83, 0.80, "plain training is better than DALE by 3.0 Dice points"),
        (0.800, 0.804, "DALE and plain training are level"),
    ],
)
def test_the_verdict_goes_with_the_numbers(plain, dale, words):
    first, second, third = verdict(found(plain, dale, dale - 0.012))
    assert words in first
    assert "changed DALE by -1.2 Dice points" in second
    assert "2 test cases" in third


def test_a_distance_that_does_not_exist_is_a_dash():
    rows = agreement_rows(found(0.8, 0.8, 0.8, hd95=None), "held_out")
    assert rows[1] == ["plain training", "0.800", "–", "0.900"]
    assert rows[-1][0] == "to compare: one rater's label"
