"""What one reader decided about the rows of a review list: told, and added to. Nothing of other readers is shown.

Decisions come one by one (`rank` and `verdict`), as a table (`verdicts`), or with corrected labels (`corrected`). With
the cases at hand a decision also vouches for voxels: those of the region and what is seen around it. One that says that
the label was changed does so only with a label that was.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import Field

from ..core.errors import EngineError
from ..core.progress import Progress
from ..dale.issues import Region
from ..io.csv_files import read_csv
from ..review.decisions import Decision, History, Verdict
from ..review.dicom_review import Key, region_key
from ..review.log import ReviewLog, open_log, read_history
from ..review.readers import Reader, SignOff, check_open, reader_log
from ..review.reviewed_voxels import TrustedVoxels, reviewed_mask
from .parameters import CasesParameter, Parameters
from .reviewed_cases import ReviewedCase, check_cases_open, decision_about, listed_regions, reviewed_cases

CHANGED = ("corrected", "accepted")
"""Verdicts under which a label is another one than before."""


class ReaderParameters(Parameters):
    """Who reads, in a folder of results."""

    results: Path
    reader: str = Field(min_length=1, max_length=64)
    role: str | None = Field(None, max_length=200)
    instruction: str | None = Field(None, max_length=200, description="version of the reading instruction")
    reason: str = Field("", max_length=2000)

    @property
    def log(self) -> Path:
        return reader_log(self.results, self.reader)

    def signature(self, history: History) -> Reader:
        """Role and instruction as given, else as this reader gave them last. Raises EngineError("not-signed")."""
        before: dict[int, Decision | SignOff] = {**history.decided, **history.sign_offs}
        last = before[max(before)] if before else None
        role = self.role or (last.role if last is not None else "")
        instruction = self.instruction or (last.instruction if last is not None else "")
        if not role or not instruction:
            raise EngineError(
                "not-signed",
                f"Say as what {self.reader} reads and by which version of the reading instruction, for instance "
                "--role radiologist --instruction 1.0; both are kept for later decisions.",
            )
        return Reader(self.reader.strip(), role, instruction)


class DecisionsParameters(ReaderParameters):
    rank: int | None = Field(None, ge=1)
    verdict: Verdict | None = None
    verdicts: Path | None = None
    corrected: Path | None = None
    cases: CasesParameter | None = None
    undo: int | None = Field(None, ge=1)


@dataclass(frozen=True)
class NewDecision:
    """A decision that is to be written; the log takes one for each piece of the row, as Slicer's panel writes them."""

    row: Region
    verdict: Verdict
    reason: str

    @property
    def key(self) -> Key:
        return region_key(self.row)


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = DecisionsParameters.model_validate(parameters)
    rows = listed_regions(asked.results)
    wanted = _wanted(asked, rows)
    written, is_first = 0, not asked.log.exists()
    if asked.undo is not None or wanted or asked.corrected is not None:
        written = _write(asked, rows, wanted, progress)
    told = {"reader": asked.reader, "log": str(asked.log), "written": written, "first": bool(written) and is_first}
    return {**told, **_told(asked, rows)}


def _wanted(asked: DecisionsParameters, rows: Sequence[Region]) -> list[NewDecision]:
    by_rank = {row.rank: row for row in rows}
    if (asked.rank is None) != (asked.verdict is None):
        raise EngineError("half-a-decision", "Give --rank and --verdict together: which row, and what of it.")
    if asked.corrected is not None and asked.cases is None:
        raise EngineError("no-cases", "Corrected labels are compared with the given ones; name the cases by --data.")
    found = [] if asked.verdicts is None else read_verdicts(asked.verdicts)
    if asked.rank is not None and asked.verdict is not None:
        found.append((asked.rank, asked.verdict, asked.reason))
    for rank, *_ in found:
        if rank not in by_rank:
            raise EngineError("no-such-row", f"The list has no row {rank}; its ranks go from 1 to {len(rows)}.")
    return [NewDecision(by_rank[rank], verdict, reason or asked.reason) for rank, verdict, reason in found]


