"""Two runs side by side: the same to the last digit, or by how much not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cell import Cell
from benchmarks.compare import main
from benchmarks.data_set import DataSet
from benchmarks.keys import described


def row(method: str, dice: float | None, key: str = "", noise: str = "morph", draw: int = 0, **more: float) -> dict:
    data = DataSet(name="discs", dims=2, epochs=6)
    level = 0.0 if noise == "none" else 0.6
    cell = Cell(data=data, noise=noise, level=level, network="UNet", method=method, trusted=0.0, draw=draw)
    return {"key": key or f"{method}{draw}", "cell": described(cell), "result": {"dice": dice, **more}}


def folder(path: Path, *rows: dict) -> str:
    path.mkdir()
    (path / "cells.jsonl").write_text("".join(f"\n{json.dumps(r)}\n" for r in rows) + '{"key": "half a li')
    return str(path)


def test_the_same_is_called_the_same(tmp_path, capsys):
    rows = [row("plain", 1 / 3, label_error_auroc=0.9, ece=0.1), row("dale", 0.7), row("dale", None, draw=1)]
    a = folder(tmp_path / "a", *rows)
    b = folder(tmp_path / "b", *(r | {"key": "another"} for r in reversed(rows)))
    assert main([a, b]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == (
        "discs morph UNet plain trusted 0 1x draw 0: Dice 0.3333333333333333 0.3333333333333333 (same); "
        "AUROC 0.9 0.9 (same); ECE 0.1 0.1 (same)"
    )
    assert told[2] == "discs morph UNet dale trusted 0 1x draw 1: Dice none none"
    assert told[-1] == "3 of 3 cells have the same Dice to the last digit"


def test_the_last_digit_counts_and_the_largest_difference_is_printed(tmp_path, capsys):
    a = folder(tmp_path / "a", row("plain", 0.3), row("dale", 0.7), row("gce", 0.5))
    b = folder(tmp_path / "b", row("plain", 0.1 + 0.2), row("dale", 0.69), row("gce", 0.5))
    assert main([a, b]) == 1
    told = capsys.readouterr().out
    assert "Dice 0.3 0.30000000000000004 (+5.55e-17)" in told
    assert told.splitlines()[-1] == "2 of 3 cells have another Dice, by 0.01 at most"


def test_a_cell_that_has_no_dice_any_more_differs(tmp_path, capsys):
    assert main([folder(tmp_path / "a", row("plain", 0.3)), folder(tmp_path / "b", row("plain", None))]) == 1
    assert "1 of 1 cells have another Dice" in capsys.readouterr().out


def test_cells_of_one_run_are_listed_and_the_later_of_two_rows_counts(tmp_path, capsys):
    a = folder(tmp_path / "a", row("plain", 0.2, "old"), row("plain", 0.3, "new"), row("gce", 0.5))
    b = folder(tmp_path / "b", row("plain", 0.3), row("plain", 0.4, draw=1))
    assert main([a, b]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[1:] == [
        f"only in {a}: discs morph UNet gce trusted 0 1x draw 0",
        f"only in {b}: discs morph UNet plain trusted 0 1x draw 1",
        "1 of 1 cells have the same Dice to the last digit",
    ]


def test_clean_is_plain_without_noise_and_other_settings_are_another_cell(tmp_path, capsys):
    longer = row("gce", 0.5)
    longer["cell"]["data"]["epochs"] = 60
    a = folder(tmp_path / "a", row("clean", 0.8, noise="markov"), row("gce", 0.5))
    assert main([a, folder(tmp_path / "b", row("plain", 0.8, noise="none"), longer)]) == 0
    told = capsys.readouterr().out
    assert told.count("only in") == 2
    assert "1 of 1 cells have the same" in told


def test_a_setting_that_older_rows_do_not_have_does_not_part_them(tmp_path):
    old = row("dale", 0.7)
    del old["cell"]["data"]["levels"]
    assert main([folder(tmp_path / "a", old), folder(tmp_path / "b", row("dale", 0.7))]) == 0


def test_renamed_methods_are_matched(tmp_path, capsys):
    a = folder(tmp_path / "a", row("dale-no-hand", 0.7), row("dale-joint", 0.6))
    b = folder(tmp_path / "b", row("dale-no-bias", 0.7), row("dale-one", 0.6))
    assert main([a, b]) == 1
    assert "0 of 0" in capsys.readouterr().out
    assert main([a, b, "--rename", "dale-no-hand=dale-no-bias", "--rename", "dale-joint=dale-one"]) == 0
    assert "2 of 2 cells have the same" in capsys.readouterr().out


@pytest.mark.parametrize("more", [["--rename", "dale"], ["--rename", "=dale"]])
def test_wrong_arguments_give_one_sentence(tmp_path, capsys, more):
    a = folder(tmp_path / "a", row("plain", 0.3))
    with pytest.raises(SystemExit):
        main([a, str(tmp_path / "nowhere")])
    assert "there is no" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([a, a, *more])
    assert "write OLD=NEW" in capsys.readouterr().err
