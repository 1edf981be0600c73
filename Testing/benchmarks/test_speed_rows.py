"""The rows of the speed measurement: every bar has one, and what was not measured says so."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from torch import nn

from benchmarks.published import publish
from benchmarks.speed import __main__ as speed
from benchmarks.speed.floor import operations
from benchmarks.speed.rows import BARS, Measured
from benchmarks.speed.timing import taken_in_turns
from DALESegmentLib.engine.planning.plan import Plan


def test_a_part_is_written_beside_what_is_known(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(speed.PARTS, "start", lambda given: {"start": Measured(1.25, True, "against that")})
    path = tmp_path / "speed.json"
    publish(path, BARS, {"ranks": BARS["ranks"].measured(3.0, False, "a command", "a machine", "one rank")})
    arguments = ["--only", "start", "--out", str(path), "--work", str(tmp_path)]
    for more, met in (([], True), (["--quick"], None)):
        monkeypatch.setattr(sys, "argv", ["speed", *arguments, *more])
        assert speed.main() == 0
        rows = {row["row"]: row for row in json.loads(path.read_text())["rows"]}
        assert list(rows) == [bar.row for bar in BARS.values()]
        start, ranks = rows[BARS["start"].row], rows[BARS["ranks"].row]
        assert (start["value"], start["met"], start["reference"]) == (1.25, met, "against that")
        assert (ranks["value"], ranks["met"]) == (3.0, False)
        assert rows[BARS["gpu_time"].row]["met"] is None
    assert "goal <= 0.35" in capsys.readouterr().out


def test_those_who_are_compared_take_turns():
    order = []
    takes = [lambda: order.append("a") or 1.0, lambda: order.append("b") or 2.0]
    assert taken_in_turns(takes, 2, warm=1) == [[1.0, 1.0], [2.0, 2.0]]
    assert "".join(order) in ("abbaab", "baabba")


@pytest.mark.parametrize("channels", [1, 2])
def test_the_floor_counts_the_convolutions(channels):
    network = nn.Conv3d(channels, 5, 3, padding=1)
    plan = Plan.model_construct(channels=channels, dims=3, slice_axis=2, patch_size=(8, 8, 4))
    assert operations(network, plan) == 2 * 27 * channels * 5 * 8 * 8 * 4
    assert torch.is_grad_enabled()