def read_verdicts(path: Path) -> list[tuple[int, Verdict, str]]:
    """Rank, verdict and reason of the rows that have a verdict, of a CSV with these columns; `state` counts as verdict,
    as Slicer exports it. Raises EngineError("missing-file", "bad-verdicts", "bad-verdict")."""
    try:
        rows = read_csv(path)
        named = [((row.get("verdict") or row.get("state") or "").strip().lower(), row) for row in rows]
        found = [
            (_rank(row["rank"], path), verdict, (row.get("reason") or "").strip()) for verdict, row in named if verdict
        ]
        if not rows or not {"verdict", "state"} & set(rows[0]):
            raise ValueError("no verdicts")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as reason:
        raise EngineError(
            "bad-verdicts",
            f"{path.name} is no table of verdicts; give a CSV with the columns rank, verdict and reason.",
        ) from reason
    for rank, verdict, _ in found:
        if verdict not in get_args(Verdict):
            raise EngineError(
                "bad-verdict",
                f"Row {rank} of {path.name} has the verdict {verdict[:20]!r}; write confirmed, accepted, corrected, "
                "unsure or open.",
            )
    ranks = [rank for rank, *_ in found]
    if twice := next((rank for rank in ranks if ranks.count(rank) > 1), None):
        raise EngineError("bad-verdicts", f"Row {twice} has several verdicts in {path.name}; leave one of them.")
    return found  # type: ignore[return-value]


def _rank(text: str, path: Path) -> int:
    """Raises EngineError("bad-verdicts")."""
    if not text.strip().isdecimal():
        raise EngineError(
            "bad-verdicts", f"{path.name} has the rank {text[:20]!r}; write the whole number that the review list has."
        )
    return int(text)


def _write(
    asked: DecisionsParameters, rows: Sequence[Region], wanted: Sequence[NewDecision], progress: Progress
) -> int:
    """How many decisions were written, about whole rows or what was changed elsewhere. All that is wrong is said before
    the first."""
    history = read_history(asked.log)
    signed = asked.signature(history)
    undone_case = [history.decided[asked.undo].case] if asked.undo in history.decided else []
    check_cases_open(asked.results, [*undone_case, *(each.row.case for each in wanted)])
    voxels, edits = _vouched(asked, rows, list(wanted), progress)
    wanted = [*wanted, *(each for each in voxels if each not in wanted)]
    cases = dict.fromkeys([*(each.row.case for each in wanted), *edits])
    check_cases_open(asked.results, cases)
    for case in cases:
        check_open(history.signed().get(case))
    standing = {region_key(d): d for d in history.state().standing.values()}
    for each in wanted:
        before = decision_about(each.row, standing)
        if before is not None and before.verdict != each.verdict and not each.reason:
            raise EngineError(
                "reason-missing",
                f"Row {each.row.rank} was {before.verdict} before; say with --reason why it is {each.verdict} now.",
            )
    with open_log(asked.log) as log:
        for each in wanted:
            vouched = voxels.get(each, {})
            for piece in each.row.leaves:
                log.decide(piece, each.verdict, signed, vouched.get(piece.region_id), each.reason)
        for case, part in edits.items():
            log.note_edit(case, signed, part, asked.reason)
        undone = 0 if asked.undo is None else _undo(log, asked.undo, rows)
    return len(wanted) + len(edits) + undone


def _undo(log: ReviewLog, number: int, rows: Sequence[Region]) -> int:
    """Take back a decision, about a row that of all its pieces; how many decisions."""
    standing = log.state.standing
    told = standing.get(number)
    key = None if told is None else region_key(told)
    pieces = next((keys for row in rows if key in (keys := [region_key(piece) for piece in row.leaves])), [key])
    same = [n for n, d in standing.items() if told is not None and (d.verdict, d.reason) == (told.verdict, told.reason)]
    together = [n for n in same if region_key(standing[n]) in pieces and (n == number or len(pieces) > 1)]
    for each in together or [number]:
        log.undo(each)
    return 1


