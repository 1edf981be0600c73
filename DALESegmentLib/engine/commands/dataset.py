"""Read every case once before any work: what planning needs, and every problem while it is still cheap."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from ..core.errors import Cancelled, EngineError
from ..core.notes import noting
from ..core.progress import Progress
from ..io.array_cases import names_in_case
from ..io.case import Case, CaseSource, UnusableCase
from ..io.case_files import read_case
from ..io.checks import check_foreground, check_same_channels, check_same_classes
from ..io.class_names import described_labels, has_segments, means_not_annotated, nameless
from ..io.label_facts import LabelsOfSet, encoding_of, facts_of, labels_of
from ..io.name_pairs import is_rater_name
from ..io.segmentations import segment_values
from ..io.unused_files import UnusedFiles, find_unused_files
from ..planning.class_union import ClassUnion, unite_classes
from ..planning.plan import CaseFingerprint, Plan
from .parameters import CasesParameter


def read_labelled(source: CaseSource, class_names: Mapping[int, str] | None = None) -> Case:
    """A case with a label; EngineError where it has none. class_names: the model's, where there is one."""
    if source.arrays is None and not source.has_label:
        raise no_label(source)
    case = read_case(source, class_names)
    if case.label is None:
        raise no_label(source)
    return case


def no_label(source: CaseSource) -> EngineError:
    """With the option to type, where files lie there that may be the label."""
    if not source.candidates:
        return EngineError("no-label", f"{source.name} has no label; say with --label which file it is.")
    return EngineError("no-label", f"{source.name} has no label, but {candidates_of(source)}.")


MOST_NAMED = 20
"""Cases that an option to copy names."""


def exclude_option(names: Sequence[str]) -> str:
    """As it is typed, to leave these cases out."""
    more = ",..." if len(names) > MOST_NAMED else ""
    return f"--exclude {shlex.quote(','.join(names[:MOST_NAMED]))}{more}"


def first_of(problems: Mapping[str, EngineError], cases: int) -> EngineError:
    """The first problem of some of so many cases, with how many others there are and, unless most have one, what leaves
    them out."""
    first, others = next(iter(problems.values())), len(problems) - 1
    has = "other case has a problem" if others == 1 else "other cases have problems"
    more = [f"{others} {has}, too"] if others else []
    if 2 * len(problems) <= cases:
        out = "leaves them all out" if others else "leaves the case out"
        more.append(f"{exclude_option(list(problems))} {out}")
    return EngineError(
        first.code, f"{first.sentence.removesuffix('.')} ({'; '.join(more)})." if more else first.sentence
    )


def candidates_of(source: CaseSource) -> str:
    """What may be the label, and what to type."""
    names = source.candidates
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    rater = next((name for name in names if is_rater_name(name)), None)
    number = re.search(r"(\d+)$", rater or "")
    or_rater = f", or --rater {int(number[1])}" if number else ""
    return f"{', '.join(names[:4])}{more} may be one: type --label {shlex.quote(names[0])}{or_rater}"


LOOKING = 5.0
"""Percent of a job that looking at its labels takes, of what it is given."""


def find_labelled(
    cases: CasesParameter,
    progress: Progress,
    found: Sequence[CaseSource],
    known: Mapping[int, str] | None = None,
) -> list[CaseSource]:
    """The cases, with what the values of their labels mean, decided over all cases of the folder or list.

    found: the cases that are asked for; known: {value: name} of a model's classes, where there is one. Says what was
    decided. Raises EngineError as `labels_of` does.
    """
    whole = found if cases.limit is not None or cases.items is not None else all_of(cases, found)
    labels = look_at_labels(whole, cases, progress.part(0, LOOKING), known)
    if labels.encoding.sentences:
        progress.report(0, "reading", "; ".join(labels.encoding.sentences))
    return [replace(source, encoding=labels.encoding) for source in found]


def labels_said(sources: Sequence[CaseSource]) -> dict[str, list[str]]:
    """For an answer: what was decided about the values of these labels."""
    encoding = sources[0].encoding if sources else None
    return {"labels": [] if encoding is None else list(encoding.sentences)}


