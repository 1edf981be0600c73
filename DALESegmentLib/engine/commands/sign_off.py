"""Sign a case off, which locks it, or open it again."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ..core.errors import EngineError
from ..core.progress import Progress
from ..review.dicom_review import region_key
from ..review.log import open_log, read_history
from ..review.readers import SCORES
from .decisions import ReaderParameters
from .reviewed_cases import check_cases_open, decision_about, listed_regions


class SignOffParameters(ReaderParameters):
    case: str
    score: int | None = Field(None, ge=min(SCORES), le=max(SCORES))
    reopen: bool = False
    for_all: bool = False


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = SignOffParameters.model_validate(parameters)
    rows = [row for row in listed_regions(asked.results) if row.case == asked.case]
    if not rows and not (asked.results / asked.case).is_dir():
        raise EngineError(
            "unknown-case", f"{asked.results.name} has no case {asked.case}; write its name as the review list does."
        )
    history = read_history(asked.log)
    signed = asked.signature(history)
    before = [each for each in history.sign_offs.values() if each.case == asked.case and each.score is not None]
    if asked.reopen:
        if not asked.reason.strip():
            raise EngineError("reason-missing", f"Say with --reason why {asked.case} is opened again.")
        with open_log(asked.log) as log:
            log.reopen(asked.case, signed, asked.reason)
        return {"case": asked.case, "locked": False, "score": None, "reader": str(signed), "sentence": _reopened(asked)}
    if asked.score is None:
        scale = ", ".join(f"{score} {words}" for score, words in SCORES.items())
        raise EngineError("no-score", f"Give the case a verdict with --score: {scale}.")
    if before and before[-1].score != asked.score and not asked.reason.strip():
        raise EngineError(
            "reason-missing",
            f"{asked.case} had the verdict {before[-1].score} before; say with --reason why it is {asked.score} now.",
        )
    check_cases_open(asked.results, [asked.case])
    with open_log(asked.log) as log:
        log.sign_off(asked.case, asked.score, signed, asked.reason, for_all=asked.for_all)
    decided = {region_key(d): d for d in history.state().standing.values()}
    left = sum(decision_about(row, decided) is None for row in rows)
    words = f"{asked.case}: {asked.score} ({SCORES[asked.score]}), signed off by {signed}"
    words += f"; {left} of its {len(rows)} rows were left open" if left else ""
    return {
        "case": asked.case,
        "locked": True,
        "score": asked.score,
        "reader": str(signed),
        "open": left,
        "sentence": f"{words}.",
    }


def _reopened(asked: SignOffParameters) -> str:
    return f"{asked.case} is open again for {asked.reader}: {asked.reason}"
