"""The command inspect: every case with its geometry, its classes and its problem, if any.

A problem may also lie in the combination: cases that are valid alone, but cannot be learned together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.progress import Progress
from ..io.case import CaseSource, UnusableCase
from ..io.case_files import read_case
from ..io.checks import nothing_labelled
from ..io.find_cases import part
from .dataset import names_itself, names_of_all
from .parameters import CasesParameter, Parameters

Row = Mapping[str, Any]  # of a case, as `inspect` answers it


def problems_together(rows: Sequence[Row], learned: Collection[str]) -> dict[str, str]:
    """{case: sentence} for the odd ones out, by the checks that a training makes of all its cases.

    learned: names of the cases that a training would take; the others need no label.
    """
    problems: dict[str, str] = {}
    for check in (_other_dims, _other_channels, _other_classes):
        problems |= check([row for row in rows if row["name"] not in problems])
    to_learn = [row for row in rows if row["name"] in learned]
    return _nothing_labelled(to_learn) | _no_label(to_learn) | problems


def _other_dims(rows: Sequence[Row]) -> dict[str, str]:
    kinds = {True: "a 2D picture", False: "a volume"}
    return {
        row["name"]: f"{row['name']} is {kinds[_flat(row)]}, but {usual['name']} is {kinds[_flat(usual)]}; "
        "keep pictures and volumes in folders of their own."
        for row, usual in _odd(rows, _flat)
    }


def _flat(row: Row) -> bool:
    return len(row["geometry"]["size"]) == 2


def _other_channels(rows: Sequence[Row]) -> dict[str, str]:
    return {
        row["name"]: f"{row['name']} has {row['channels']} {'channel' if row['channels'] == 1 else 'channels'}, "
        f"but {usual['name']} has {usual['channels']}; "
        "choose the same images for every case, all in grey or all in colour."
        for row, usual in _odd(rows, lambda row: row["channels"])
    }


def _odd(rows: Sequence[Row], key: Callable[[Row], Any]) -> list[tuple[Row, Row]]:
    """The rows that differ from what most rows have, each with the first row that has it."""
    counts = Counter(key(row) for row in rows)
    usual = next((row for row in rows if counts[key(row)] == max(counts.values())), None)
    return [(row, usual) for row in rows if usual is not None and key(row) != key(usual)]


def _other_classes(rows: Sequence[Row]) -> dict[str, str]:
    problems: dict[str, str] = {}
    first: dict[str, tuple[str, str]] = {}
    for row in rows:
        for value, name in row.get("classes", {}).items():
            case, usual = first.setdefault(value, (row["name"], name))
            if name != usual:
                problems[row["name"]] = (
                    f"Label {value} is {usual} in {case} but {name} in {row['name']}; "
                    "give the segments the same names and order in every case."
                )
    return problems


def _nothing_labelled(rows: Sequence[Row]) -> dict[str, str]:
    labelled = [row for row in rows if "voxels" in row]
    if any(row["voxels"] for row in labelled):
        return {}
    return {row["name"]: nothing_labelled([row["name"] for row in labelled]) for row in labelled}


def _no_label(rows: Sequence[Row]) -> dict[str, str]:
    """Where no case has a label, they are there to be predicted."""
    labelled = next((row["name"] for row in rows if "voxels" in row), None)
    return {
        row["name"]: f"{row['name']} has no label, but {labelled} has one; say which file it is, or leave the case out."
        for row in rows
        if labelled is not None and "voxels" not in row
    }


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
