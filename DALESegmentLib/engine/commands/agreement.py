"""Measure how far two readers of a review agree, and list what they disagree about, to be decided by a third.

The list is a table that `decisions --verdicts` takes once its columns verdict and reason are filled in.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import EngineError
from ..core.files import replacing, write_json
from ..core.progress import Progress
from ..dale.issues import Region
from ..geometry.grid import Unit
from ..metrics.reader_agreement import figure, kappa, mean, outlines_around
from ..metrics.segmentation import SHORT, mean_dice
from ..review.decisions import Decision, History, ReviewState
from ..review.dicom_review import Key, region_key
from ..review.readers import SignOff, one_spelling, reader_key
from .parameters import CasesParameter, Parameters
from .reviewed_cases import ReviewedCase, decision_about, listed_regions, reader_histories, reviewed_cases

AGREEMENT, ADJUDICATION = "agreement.json", "adjudication.csv"
DIFFERENT_DICE = 0.95
"""Below it, around a region, outlines are said to differ."""
DIFFERENT_SCORE = 2
FORMULA = ("=", "+", "-", "@")
"""Text that begins so would be worked out by a spreadsheet; it is written after an apostrophe."""
COLUMNS = (
    *("rank", "case", "class_name", "suspicion", "r_mm", "a_mm", "s_mm"),
    *("reader_1", "verdict_1", "reason_1", "reader_2", "verdict_2", "reason_2"),
    *("dice", "distance", "unit", "why", "verdict", "reason"),
)


class AgreementParameters(Parameters):
    results: Path
    readers: tuple[str, ...] = ()
    cases: CasesParameter | None = None
    out: Path | None = None
    overwrite: bool = False


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = AgreementParameters.model_validate(parameters)
    rows = listed_regions(asked.results)
    out = asked.out or asked.results
    if not asked.overwrite and (out / ADJUDICATION).exists():
        raise EngineError(
            "results-exist",
            f"{out.name} holds {ADJUDICATION} already; choose another folder with --out, or replace it by --overwrite.",
        )
    histories = list(reader_histories(asked.results).values())
    first, second = pair = _pair(asked, histories)
    states = [state_of(histories, name) for name in pair]
    decided = [decisions_by_row(rows, state) for state in states]
    both = [row for row in rows if all(region_key(row) in each for each in decided)]
    once = sum(sum(region_key(row) in each for each in decided) == 1 for row in rows)
    drawn, whole = _outlines(asked, states, rows, both, progress)
    items = [_item(row, pair, [each[region_key(row)] for each in decided], drawn.get(region_key(row))) for row in both]
    scores = _scores(states)
    disagreements = [*(item for item in items if item["why"]), *_score_rows(scores, pair)]
    unit: Unit = next((row.unit for row in rows), "mm")
    result: dict[str, Any] = {
        "format": "dalesegment-agreement",
        "version": 1,
        "readers": [first, second],
        "regions": items,
        "decided_by_both": len(both),
        "decided_by_one": once,
        "kappa": figure(_by_case(both, decided), kappa).as_dict(),
        "same_verdict": figure(_by_case(both, decided), _share_equal).as_dict(),
        "score_kappa": figure({case: [pair] for case, pair in scores.items()}, _weighted).as_dict(),
        "dice": figure(_values(items, "dice"), mean).as_dict(),
        f"distance_{SHORT[unit]}": figure(_values(items, "distance"), mean).as_dict(),
        "whole_dice": whole,
        "disagreements": len(disagreements),
    }
    result["sentences"] = _sentences(result, unit)
    write_json(out / AGREEMENT, result)
    _write_list(disagreements, out / ADJUDICATION)
    return {**result, "json": str(out / AGREEMENT), "csv": str(out / ADJUDICATION)}


def state_of(histories: Sequence[History], name: str) -> ReviewState:
    """What one reader's decisions come to, over all logs."""
    standing: dict[int, Decision] = {}
    signed: dict[str, SignOff] = {}
    for history in histories:
        state = history.state(name)
        standing |= {len(standing) + n: decision for n, decision in enumerate(state.standing.values(), 1)}
        signed |= state.signed
    return ReviewState(standing, signed)


def decisions_by_row(rows: Sequence[Region], state: ReviewState) -> dict[Key, Decision]:
    """What a reader decided about whole rows, by `region_key` of the row."""
    by_piece = {region_key(d): d for d in state.standing.values()}
    found = ((region_key(row), decision_about(row, by_piece)) for row in rows)
    return {key: decision for key, decision in found if decision is not None}


def readers_in(histories: Sequence[History]) -> list[str]:
    names = [d.annotator for h in histories for d in h.decided.values()]
    return sorted(one_spelling([*names, *(s.annotator for h in histories for s in h.sign_offs.values())]))


def _pair(asked: AgreementParameters, histories: Sequence[History]) -> tuple[str, str]:
    known = readers_in(histories)
    spelled = {reader_key(name): name for name in known}
    chosen = [spelled.get(reader_key(name), name) for name in asked.readers] or known
    if unknown := sorted(set(chosen) - set(known)):
        there = ", ".join(known) or "nobody"
        raise EngineError("unknown-reader", f"{unknown[0]} decided nothing in this folder, but {there} did.")
    if len(set(chosen)) != 2:
        names = f": {', '.join(known)}" if known else ""
        raise EngineError(
            "not-two-readers",
            f"Agreement is measured between two readers, and {len(set(chosen))} decided here{names}; "
            "name two, each with --reader.",
        )
    first, second = dict.fromkeys(chosen)
    return first, second


