"""A training for each fold, here and as jobs of submitit's own executors."""

from __future__ import annotations

import csv
import json

import pytest

from DALESegmentLib.engine.commands import train_folds
from DALESegmentLib.engine.commands.train import split_fold
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.case import CaseSource
from Testing.phantoms import ball_case


@pytest.mark.parametrize(("patients", "folds"), [(5, 5), (7, 3), (10, 2)])
def test_each_patient_is_validated_on_in_exactly_one_fold(patients, folds):
    sources = [CaseSource(f"p{n}-{scan}", patient=f"p{n}") for n in range(patients) for scan in "ab"]
    held = []
    for fold in range(folds):
        training, validation = split_fold(sources, fold, folds, seed=3)
        assert not {s.patient for s in training} & {s.patient for s in validation}
        assert len(training) + len(validation) == len(sources)
        held += [s.name for s in validation]
    assert sorted(held) == sorted(s.name for s in sources)


def test_more_folds_than_patients_are_refused():
    with pytest.raises(EngineError, match="There are 2 patients, not enough for 3 folds"):
        split_fold([CaseSource("a"), CaseSource("b")], 0, 3, 0)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    root = tmp_path_factory.mktemp("cases")
    for n in range(4):
        save_array_case(ball_case(f"case{n}", seed=n), root / f"case{n}")
    return root


def folded(cases, out, **more):
    asked = {"cases": {"folder": str(cases)}, "out": str(out), "epochs": 1, "steps_per_epoch": 2, "device": "cpu"}
    return train_folds.run({**asked, "folds": 2, **more}, Progress())


@pytest.mark.slow
@pytest.mark.parametrize("submit", [None, "local"])
def test_the_folds_end_in_one_table(submit, cases, tmp_path):
    if submit is not None:
        pytest.importorskip("submitit", reason="submitit is not installed")
    answer = folded(cases, tmp_path / "out", submit=submit)
    with (tmp_path / "out" / "folds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["fold"] for row in rows] == ["0", "1", "mean"]
    assert float(rows[2]["validation_dice"]) == pytest.approx(
        sum(float(row["validation_dice"]) for row in rows[:2]) / 2
    )
    records = [json.loads((tmp_path / "out" / f"fold_{n}" / "run.json").read_text()) for n in (0, 1)]
    assert sorted(records[0]["validation"] + records[1]["validation"]) == [f"case{n}" for n in range(4)]
    assert answer["runs"] == [str(tmp_path / "out" / f"fold_{n}") for n in (0, 1)]
    assert ("jobs" in answer) == (submit is not None)
    if submit is not None:
        assert len(set(answer["jobs"])) == 2


@pytest.mark.parametrize("wrong", [{"slurm_setup": "rm"}, {"slurm_partition": "a; rm"}, {"name": ""}])
def test_a_parameter_that_could_name_a_command_is_refused(wrong, tmp_path):
    with pytest.raises(EngineError, match="is no parameter of a job that is known here"):
        folded(tmp_path, tmp_path / "out", submit="debug", submit_parameters=wrong)


@pytest.mark.slow
def test_a_job_that_is_refused_says_why(cases, tmp_path):
    pytest.importorskip("submitit", reason="submitit is not installed")
    with pytest.raises(EngineError, match="not enough for 9 folds"):
        folded(cases, tmp_path / "out", submit="debug", folds=9)
    assert not (tmp_path / "out" / "folds.csv").exists()


@pytest.mark.slow
def test_no_slurm_here_gets_a_sentence(cases, tmp_path):
    submitit = pytest.importorskip("submitit", reason="submitit is not installed")
    if submitit.SlurmExecutor.affinity() >= 0:
        pytest.skip("there is a SLURM")
    with pytest.raises(EngineError) as problem:
        folded(cases, tmp_path / "out", submit="slurm")
    assert problem.value.code == "not-submitted"
