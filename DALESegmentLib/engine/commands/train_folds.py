"""Train once for each fold of the cases, here or as jobs of a cluster, and put the results into one table.

Every fold is a run of its own, <out>/fold_<n>, that validates on its part of the patients; where all have ended, the
last one writes <out>/folds.csv. Jobs are started by submitit: on SLURM, or as processes of this machine.
"""

from __future__ import annotations

import csv
import io
import re
import statistics
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..bundle.run_folder import RUN_FILE
from ..core.errors import EngineError
from ..core.files import read_json, replacing
from ..core.progress import Progress
from . import train
from .train import TrainParameters

TABLE = "folds.csv"
JOBS = "jobs"
"""Folder of submitit's files: what each job printed, and its answer."""
LOOK_SECONDS = 0.5
PARAMETERS = (
    *("timeout_min", "mem_gb", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node"),
    *(f"slurm_{name}" for name in ("partition", "account", "qos", "constraint", "time", "mem", "gpus_per_node")),
)
"""Of submitit's; others could name commands to run."""


class TrainFoldsParameters(TrainParameters):
    """submit: where the folds run, one after the other here by default; submit_parameters: submitit's, such as
    slurm_partition or timeout_min."""

    folds: int = Field(5, ge=2, le=100)
    submit: Literal["slurm", "local", "debug"] | None = None
    submit_parameters: dict[str, str] = Field(default_factory=dict)


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Raises EngineError("package-missing", "not-submitted") and what training raises."""
    asked = TrainFoldsParameters.model_validate(parameters)
    _checked(asked.submit_parameters)
    own = {key: value for key, value in parameters.items() if key not in ("submit", "submit_parameters")}
    jobs = [own | {"out": str(asked.out.resolve() / f"fold_{n}"), "fold": n} for n in range(asked.folds)]
    if asked.submit is None:
        for n, job in enumerate(jobs):
            _train(job, progress.part(100.0 * n / len(jobs), 100.0 * (n + 1) / len(jobs)))
        return _answer(asked)
    return _submitted(asked, jobs, progress)


def run_fold(parameters: dict[str, Any]) -> dict[str, Any]:
    """In a job; a refusal is part of its answer, since others have to read it."""
    try:
        return _train(parameters, Progress())
    except EngineError as error:
        return {"code": error.code, "sentence": error.sentence}


def _train(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    answer = train.run(parameters, progress)
    write_table(Path(parameters["out"]).parent, parameters["folds"])
    return answer


def write_table(out: Path, folds: int) -> list[dict[str, Any]]:
    """A row a fold, and their mean, once all are finished; nothing before that."""
    rows = []
    for n in range(folds):
        path = out / f"fold_{n}" / RUN_FILE
        record = read_json(path) if path.is_file() else {}
        if record.get("status") != "finished":
            return []
        scores = [row["validation_dice"] for row in record["history"] if row.get("validation_dice") is not None]
        cases = len(record["training"]), len(record["validation"])
        best = scores[-1] if scores else None
        rows.append({"fold": n, "training": cases[0], "validation": cases[1], "validation_dice": best})
    known = [row["validation_dice"] for row in rows if row["validation_dice"] is not None]
    rows.append({"fold": "mean", "validation_dice": statistics.fmean(known) if known else None})
    text = io.StringIO()
    writer = csv.DictWriter(text, ("fold", "training", "validation", "validation_dice"), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(out / TABLE) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
    return rows


def _submitted(asked: TrainFoldsParameters, jobs: list[dict[str, Any]], progress: Progress) -> dict[str, Any]:
    if find_spec("submitit") is None:
        raise EngineError(
            "package-missing", "Jobs need the Python package submitit; type pip install 'dalesegment[cluster]'."
        )
    import submitit

    try:
        executor = submitit.AutoExecutor(asked.out.resolve() / JOBS, cluster=asked.submit)
        executor.update_parameters(name="dalesegment", **_checked(asked.submit_parameters))
        with executor.batch():
            started = [executor.submit(run_fold, job) for job in jobs]
    except (NameError, RuntimeError, TypeError, ValueError, OSError) as error:
        raise EngineError(
            "not-submitted", f"The jobs were not started ({str(error)[:200]}); check --submit and its parameters."
        ) from error
    told = {"jobs": [job.job_id for job in started]}
    if asked.submit == "slurm":
        return told | _answer(asked)
    try:
        while not all(job.done() for job in started):
            progress.check()
            done = sum(job.done() for job in started)
            progress.report(100.0 * done / len(jobs), "training", f"{done} of {len(jobs)} folds have ended")
            time.sleep(LOOK_SECONDS)
    except BaseException:
        for job in started:
            job.cancel(check=False)
        raise
    for job in started:
        answer = job.result()
        if "code" in answer:
            raise EngineError(answer["code"], answer["sentence"])
    return told | _answer(asked)


def _checked(parameters: dict[str, str]) -> dict[str, str | int]:
    """Raises EngineError("bad-submit-parameter")."""
    for name, value in parameters.items():
        if name not in PARAMETERS or not re.fullmatch(r"[\w.:,-]{1,100}", value):
            raise EngineError(
                "bad-submit-parameter",
                f"{name[:40]}={value[:40]} is no parameter of a job that is known here; those are "
                f"{', '.join(PARAMETERS)}, each with a plain word or number.",
            )
    return {name: _number(value) for name, value in parameters.items()}


def _number(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def _answer(asked: TrainFoldsParameters) -> dict[str, Any]:
    """table: the path of what comes when all folds have ended; rows: as far as they have."""
    out = asked.out.resolve()
    rows = write_table(out, asked.folds)
    runs = [str(out / f"fold_{n}") for n in range(asked.folds)]
    return {"runs": runs, "folds": rows, "table": str(out / TABLE)}