def all_of(cases: CasesParameter, found: Sequence[CaseSource]) -> list[CaseSource]:
    """All cases of the folder or list that can be understood, whatever split they belong to."""
    try:
        whole = cases.model_copy(update={"split": "all"}).find_each()
    except EngineError:
        return list(found)
    return [source for source in whole if not isinstance(source, UnusableCase)]


def look_at_labels(
    sources: Sequence[CaseSource], cases: CasesParameter, progress: Progress, known: Mapping[int, str] | None = None
) -> LabelsOfSet:
    """See `labels_of`; says how far it is."""

    def tick(n: int, total: int) -> None:
        progress.check()
        progress.report(100.0 * n / total, "reading", f"Looking at label {n + 1} of {total}")

    return labels_of(sources, cases.label_options(), known, tick)


def report_held_out_for_test(cases: CasesParameter, progress: Progress) -> None:
    """Say how many cases are kept for tests, before any other is read."""
    count = cases.held_out_for_test()
    if count:
        progress.report(0, "reading", f"{count} {'case is' if count == 1 else 'cases are'} held out for testing")


def unused_files_of(cases: CasesParameter) -> list[UnusedFiles]:
    """Files of the folder that are part of no case of it, be that one asked for or not."""
    if cases.folder is None or not cases.folder.is_dir():
        return []
    found = cases.model_copy(update={"split": "all", "exclude": None, "limit": None}).find_each()
    unclear = {source.name for source in found if isinstance(source, UnusableCase)}
    return find_unused_files(cases.folder, [source for source in found if isinstance(source, CaseSource)], unclear)


def unused_files_said(cases: CasesParameter | None, progress: Progress) -> dict[str, str]:
    """For an answer: how many files are part of no case, and what lists them; nothing where there are none. It is also
    reported."""
    files = 0 if cases is None else sum(group.files for group in unused_files_of(cases))
    if cases is None or not files:
        return {}
    options = [f"--data {shlex.quote(str(cases.folder))}"]
    for option, value in (("--image", cases.image), ("--label", cases.label), ("--rater", cases.rater)):
        if value:
            options.append(f"{option} {shlex.quote(value if isinstance(value, str) else ','.join(value))}")
    are = "file is" if files == 1 else "files are"
    sentence = f"{files:,} {are} part of no case; dalesegment inspect {' '.join(options)} lists them."
    progress.report(0, "reading", sentence)
    return {"left_over": sentence}


def survey(
    sources: Sequence[CaseSource], progress: Progress, known: Mapping[int, str] | None = None
) -> list[CaseFingerprint]:
    """The facts that a plan is made of, from every case. known: {value: name} of all classes, where a model says them.
    Raises EngineError of the first case that cannot be learned from, with what leaves it out."""
    facts: list[CaseFingerprint] = []
    problems = {s.name: no_label(s) for s in sources if s.arrays is None and not s.has_label}
    if problems:
        raise first_of(problems, len(sources))
    names = known or names_of_all(sources)
    notes: list[str] = []
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "reading", f"Looking at case {i + 1} of {len(sources)}")
        try:
            with noting() as told:
                case = read_labelled(source, names if known or names_itself(source) else None)
        except Cancelled:
            raise
        except EngineError as problem:
            problems[source.name] = problem
            continue
        progress.check()
        facts.append(CaseFingerprint.of(case))
        notes += [f"{case.name}: {note}" for note in (*case.notes, *told)]
    if problems:
        raise first_of(problems, len(sources))
    if notes:
        more = f" (and {len(notes) - 1} more cases like it)" if len(notes) > 1 else ""
        progress.report(100, "reading", notes[0] + more)
    check_foreground({f.name: f.labelled for f in facts})
    channels = {f.name: f.channels for f in facts}
    try:
        check_same_channels(channels)
    except EngineError as problem:
        usual = Counter(channels.values()).most_common(1)[0][0]
        raise first_of({name: problem for name, count in channels.items() if count != usual}, len(facts)) from None
    check_same_classes({f.name: f.class_names for f in facts})
    return facts


