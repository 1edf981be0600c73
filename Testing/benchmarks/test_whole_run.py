"""The command from end to end on a tiny set, and again from what is there."""

from __future__ import annotations

import json
import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from benchmarks import schedule
from benchmarks.__main__ import main
from benchmarks.cell import Cell
from benchmarks.cost import cost
from benchmarks.methods.registry import BASELINES
from benchmarks.schedule import expected_seconds, missing, run
from benchmarks.store import Store
from benchmarks.tiers import Wanted, cells
from benchmarks.training import make_trainer

pytestmark = pytest.mark.slow

TWO = ["--sets", "discs", "--noise", "morph", "--methods", "clean,plain", "--networks", "UNet", "--draws", "0"]


def arguments(data, out) -> list[str]:
    return [*TWO, "--data", str(data), "--out", str(out), "--quality", str(out / "quality.json"), "--workers", "0"]


def test_a_run_writes_everything_and_a_second_one_trains_nothing(tiny_data, tiny_set, tmp_path, monkeypatch, capsys):
    assert main([*arguments(tiny_data, tmp_path), "--device", "cpu"]) == 0
    assert {"cells.jsonl", "results.json", "results.md", "dice.png", "quality.json"} <= set(os.listdir(tmp_path))
    results = json.loads((tmp_path / "results.json").read_text())
    clean, plain = results["records"]
    assert (clean["method"], plain["method"]) == ("clean", "plain")
    assert clean["label_dice"] == 1.0 > plain["label_dice"]
    assert clean["dice"] > 0.7
    assert 0.5 < plain["label_error_auroc"] <= 1.0
    assert plain["cleanlab_auroc"] is not None
    assert plain["steps"] == plain["steps_trained"] == 48
    assert len(plain["test_dice"]) == 4
    assert 0 <= plain["review_found_10pct"] <= plain["review_found_10pct_best"] <= 1
    monkeypatch.setattr(schedule, "_attempt", lambda *_: pytest.fail("a finished cell was trained again"))
    assert main([*arguments(tiny_data, tmp_path), "--device", "cpu"]) == 0
    assert "0 to train" in capsys.readouterr().out


def test_a_failed_cell_is_printed_and_the_others_are_run(tiny_data, tiny_set, tmp_path, monkeypatch):
    def attempt(cell, *_):
        return (cell, None, "no luck") if cell.method == "clean" else (cell, {"dice": 0.5, "seconds": 1.0}, "")

    monkeypatch.setattr(schedule, "_attempt", attempt)
    store, said = Store(tmp_path / "cells.jsonl"), []
    chosen = cells(Wanted(sets=["discs"], noise=["morph"], methods=["clean", "plain"], draws=[0], networks=["UNet"]))
    report = run(chosen, store, tiny_data, "cpu", 0, None, said.append)
    assert [(c.method, why) for c, why in report.failed] == [("clean", "no luck")]
    assert [c.method for c in missing(chosen, Store(store.path))] == ["clean"]
    assert any("FAILED" in line for line in said)


def test_no_cell_is_started_after_the_time_and_all_are_named(tiny_data, tiny_set, tmp_path):
    chosen = cells(Wanted(sets=["discs"], noise=["none"], methods=["plain", "gce"], draws=[0, 1], networks=["UNet"]))
    report = run(chosen, Store(tmp_path / "cells.jsonl"), tiny_data, "cpu", 0, 0.0, print)
    assert report.left == chosen
    assert not report.failed


def test_half_a_line_costs_one_cell_only(tiny_set, tmp_path):
    first, second = cells(Wanted(sets=["discs"], noise=["none"], methods=["gce"], draws=[0, 1], networks=["UNet"]))
    store = Store(tmp_path / "cells.jsonl")
    store.add(first, {"dice": 0.5})
    with store.path.open("a") as file:
        file.write('{"key": "half a li')
    store = Store(store.path)
    assert missing([first, second], store) == [second]
    store.add(second, {"dice": 0.6})
    assert missing([first, second], Store(store.path)) == []