def _vouched(
    asked: DecisionsParameters, rows: Sequence[Region], wanted: list[NewDecision], progress: Progress
) -> tuple[dict[NewDecision, dict[int, TrustedVoxels]], dict[str, TrustedVoxels]]:
    """What each decision vouches for, by the region_id of a piece, also those that follow from the corrected labels;
    and by case what was changed elsewhere."""
    voxels: dict[NewDecision, dict[int, TrustedVoxels]] = {}
    edits: dict[str, TrustedVoxels] = {}
    if asked.cases is None:
        return voxels, edits
    named = {each.row.case for each in wanted}
    cases = named if asked.corrected is None else named | {source.name for source in asked.cases.find()}
    if asked.corrected is not None and not asked.corrected.is_dir():
        raise EngineError("missing-folder", f"{asked.corrected.name} is not there; check its name and place.")
    seen, compared = set(), 0
    for reviewed in reviewed_cases(asked.cases, asked.results, rows, progress, cases):
        seen.add(reviewed.name)
        drawn = None if asked.corrected is None else reviewed.corrected_in(asked.corrected)
        compared += drawn is not None
        after = reviewed.label if drawn is None else drawn
        changed = after != reviewed.label
        own = [each for each in wanted if each.row.case == reviewed.name]
        own += _implied(reviewed, rows, own, changed, asked.reason)
        rest = changed.copy()
        for each in own:
            pieces, drawn_there = {}, False
            for piece in each.row.leaves:
                mask = reviewed_mask(reviewed.region_map, [piece.region_id], reviewed.spacing)
                pieces[piece.region_id] = TrustedVoxels.of(mask, after, reviewed.fingerprint)
                drawn_there = drawn_there or bool(changed[mask].any())
                rest &= ~mask
            vouches = each.verdict == "confirmed" or (each.verdict in CHANGED and drawn_there)
            voxels[each] = pieces if vouches else {}
        if rest.any():
            edits[reviewed.name] = TrustedVoxels.of(rest, after, reviewed.fingerprint)
    if missing := sorted(named - seen):
        raise EngineError(
            "unknown-case", f"{missing[0]} is decided about, but its label is not among the cases; check --data."
        )
    if asked.corrected is not None and not compared:
        raise EngineError(
            "no-corrected-label",
            f"{asked.corrected.name} holds no label of these cases; call them <case>.nii.gz or <case>/label.nii.gz.",
        )
    return voxels, edits


def _implied(
    reviewed: ReviewedCase, rows: Sequence[Region], own: Sequence[NewDecision], changed: np.ndarray, reason: str
) -> list[NewDecision]:
    """Rows of the case in whose regions the label was changed are corrected. Raises EngineError("contradiction") where
    one was decided to be right as it was."""
    touched = set(np.unique(reviewed.region_map[changed]).tolist()) - {0}
    decided = {each.key: each for each in own}
    found = []
    for row in rows:
        if row.case != reviewed.name or not touched & {piece.region_id for piece in row.leaves}:
            continue
        each = decided.get(region_key(row))
        if each is None:
            found.append(NewDecision(row, "corrected", reason))
        elif each.verdict not in CHANGED:
            raise EngineError(
                "contradiction",
                f"Row {row.rank} is {each.verdict}, but its label was changed; give it the verdict corrected.",
            )
    return found


def _told(asked: ReaderParameters, rows: Sequence[Region]) -> dict[str, Any]:
    """The rows with what this reader decided, and the cases signed off."""
    state = read_history(asked.log).state()
    decided = {region_key(d): d for d in state.standing.values()}
    numbers = {id(d): number for number, d in state.standing.items()}
    told = [_row(row, decision_about(row, decided), numbers) for row in rows]
    open_rows = sum(row["state"] == "open" for row in told)
    signed = [each.as_dict() for each in state.signed.values()]
    return {"rows": told, "open": open_rows, "signed_off": signed}


def _row(row: Region, d: Decision | None, numbers: Mapping[int, int]) -> dict[str, Any]:
    known: Mapping[str, Any] = {
        "rank": row.rank,
        "case": row.case,
        "class_name": row.class_name,
        "suspicion": row.suspicion,
    }
    if d is None:
        return {**known, "state": "open", "number": None, "who": "", "when": "", "reason": ""}
    return {
        **known,
        "state": d.verdict,
        "number": numbers[id(d)],
        "who": str(d.reader),
        "when": d.at,
        "reason": d.reason,
    }