def names_of_all(
    sources: Sequence[CaseSource], known: Mapping[int, str] | None = None, *, whatever_is_broken: bool = False
) -> dict[int, str]:
    """{value: name}. Segments are known by their names; each case may list them in an order of its own.

    known: values given already. whatever_is_broken: pass over what cannot be read, instead of raising an EngineError.
    """
    names: dict[int, str] = dict(known or {})
    for source in sorted(sources, key=lambda s: s.arrays is not None):  # files first
        with suppress(*[EngineError] if whatever_is_broken else []):
            names = _with_names_of(source, names)
    return names


def _with_names_of(source: CaseSource, known: Mapping[int, str]) -> dict[int, str]:
    if source.arrays is not None:
        names = dict(known)
        for value, name in names_in_case(source.arrays).items():
            if name not in names.values():
                names[value if value not in names else max(names) + 1] = name
        return names
    names = segment_values([source.label] if source.label is not None else [], known)
    for name in source.class_files:
        if name not in names.values() and not means_not_annotated(name):
            names[max(names, default=0) + 1] = name
    return names


def unite_with_model(sources: Sequence[CaseSource], model: Mapping[int, str]) -> ClassUnion:
    """Find the classes of these labels among a model's; a class that no voxel has is not a new one. model: {value:
    name}. Raises what `unite_classes` does, and EngineError for a label that cannot be read."""
    named: list[str] = []
    there: set[str] = set()
    numbered: set[int] = set()
    for source in sources:
        if source.arrays is None and not source.has_label:
            raise no_label(source)
        if not (source.arrays is not None or source.class_files or names_itself(source)):
            said, present = _described(source)
            named += said.values()
            there |= {name for value, name in said.items() if value in present}
            numbered |= present - set(said)
            continue
        names = list(_with_names_of(source, {}).values())
        named += names
        if not names or not set(names) <= set(model.values()):
            known = dict(enumerate(names, 1)) or None
            values = {int(value) for value in np.unique(np.asarray(read_labelled(source, known).label))} - {0}
            there |= {known[value] for value in values if known and value in known}
            numbered |= set() if known else values
    return unite_classes(model, [name for name in named if name in there or name in model.values()], numbered)


def check_names_known(sources: Sequence[CaseSource], model: Mapping[int, str]) -> None:
    """Raises EngineError("unknown-class") where these labels have a name that a model does not have. model: {value:
    name}. A value without a name is found with the case that has it, see `label_classes`."""
    classes = unite_with_model(sources, model)
    names = [classes.names[value] for value in classes.new if classes.names[value] != nameless(value)]
    if names:
        raise EngineError(
            "unknown-class",
            f"The labels have the class {', '.join(names)}, but the model knows only {', '.join(model.values())}; "
            "leave it out or train a model that has it (train --pretrained-weights adds it to this one).",
        )


def _described(source: CaseSource) -> tuple[dict[int, str], set[int]]:
    """Of a label map: {value: name} where its values have names, all of them then; and the values that it has."""
    assert source.label is not None
    encoding = encoding_of(source)
    said = {**described_labels(source.label).names, **encoding.names, **source.class_names}
    said = {value: name for value, name in said.items() if not means_not_annotated(name)}
    present = {value for facts in facts_of(replace(source, reference=None)) for value in facts.classes(encoding)} - {0}
    return (said and {**{value: nameless(value) for value in present}, **said}), present


def image_names_of(sources: Sequence[CaseSource]) -> tuple[str, ...]:
    """What all these cases call their several images, in order; () where they do not agree."""
    names = {source.image_names for source in sources}
    found = names.pop() if len(names) == 1 else ()
    return found if len(found) > 1 else ()


def check_image_order(case: str, names: Sequence[str], plan: Plan) -> None:
    """Files that are named as those of the training must come in the same order, and no other with them.

    Raises EngineError("wrong-channels").
    """
    learned = plan.image_names
    if learned and tuple(names) != learned and set(learned) <= set(names):
        raise EngineError(
            "wrong-channels",
            f"The images of {case} are {', '.join(names)}, but the model was trained on {', '.join(learned)}, in this "
            f"order; type --image {shlex.quote(','.join(learned))}.",
        )


def names_itself(source: CaseSource) -> bool:
    """Whether the case's label says what its values are called: then they get the data set's common values."""
    if source.arrays is not None:
        return bool(names_in_case(source.arrays))
    return bool(source.class_files) or (source.label is not None and has_segments(source.label))