def test_the_quick_tier_draws_cases_often_and_the_tier_of_methods_compares_all():
    chosen = [c for c in cells(Wanted()) if c.path == "bench"]
    assert {c.data.dims for c in chosen} == {2, 3}
    assert {c.data.role for c in chosen} == {"tuning", "judging"}
    assert {c.length for c in chosen} == {1, 4, 16}
    for draw in range(5):
        for noise in ("none", "morph", "affine", "markov", "missed", "raters"):
            here = {c.method for c in chosen if (c.data.name, c.noise, c.draw) == ("lidc_4rater", noise, draw)}
            assert here == {"clean", "plain", "dale"} | ({"plain-again"} if noise in ("none", "raters") else set())
    assert not any(c.noise == "raters" for c in chosen if c.data.name == "ph2_skin")

    chosen = cells(Wanted("methods"))
    assert len({c.network for c in chosen}) >= 2
    for noise in ("none", "morph", "affine", "markov", "missed", "biased", "raters"):
        here = {c.method for c in chosen if (c.data.name, c.noise) == ("lidc_4rater", noise)}
        assert here >= {"clean", "plain", *BASELINES, "dale", "dale-cross-fitted"}
    assert {c.trusted for c in chosen if c.noise == "biased" and c.method == "dale"} == {0.0, 0.01, 0.05}
    assert {c.data for c in chosen} <= {c.data for c in cells(Wanted())}


def test_the_time_left_follows_finished_cells(tiny_set, tmp_path):
    one, two = cells(
        Wanted(sets=["discs"], noise=["none"], methods=["gce", "coteaching"], draws=[0], networks=["UNet"])
    )
    store = Store(tmp_path / "cells.jsonl")
    assert expected_seconds([two], store, [one, two], 1) is None
    store.add(one, {"seconds": 10.0})
    assert expected_seconds([two], store, [one, two], 2) == pytest.approx(10.0)  # twice the work, two workers


def test_trusted_cells_learn_from_corrected_labels(tiny_data, tiny_set):
    cell = Cell(data=tiny_set, noise="biased", level=0.3, network="UNet", method="dale", trusted=0.05, draw=0)
    trainer, samples, cases = make_trainer(cell, tiny_data, "cpu")
    trusted = [c.trusted for c in cases]
    assert sum(t.sum() for t in trusted) > 0
    assert all((c.label == s.case.label)[c.trusted].all() for c, s in zip(cases, samples, strict=True))
    assert sum(int(p.labels.reviewed.sum()) for p in trainer.cases) == sum(int(t.sum()) for t in trusted)
    assert trainer.settings.trusted_share > 0


def test_cost_compares_time_and_memory(tiny_data, tiny_set):
    found = cost(tiny_set, "UNet", tiny_data, "cpu")
    assert 0.5 < found["step_time_ratio"] < 5
    assert 0.9 < found["memory_ratio"] < 3
    assert found["plain_peak_mib"] > 0


def test_wrong_arguments_give_one_sentence(tmp_path, capsys):
    here = ["--data", str(tmp_path)]
    for wrong in (["--data", str(tmp_path / "nowhere")], [*here, "--methods", "magic"], [*here, "--sets", "moon"]):
        with pytest.raises(SystemExit):
            main(wrong)
    told = capsys.readouterr().err
    assert "--data" in told
    assert "magic is not known" in told
    assert "no folder moon" in told


@pytest.mark.parametrize(
    ("reason", "code", "word"), [(KeyboardInterrupt, 130, "Stopped"), (BrokenProcessPool, 1, "memory")]
)
def test_a_run_that_is_stopped_says_so(tiny_data, tiny_set, tmp_path, monkeypatch, capsys, reason, code, word):
    def stopped(*_):
        raise reason

    monkeypatch.setattr("benchmarks.__main__.run", stopped)
    assert main(arguments(tiny_data, tmp_path)) == code
    assert word in capsys.readouterr().out
