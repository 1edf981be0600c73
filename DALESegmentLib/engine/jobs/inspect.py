"""Say what there is: every case with its geometry, classes and, where it has one, its problem in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cases.case_files import read_case
from ..cases.source import CaseSource, UnusableCase
from ..errors import EngineError
from ..process.progress import Progress
from .parameters import CasesParameter, Parameters


class InspectParameters(Parameters):
    cases: CasesParameter


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    sources = InspectParameters.model_validate(parameters).cases.find_each()
    rows = []
    for i, source in enumerate(sources):
        progress.report(100.0 * i / len(sources), "reading", f"Case {i + 1} of {len(sources)}")
        progress.check()
        rows.append(_row(source))
    return {"cases": rows, "problems": sum(row["problem"] is not None for row in rows)}


def _row(source: CaseSource | UnusableCase) -> dict[str, Any]:
    row: dict[str, Any] = {"name": source.name, "split": source.split, "problem": None}
    try:
        if isinstance(source, UnusableCase):
            raise source.problem
        case = read_case(source)
    except EngineError as error:
        return {**row, "problem": error.sentence.removeprefix(f"{source.name}: ")}
    row |= {"geometry": case.geometry.as_dict(), "channels": case.channels}
    if case.label is not None:
        values, counts = np.unique(case.label, return_counts=True)
        row["classes"] = {str(v): n for v, n in case.class_names.items()}
        row["voxels"] = {str(int(v)): int(n) for v, n in zip(values, counts, strict=True) if v}
    return row