def _outlines(
    asked: AgreementParameters,
    states: Sequence[ReviewState],
    rows: Sequence[Region],
    both: Sequence[Region],
    progress: Progress,
) -> tuple[dict[Any, tuple[float, float | None]], dict[str, float | None]]:
    """Dice and distance around each region, and over each case the mean Dice of its classes."""
    around: dict[Any, tuple[float, float | None]] = {}
    whole: dict[str, float | None] = {}
    if asked.cases is None:
        return around, whole
    wanted = {row.case for row in both}
    for reviewed in reviewed_cases(asked.cases, asked.results, rows, progress, wanted):
        labels = [reviewed.label_of(state) for state in states]
        whole[reviewed.name] = mean_dice(*labels)
        for row in both:
            if row.case == reviewed.name:
                masks = [label == row.label_value for label in labels]
                around[region_key(row)] = outlines_around(masks[0], masks[1], _box(row, reviewed), reviewed.spacing)
    return around, whole


def _box(row: Region, reviewed: ReviewedCase) -> tuple[slice, ...]:
    """Around all pieces of a row, along the array's axes."""
    leaves = row.leaves
    first = [min(piece.first_voxel[axis] for piece in leaves) for axis in range(reviewed.label.ndim)]
    last = [max(piece.last_voxel[axis] for piece in leaves) for axis in range(reviewed.label.ndim)]
    return tuple(slice(a, b + 1) for a, b in zip(reversed(first), reversed(last), strict=True))


def _item(
    row: Region, names: Sequence[str], decided: Sequence[Decision], drawn: tuple[float, float | None] | None
) -> dict[str, Any]:
    score, distance = drawn or (None, None)
    why = []
    if decided[0].verdict != decided[1].verdict:
        why.append("verdicts differ")
    if score is not None and score < DIFFERENT_DICE:
        why.append("outlines differ")
    item = {"rank": row.rank, "case": row.case, "class_name": row.class_name, "suspicion": row.suspicion}
    if row.unit == "mm":
        item |= {f"{axis}_mm": round(x, 3) for axis, x in zip("ras", row.centre_ras, strict=True)}
    for n, (name, decision) in enumerate(zip(names, decided, strict=True), 1):
        item |= {f"reader_{n}": name, f"verdict_{n}": decision.verdict, f"reason_{n}": decision.reason}
    return {**item, "dice": score, "distance": distance, "unit": row.unit, "why": " and ".join(why)}


def _scores(states: Sequence[ReviewState]) -> dict[str, tuple[int, int]]:
    """Of the cases that both signed off."""
    found = {}
    for case, signed in states[0].signed.items():
        other = states[1].signed.get(case)
        if other is not None and signed.score is not None and other.score is not None:
            found[case] = (signed.score, other.score)
    return found


def _score_rows(scores: Mapping[str, tuple[int, int]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Cases whose verdicts lie far apart; they have no rank."""
    return [
        {
            "case": case,
            "reader_1": names[0],
            "verdict_1": first,
            "reader_2": names[1],
            "verdict_2": second,
            "why": "scores differ",
        }
        for case, (first, second) in scores.items()
        if abs(first - second) >= DIFFERENT_SCORE
    ]


def _by_case(both: Sequence[Region], decided: Sequence[Mapping[Any, Decision]]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in both:
        first, second = (each[region_key(row)].verdict for each in decided)
        found[row.case].append((first, second))
    return found


def _values(items: Sequence[Mapping[str, Any]], name: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for item in items:
        if item[name] is not None:
            found[item["case"]].append(item[name])
    return found


def _share_equal(pairs: Sequence[tuple[str, str]]) -> float | None:
    return mean([first == second for first, second in pairs])


def _weighted(pairs: Sequence[tuple[int, int]]) -> float | None:
    return kappa(pairs, weights="quadratic")


def _sentences(result: Mapping[str, Any], unit: str) -> list[str]:
    first, second = result["readers"]
    said = [
        f"Regions that {first} and {second} both decided: {result['decided_by_both']}; "
        f"that one of them alone decided: {result['decided_by_one']}."
    ]
    length = "mm" if unit == "mm" else "px"
    for name, words in (
        ("same_verdict", "Share of equal verdicts"),
        ("kappa", "Cohen's kappa of the verdicts"),
        ("score_kappa", "Weighted kappa of the cases' scores"),
        ("dice", "Mean Dice around the regions"),
        (f"distance_{length}", f"Mean distance between their outlines there, in {length}"),
    ):
        told = result[name]
        if told["value"] is None:
            continue
        between = (
            f" ({told['level']:.0%} interval {told['low']:.3g} to {told['high']:.3g})"
            if told["low"] is not None
            else " (no interval: it needs two cases)"
        )
        said.append(f"{words}: {told['value']:.3g}{between}.")
    said.append(f"Disagreements, listed to be decided by a third reader: {result['disagreements']}.")
    return said


def _write_list(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items() if key in COLUMNS})
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return f"{value:.4g}" if isinstance(value, float) else value
