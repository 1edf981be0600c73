"""The long measurements in short: kills at random moments, cycles in one process, fuzzing."""

from __future__ import annotations

import json

import pytest

from benchmarks.reliability import fuzz, kills, soak
from benchmarks.reliability.rows import BARS, measured, publish

pytestmark = pytest.mark.slow


def test_a_few_kills_cost_nothing(tmp_path):
    killed = kills.run(tmp_path, 3)
    assert killed.kills == 3
    assert killed.lost_confirmations == 0
    assert killed.unreadable == []


def test_a_few_cycles_leave_no_file_and_no_thread_behind(tmp_path):
    soaked = soak.run(tmp_path, 7)
    assert len(soaked.memory) == 7
    assert soaked.files[-1] <= soaked.files[2]
    assert soaked.threads[-1] <= soaked.threads[2] + 1


def test_a_growth_and_a_slowdown_would_be_seen():
    soaked = soak.Soaked(memory=[100] * 30 + [110] * 30)
    assert soaked.memory_growth() == pytest.approx(10)
    assert soaked.slowdown([1.0] * 40 + [1.5]) == 1.5


def test_some_fuzzing_finds_no_crash():
    fuzzed = fuzz.run(4.0, seed_examples=15)
    assert fuzzed.crashes == []
    assert fuzzed.examples >= 15  # those of one kind of file at least, on however busy a machine


def test_a_crash_would_be_found():
    outcome = fuzz.Fuzzed()
    target = fuzz._of(fuzz.json_values, lambda value: len(value), outcome)
    with pytest.raises(TypeError):
        target(50)


def test_rows_that_were_not_measured_are_kept_or_null(tmp_path):
    path = tmp_path / "reliability.json"
    publish(path, {"lost": measured("lost", 0, None, "a command", "a machine")})
    publish(path, {"fuzz": measured("fuzz", 2, False, "another", "a machine")})
    rows = {row["row"]: row for row in json.loads(path.read_text())["rows"]}
    assert len(rows) == len(BARS)
    assert rows[BARS["lost"].row]["command"] == "a command"
    assert (rows[BARS["fuzz"].row]["value"], rows[BARS["fuzz"].row]["met"]) == (2, False)
    assert rows[BARS["memory"].row]["met"] is None
