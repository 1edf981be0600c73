"""The command inspect: every case with its geometry, its classes and its problem, if any.

A problem may also lie in the combination: cases that are valid alone, but cannot be learned together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.notes import noting
from ..core.progress import Progress
from ..io.case import CaseSource, UnusableCase
from ..io.case_files import read_case
from ..io.checks import count_values, looks_like_mask, nothing_labelled
from ..io.find_cases import part
from ..io.label_encoding import AS_STORED
from ..io.unused_files import LOOKS_SO, UnusedFiles
from .dataset import candidates_of, look_at_labels, names_itself, names_of_all, unused_files_of
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
    """Where no case has a label, they are there to be predicted, unless there are files that may be the labels."""
    labelled = next((row["name"] for row in rows if "voxels" in row), None)
    return {
        row["name"]: f"{row['name']} has no label, but {row['may_be_label'] or _another(labelled)}."
        for row in rows
        if "voxels" not in row and (labelled is not None or row["may_be_label"])
    }


def _another(labelled: str | None) -> str:
    return f"{labelled} has one; say which file it is with --label, or leave the case out with --exclude"


class InspectParameters(Parameters):
    cases: CasesParameter


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The rows of all cases; of the set the layout, what its label values mean, and the files that are part of no case.

    problem: what is wrong with the whole set; problems: how many rows have one, and the set.
    """
    asked = InspectParameters.model_validate(parameters).cases
    sources = asked.find_each()
    learned = part(sources, "learn")
    usable = [source for source in sources if isinstance(source, CaseSource)]
    about: dict[str, Any] = {"layout": _layout(usable), "labels": [], "hint": "", "problem": None, "left_over": []}
    try:
        labels = look_at_labels(usable, asked, progress.part(0, 30))
        about |= {"labels": list(labels.encoding.sentences), "hint": labels.hint}
        encoding = labels.encoding
    except EngineError as error:
        about["problem"], encoding = error.sentence, AS_STORED
    sources = [replace(s, encoding=encoding) if isinstance(s, CaseSource) else s for s in sources]
    learned = part(sources, "learn")
    names = _common_names([*learned, *(source for source in sources if source not in learned)])
    rows = []
    reading = progress.part(30, 98)
    for i, source in enumerate(sources):
        reading.report(100.0 * i / len(sources), "reading", f"Case {i + 1} of {len(sources)}")
        reading.check()
        rows.append(_row(source, names))
    together = problems_together([row for row in rows if row["problem"] is None], {s.name for s in learned})
    for row in rows:
        row["problem"] = row["problem"] or together.get(row["name"])
    groups = unused_files_of(asked)
    about["left_over"] = [group.as_dict() for group in groups]
    about["problem"] = about["problem"] or (_labels_of_nobody(rows, groups) if groups else None)
    wrong = sum(row["problem"] is not None for row in rows) + (about["problem"] is not None)
    return {"cases": rows, "problems": wrong, **about}


def _labels_of_nobody(rows: Sequence[Row], groups: Sequence[UnusedFiles]) -> str | None:
    """Where no case has a label, although there are files that look like labels."""
    labels = [group for group in groups if group.why.startswith(LOOKS_SO)]
    if not labels or any(row.get("label") or row.get("may_be_label") for row in rows):
        return None
    files = sum(group.files for group in labels)
    return (
        f"No case has a label, but {files} {'file looks' if files == 1 else 'files look'} like one, for instance "
        f"{labels[0].example}; give them the names of their images, or name both in a CSV and type --list."
    )


def _layout(sources: Sequence[CaseSource]) -> str:
    """Those of most cases, in words."""
    counts = Counter(source.layout for source in sources if source.layout)
    return ", ".join(f"{name} ({n})" if len(counts) > 1 else name for name, n in counts.most_common(3))


def _common_names(sources: Sequence[CaseSource | UnusableCase]) -> dict[int, str]:
    """As a training would number the segments; those of its own cases come first."""
    return names_of_all([s for s in sources if isinstance(s, CaseSource)], whatever_is_broken=True)


def _row(source: CaseSource | UnusableCase, names: Mapping[int, str]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": source.name, "split": source.split, "problem": None}
    try:
        if isinstance(source, UnusableCase):
            raise source.problem
        row |= _files(source)
        with noting() as notes:
            case = read_case(source, names if names_itself(source) else None)
    except EngineError as error:
        return {**row, "problem": error.sentence.removeprefix(f"{source.name}: ")}
    row |= {"geometry": case.geometry.as_dict(), "channels": case.channels, "notes": [*case.notes, *notes]}
    if case.label is not None:
        row["classes"] = {str(v): n for v, n in case.class_names.items()}
        counts = count_values(case.label)
        row["voxels"] = {str(v): n for v, n in counts.items() if v}
        row["not_annotated"] = 0 if case.annotated is None else int(np.count_nonzero(~case.annotated))
    elif source.images and looks_like_mask(case.image):
        row["problem"] = (
            f"its image {source.images[0].name} has few whole values, as masks have; say with --image which "
            "file is the image."
        )
    return row


def _files(source: CaseSource) -> dict[str, Any]:
    """Which file is what: names, with their folder where it is not the image's."""
    label = [source.label] if source.label is not None else list(source.class_files.values())
    return {
        "image": [str(path) for path in source.images] or [str(source.arrays)],
        "label": [str(path) for path in label],
        "may_be_label": candidates_of(source) if source.candidates else "",
    }
