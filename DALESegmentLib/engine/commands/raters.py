"""The command raters: how several raters draw, from their labels alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.progress import Progress
from ..geometry.grid import Unit
from ..io.case import Case, CaseSource
from ..io.file_roles import ALL_RATERS
from ..io.name_pairs import numbered_last
from ..metrics.rater_agreement import ENOUGH_RATERS, Consensus, RatedCase, rated_case, rater_rows, rater_sentence
from ..training.rater_labels import HALFWAY, MIDDLE
from .dataset import find_labelled, names_itself, names_of_all, read_labelled
from .parameters import CasesParameter, Parameters


class RatersParameters(Parameters):
    cases: CasesParameter


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = RatersParameters.model_validate(parameters)
    cases = asked.cases
    if cases.rater is None and cases.label is None:
        cases = cases.model_copy(update={"rater": ALL_RATERS})
    sources = find_labelled(cases, progress, cases.find())
    if not any(source.of_case for source in sources):
        raise EngineError(
            "raters-unclear", "Several raters are compared; name them, for instance --rater all or --rater r1,r2."
        )
    names = names_of_all(sources)
    rated: list[RatedCase] = []
    alone = halfway = 0
    unit: Unit = "mm"
    groups = [(name, list(group)) for name, group in groupby(sources, lambda source: source.of_case)]
    for n, (name, group) in enumerate(groups):
        progress.check()
        progress.report(100.0 * n / len(groups), "reading", f"Comparing raters, case {n + 1} of {len(groups)}")
        if len(group) < 2:
            alone += 1
            continue
        halfway += len(group) < ENOUGH_RATERS
        labels = []
        for case in _read(group, names):
            labels.append(_annotated(case))
            unit = case.geometry.unit
            spacing = case.geometry.array_spacing
        consensus = Consensus.of_raters(labels, spacing)
        rated += [rated_case(s.rater, name, label, consensus, spacing) for s, label in zip(group, labels, strict=True)]
    if not rated:
        raise EngineError("raters-unclear", "No case has labels of two raters; name a folder where some have.")
    order = numbered_last({one.rater for one in rated})
    rows = rater_rows(sorted(rated, key=lambda one: order.index(one.rater)), unit)
    compared = len(groups) - alone
    words = [MIDDLE] * (halfway < compared) + [HALFWAY] * (halfway > 0)
    return {
        "raters": rows,
        "consensus": " ".join(words),
        "cases": compared,
        "one_rater": alone,
        "sentences": [rater_sentence(row, row["rater"]) for row in rows],
    }


def _read(sources: Sequence[CaseSource], names: dict[int, str]) -> Iterator[Case]:
    for source in sources:
        yield read_labelled(source, names if names_itself(source) else None)


def _annotated(case: Case) -> np.ndarray:
    """(*grid) the label, -1 where it is not annotated."""
    label = np.asarray(case.label).astype(np.int32)
    return label if case.annotated is None else np.where(case.annotated, label, -1)
