"""The user's path: the same cases as files, the command with its defaults, and cells, keys and goals of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cell import Cell
from benchmarks.data_set import USER, DataSet, data_set
from benchmarks.goals import make_goals
from benchmarks.groups import make_groups
from benchmarks.keys import described, hashed, key_of
from benchmarks.loading import load
from benchmarks.scoring import run_cell
from benchmarks.table import make_table
from benchmarks.tiers import Wanted, cells, expected_work
from benchmarks.user_path import asked_of_command, train_as_the_user, write_cases
from DALESegmentLib.engine.commands.train import TrainParameters
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.find_cases import find_cases
from Testing.benchmarks.made_up_records import record

DISCS = DataSet(name="discs", train=6, test=4, epochs=3, steps_per_epoch=8)


def cell(method: str = "dale", **more) -> Cell:
    common = {"data": DISCS, "noise": "none", "level": 0.0, "network": "UNet", "trusted": 0.0, "draw": 0}
    return Cell(**{**common, "method": method, "path": "user", **more})


def as_read(folder) -> dict[str, Case]:
    return {source.name: read_case(source) for source in find_cases(folder)}


def test_pictures_and_volumes_are_read_as_they_were_written(tiny_data, tmp_path):
    pictures = [sample.case for sample in load(DISCS, tiny_data, "train", 0)]
    empty = replace(pictures[0], label=np.zeros_like(pictures[0].label))
    coloured = replace(pictures[1], image=np.concatenate([pictures[1].image + n for n in range(3)]))
    write_cases([empty, coloured, *pictures[2:]], tmp_path / "pictures")
    read = as_read(tmp_path / "pictures")
    assert set(read) == {case.name for case in pictures}
    for case in (empty, coloured, *pictures[2:]):
        np.testing.assert_array_equal(read[case.name].image, case.image)
        np.testing.assert_array_equal(read[case.name].label > 0, case.label > 0)

    geometry = Geometry((9, 8, 5), (1.0, 1.5, 3.0), (5.0, -3.0, 7.0), (0, 1, 0, -1, 0, 0, 0, 0, 1))
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, geometry.array_shape).astype(np.int16)
    case = Case("volume", rng.normal(size=(1, *geometry.array_shape)).astype(np.float32), geometry, label=label)
    write_cases([case], tmp_path / "volumes")
    (volume,) = as_read(tmp_path / "volumes").values()
    np.testing.assert_allclose(volume.image, case.image)
    np.testing.assert_array_equal(volume.label, label)
    assert volume.geometry.spacing == pytest.approx(geometry.spacing)
    assert volume.geometry.origin == pytest.approx(geometry.origin)


def test_the_command_is_asked_for_nothing_but_method_length_seed_and_device(tmp_path):
    asked = TrainParameters.model_validate(asked_of_command(cell(draw=2, length=2), tmp_path, "cpu"))
    given = {"cases", "out", "method", "epochs", "steps_per_epoch", "seed", "device"}
    assert asked.model_fields_set == given
    assert (asked.method, asked.epochs, asked.steps_per_epoch, asked.seed) == ("dale", 6, 8, 2)
    part = TrainParameters.model_validate(asked_of_command(cell("dale-no-partition"), tmp_path, "cpu"))
    assert not part.dale.partition
    assert asked_of_command(cell("clean"), tmp_path, "cpu")["method"] == "plain"
    with pytest.raises(ValueError, match="a user cannot train"):
        train_as_the_user(cell("gce"), tmp_path, tmp_path, "cpu")


def test_the_tier_of_the_user_has_both_lengths_and_the_quick_one_the_short():
    chosen = cells(Wanted("user"))
    assert {(c.path, c.method, c.noise, c.steps, c.draw) for c in chosen} == {
        ("user", method, "none", steps, draw)
        for method in ("plain", "dale")
        for steps in (600, 2500)
        for draw in range(3)
    }
    quick = [c for c in cells(Wanted()) if c.path == "user"]
    assert quick == [c for c in chosen if c.steps == 600]
    assert not [c for c in cells(Wanted("methods")) if c.path == "user"]
    assert sum(expected_work(c) for c in quick) == pytest.approx(6)
    # what is named is run in the user's tier, and beside other cells only what is theirs
    named = {"sets": ["lidc_4rater"], "noise": ["missed"], "methods": ["dale", "gce"], "draws": [7]}
    assert [(c.data.name, c.noise, c.method, c.draw) for c in cells(Wanted("user", **named))] == [
        ("lidc_4rater", "missed", "dale", 7)
    ] * 2
    assert not [c for c in cells(Wanted(**named)) if c.path == "user"]
    assert data_set("lidc_4rater", "user").truth == "votes:2"
    assert data_set("lidc_4rater", "user").crop == 0
    assert all((s.shrink, s.slim, s.levels, s.batch) == (1, 1.0, 0, 0) for s in USER.values())


@pytest.mark.slow
def test_keys_of_the_benchmark_s_own_path_are_without_the_path():
    used, own = cell(), cell(path="bench")
    assert "path" not in hashed(own)
    assert "path" not in described(own)
    assert hashed(used)["path"] == described(used)["path"] == "user"
    assert "failed" not in hashed(used)["behaviour"]
    others = [cell("plain"), cell("dale-no-partition"), cell(draw=1), cell(length=2), own]
    assert len({key_of(each) for each in (used, *others)}) == len(others) + 1


@pytest.mark.slow
def test_a_cell_is_trained_by_the_command_and_its_bundle_scored(tiny_data):
    result = run_cell(cell(), tiny_data, "cpu")
    assert len(result["test_dice"]) == 4
    assert result["dice"] > 0.5
    assert (result["steps_trained"], result["validation_cases"]) == (24, 1)
    assert (result["batch_size"], result["patch_size"]) == (32, [32, 32, 1])
    assert "label_error_auroc" not in result


def test_the_goal_reads_cells_of_that_path_and_length_alone():
    records = [record(m, n, [0.8, 0.9], "none") for m in ("plain", "dale") for n in range(3)]
    for steps, lost in ((600, 0.01), (2500, 0.0)):
        common = {"path": "user", "steps": steps}
        records += [record("plain", n, [0.8, 0.9], "none", **common) for n in range(3)]
        records += [record("dale", n, [0.8 - lost, 0.9 - lost], "none", **common) for n in range(3)]
    groups = make_groups(records)
    goals = {goal.name: goal for goal in make_goals(groups)}
    short, long = (goals[f"user's path, {steps} steps: DALE - plain"] for steps in (600, 2500))
    assert short.figure == pytest.approx(-1)
    assert (short.met, long.met) == (False, True)
    assert goals["no noise: DALE - plain"].figure == pytest.approx(0)
    assert goals["harm: worst cell whose interval excludes 0, DALE - plain"].figure == 0.0
    assert len(groups) == 3
    assert "| user, 2500 |" in make_table(groups, [*goals.values()], {})
    assert all(goal.met is None for goal in make_goals(make_groups(records[:6])) if goal.name.startswith("user's"))
