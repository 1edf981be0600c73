"""The cases to learn from and to validate on, read and prepared; several raters' labels share an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..core.distributed import Ranks
from ..core.errors import EngineError
from ..core.progress import Progress
from ..inference.predictor import check_channels
from ..io.case import Case, CaseSource, hash_inputs, patient_of
from ..planning.plan import Plan
from ..planning.preprocessing import CaseCache, PreparedCase, label_classes, prepare_case
from .dataset import read_labelled


def prepare_all(sources: Sequence[CaseSource], plan: Plan, cache: CaseCache, progress: Progress) -> list[PreparedCase]:
    cases: list[PreparedCase] = []
    for i, source in enumerate(sources):
        progress.report(100.0 * i / len(sources), "reading", f"Preparing case {i + 1} of {len(sources)}")
        like = cases[-1] if cases and source.of_case and cases[-1].of_case == source.of_case else None
        cases.append(cache.keep(prepare_source(source, plan, progress, like), like))
    return cases


def prepare_source(
    source: CaseSource, plan: Plan, progress: Progress, like: PreparedCase | None = None
) -> PreparedCase:
    """like: another rater's label of the same image, from which that is taken."""
    progress.check()
    case = read_labelled(source, plan.class_names)
    check_fits(case, plan)
    progress.check()
    return replace(of_source(prepare_case(case, plan, like), source, case), patient=patient_of(source))


def of_source(prepared: PreparedCase, source: CaseSource, case: Case) -> PreparedCase:
    """With what its source says of raters, and the hashes of what was read."""
    rater = source.rater if source.of_case else ""
    return replace(prepared, inputs=hash_inputs(case), of_case=source.of_case, rater=rater)


def check_fits(case: Case, plan: Plan) -> None:
    """Raises EngineError for a class, dimensions or a number of channels that the plan does not have."""
    label_classes(case, plan)
    check_channels(case, plan)


def rated_cases(sources: Sequence[CaseSource]) -> set[str]:
    """The cases of which several raters' labels are among these."""
    return {source.of_case for source in sources} - {""}


def check_enough(sources: Sequence[CaseSource], ranks: Ranks) -> None:
    """Raises EngineError("raters-on-ranks", "too-many-ranks") where these cannot be learned together by all ranks."""
    cases = len(sources)
    if ranks.size > 1 and rated_cases(sources):
        raise EngineError(
            "raters-on-ranks", "Several raters' labels are learned together in one process; start it without torchrun."
        )
    if ranks.size > cases:
        few = f"{cases} case{'' if cases == 1 else 's'}"
        raise EngineError(
            "too-many-ranks",
            f"{ranks.size} processes cannot share {few} to learn from; start {cases} at most, for instance with "
            f"torchrun --nproc_per_node={cases}.",
        )
