"""Read every case once before any work: what planning needs, and every problem while it is still cheap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..cases.case import Case
from ..cases.case_files import read_case
from ..cases.checks import check_same_channels, check_same_classes
from ..cases.source import CaseSource
from ..errors import EngineError
from ..learn.plan import CaseFacts
from ..process.progress import Progress


def read_labelled(source: CaseSource, class_names: Mapping[int, str] | None = None) -> Case:
    """A case with a label; EngineError where it has none. class_names: the model's, where there is one."""
    case = read_case(source, class_names)
    if case.label is None:
        raise EngineError("no-label", f"{source.name} has no label; say which file it is, or leave the case out.")
    return case


def survey(sources: Sequence[CaseSource], progress: Progress) -> list[CaseFacts]:
    facts = []
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "reading", f"Looking at case {i + 1} of {len(sources)}")
        facts.append(CaseFacts.of(read_labelled(source)))
    check_same_channels({f.name: f.channels for f in facts})
    check_same_classes({f.name: f.class_names for f in facts})
    return facts
