"""Several raters' labels of the cases of a training: what each knows of the others, the consensus to validate on, and
what was found out about each rater."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..core.progress import Progress
from ..dale.label_state import LabelState
from ..dale.quality import confidence_of
from ..geometry.grid import Unit
from ..inference.predictor import Predictor
from ..io.name_pairs import is_rater_name, numbered_last
from ..metrics.rater_agreement import (
    ENOUGH_RATERS,
    Consensus,
    RatedCase,
    consensus_label,
    rated_case,
    rater_rows,
    rater_sentence,
)
from ..planning.preprocessing import PreparedCase

Raters = dict[str, list[PreparedCase]]

MIDDLE = "The consensus is the outline in the middle of the raters' (with an odd number, their majority vote)."
HALFWAY = (
    "The consensus of two raters is the outline halfway between theirs: only the difference of their biases is known."
)
OF_THE_MODEL = "Of one or two raters the consensus is what the trained model draws in the cases it learned from."


def by_case(cases: Sequence[PreparedCase]) -> Raters:
    """The cases that hold several raters' labels, by the case that they are of."""
    found: Raters = {}
    for case in cases:
        if case.of_case:
            found.setdefault(case.of_case, []).append(case)
    return found


def note_other_raters(cases: Sequence[PreparedCase]) -> None:
    """Say to each label which classes the others of its image have."""
    for raters in by_case(cases).values():
        drawn = [set(case.labels.class_counts(case.labels.initial)) - {0} for case in raters]
        for n, case in enumerate(raters):
            case.labels.drawn_by_others = frozenset().union(*(each for i, each in enumerate(drawn) if i != n))


def with_consensus(cases: Sequence[PreparedCase]) -> list[PreparedCase]:
    """The cases, with one in place of several raters' of one image: its label is their consensus."""
    raters, found = by_case(cases), []
    for case in cases:
        if not case.of_case:
            found.append(case)
        elif case is raters[case.of_case][0]:
            found.append(_consensus_case(raters[case.of_case]))
    return found


def _consensus_case(raters: Sequence[PreparedCase]) -> PreparedCase:
    first = raters[0]
    label = consensus_label([case.labels.given.numpy() for case in raters], first.spacing)
    inputs = {
        "image": first.inputs.get("image", ""),
        "label": " ".join(case.inputs.get("label", "") for case in raters),
    }
    state = LabelState(torch.from_numpy(label.astype(np.int16)))
    return replace(first, name=first.of_case, labels=state, inputs=inputs, of_case="", rater="")


def rater_findings(
    cases: Sequence[PreparedCase], predictor: Predictor, progress: Progress, unit: Unit
) -> dict[str, Any] | None:
    """{"raters": a row each (`rater_rows`), "consensus": what it is, in words}; None where no case has raters.

    Labels and their confidence are compared on the prepared grid, as they were given.
    """
    groups = by_case(cases)
    if not groups:
        return None
    rated: list[RatedCase] = []
    middle = 0
    for n, (name, raters) in enumerate(groups.items()):
        progress.check()
        progress.report(100.0 * n / len(groups), "validating", f"Comparing raters, case {n + 1} of {len(groups)}")
        probabilities = predictor.prepared_probabilities(raters[0].image, progress)
        labels, spacing = [case.labels.given.numpy() for case in raters], raters[0].spacing
        if len(raters) >= ENOUGH_RATERS:
            consensus, middle = Consensus.of_raters(labels, spacing), middle + 1
        else:
            drawn = probabilities.argmax(0).numpy().astype(labels[0].dtype)
            consensus = Consensus.of_label(drawn, spacing, labels)
        for case, label in zip(raters, labels, strict=True):
            inside = (label > 0) | ((consensus.label > 0) & (label >= 0))
            confidence = _confidence(case, probabilities)
            mean = float(confidence[inside].mean()) if inside.any() else None
            rated.append(rated_case(case.rater, name, label, consensus, spacing, mean))
    order = numbered_last({one.rater for one in rated})
    rated.sort(key=lambda one: order.index(one.rater))
    words = [MIDDLE] * (middle > 0) + [OF_THE_MODEL] * (middle < len(groups))
    return {"raters": rater_rows(rated, unit), "consensus": " ".join(words)}


def rater_sentences(result: Mapping[str, Any]) -> list[str]:
    """For the model card, of what `rater_findings` gave; a rater with a name that is no number gets one."""
    rows = without_names(result.get("raters", []))
    return [*(rater_sentence(row, row["rater"]) for row in rows), result["consensus"]] if rows else []


def without_names(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """As a bundle may hold them: `rater2` stays, `anna` becomes a number."""
    return [
        {**row, "rater": row["rater"] if is_rater_name(row["rater"]) else f"rater {n}"} for n, row in enumerate(rows, 1)
    ]


def _confidence(case: PreparedCase, probabilities: torch.Tensor) -> np.ndarray:
    """(*grid) float32, of the label as it was given."""
    label = case.labels.given
    known = case.labels.disagreement_of(label)
    found: np.ndarray = confidence_of(probabilities, label.clamp_min(0).long(), known, case.spacing).numpy()
    return found
