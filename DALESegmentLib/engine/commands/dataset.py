"""Read every case once before any work: what planning needs, and every problem while it is still cheap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from ..core.errors import EngineError
from ..core.progress import Progress
from ..io.array_cases import names_in_case
from ..io.case import Case, CaseSource
from ..io.case_files import read_case
from ..io.checks import check_foreground, check_same_channels, check_same_classes
from ..io.class_names import has_segments
from ..io.segmentations import segment_values
from ..planning.plan import CaseFingerprint
from .parameters import CasesParameter


def read_labelled(source: CaseSource, class_names: Mapping[int, str] | None = None) -> Case:
    """A case with a label; EngineError where it has none. class_names: the model's, where there is one."""
    case = read_case(source, class_names)
    if case.label is None:
        raise EngineError("no-label", f"{source.name} has no label; say which file it is, or leave the case out.")
    return case


def report_held_out_for_test(cases: CasesParameter, progress: Progress) -> None:
    """Say how many cases are kept for tests, before any other is read."""
    count = cases.held_out_for_test()
    if count:
        progress.report(0, "reading", f"{count} {'case is' if count == 1 else 'cases are'} held out for testing")


def survey(sources: Sequence[CaseSource], progress: Progress) -> list[CaseFingerprint]:
    facts = []
    names = names_of_all(sources)
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "reading", f"Looking at case {i + 1} of {len(sources)}")
        case = read_labelled(source, names if names_itself(source) else None)
        progress.check()
        facts.append(CaseFingerprint.of(case))
    check_foreground({f.name: f.labelled for f in facts})
    check_same_channels({f.name: f.channels for f in facts})
    check_same_classes({f.name: f.class_names for f in facts})
    return facts


def names_of_all(sources: Sequence[CaseSource], *, whatever_is_broken: bool = False) -> dict[int, str]:
    """{value: name}. Segments are known by their names; each case may list them in an order of its own.

    whatever_is_broken: pass over what cannot be read, instead of raising an EngineError.
    """
    names: dict[int, str] = {}
    for source in sorted(sources, key=lambda s: s.arrays is not None):  # files first
        with suppress(*[EngineError] if whatever_is_broken else []):
            names = _with_names_of(source, names)
    return names


def _with_names_of(source: CaseSource, known: Mapping[int, str]) -> dict[int, str]:
    if source.arrays is None:
        return segment_values([source.label] if source.label is not None else [], known)
    names = dict(known)
    for value, name in names_in_case(source.arrays).items():
        if name not in names.values():
            names[value if value not in names else max(names) + 1] = name
    return names


def names_itself(source: CaseSource) -> bool:
    """Whether the case's label says what its values are called: then they get the data set's common values."""
    if source.arrays is not None:
        return bool(names_in_case(source.arrays))
    return source.label is not None and has_segments(source.label)
