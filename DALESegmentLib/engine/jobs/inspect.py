"""Say what there is: every case with its geometry, classes and, where it has one, its problem in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..cases.case_files import read_case
from ..cases.find_cases import part
from ..cases.source import CaseSource, UnusableCase
from ..errors import EngineError
from ..process.progress import Progress
from .odd_cases import problems_together
from .parameters import CasesParameter, Parameters
from .survey import names_itself, names_of_all


class InspectParameters(Parameters):
    cases: CasesParameter


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    sources = InspectParameters.model_validate(parameters).cases.find_each()
    learned = part(sources, "learn")
    names = _common_names([*learned, *(source for source in sources if source not in learned)])
    rows = []
    for i, source in enumerate(sources):
        progress.report(100.0 * i / len(sources), "reading", f"Case {i + 1} of {len(sources)}")
        progress.check()
        rows.append(_row(source, names))
    together = problems_together([row for row in rows if row["problem"] is None], {s.name for s in learned})
    for row in rows:
        row["problem"] = row["problem"] or together.get(row["name"])
    return {"cases": rows, "problems": sum(row["problem"] is not None for row in rows)}


def _common_names(sources: Sequence[CaseSource | UnusableCase]) -> dict[int, str]:
    """As a training would number the segments; those of its own cases come first."""
    return names_of_all([s for s in sources if isinstance(s, CaseSource)], whatever_is_broken=True)


def _row(source: CaseSource | UnusableCase, names: Mapping[int, str]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": source.name, "split": source.split, "problem": None}
    try:
        if isinstance(source, UnusableCase):
            raise source.problem
        case = read_case(source, names if names_itself(source) else None)
    except EngineError as error:
        return {**row, "problem": error.sentence.removeprefix(f"{source.name}: ")}
    row |= {"geometry": case.geometry.as_dict(), "channels": case.channels}
    if case.label is not None:
        values, counts = np.unique(case.label, return_counts=True)
        row["classes"] = {str(v): n for v, n in case.class_names.items()}
        row["voxels"] = {str(int(v)): int(n) for v, n in zip(values, counts, strict=True) if v}
    return row
