"""From what a user names to the cases: a folder of any known layout, a list, or items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from ..core.errors import EngineError
from .case import CaseSource, UnusableCase
from .case_files import naming
from .case_folder import FoundCase, check_names
from .checks import check_exists
from .file_roles import ALL_RATERS, check_reference, give_raters, is_meant, means_several, rater_parts, share
from .folders import cases_of
from .lists import cases_in_list, cases_of_items


def find_cases(
    folder: Path | str | None = None,
    list: Path | str | None = None,
    items: Iterable[Mapping[str, Any]] | None = None,
    image: str | Sequence[str] | None = None,
    label: str | None = None,
    reference: str | None = None,
    split: str = "all",
    rater_seed: int = 0,
    limit: int | None = None,
    rater: str | None = None,
    exclude: str | Sequence[str] | None = None,
) -> list[CaseSource]:
    """The cases a user means, in the order of their names or of their list; docs/protocol.md, "Naming cases".

    Exactly one of folder, list and items is given. Nothing is read but names and lists. split: "train", "test",
    "all", or "learn": the cases called train or, where none is, all that are not called test. exclude: names of
    cases to leave out, `*` stands for any letters. rater: where it means several (`give_raters`), each gives a source.

    Raises EngineError("cases-unnamed", "no-cases", "unknown-case", "bad-name", "duplicate-case", "missing-file")
    and the codes of `folders`, `lists` and `file_roles`.
    """
    sources = []
    for source in find_each(folder, list, items, image, label, reference, split, rater_seed, limit, rater, exclude):
        if isinstance(source, UnusableCase):
            raise source.problem
        sources.append(source)
    return sources


def find_each(
    folder: Path | str | None = None,
    list: Path | str | None = None,
    items: Iterable[Mapping[str, Any]] | None = None,
    image: str | Sequence[str] | None = None,
    label: str | None = None,
    reference: str | None = None,
    split: str = "all",
    rater_seed: int = 0,
    limit: int | None = None,
    rater: str | None = None,
    exclude: str | Sequence[str] | None = None,
) -> Sequence[CaseSource | UnusableCase]:
    """As `find_cases`, but a case whose files are missing or not understood hides none of the others.

    Raises what `find_cases` raises, as far as it is about all the cases.
    """
    wanted = _names(image)
    check_reference(reference or "")
    found = _found(folder, list, items, wanted)
    check_names(found)
    left = without(found, _names(exclude))
    chosen = part(left, split)
    if not chosen:
        wanted_part = "train" if split == "learn" else split
        raise EngineError(
            "no-cases",
            f"None of the {len(left)} cases belongs to the split {wanted_part}; choose all, or list them there.",
        )
    if limit is not None and limit < len(chosen):
        drawn = sorted(share(rater_seed, "limit " + case.name) for case in chosen)[:limit]
        chosen = [case for case in chosen if share(rater_seed, "limit " + case.name) in drawn]
    roles = _Roles(wanted, label or "", reference or "", rater_seed, rater or "")
    sources = [source for case in chosen for source in _sources(case, roles)]
    _check_raters(sources, roles.rater)
    return sources


def _check_raters(sources: Sequence[CaseSource | UnusableCase], rater: str) -> None:
    """Raises EngineError("no-label") for one of several raters that no case has a label of."""
    there = {source.rater for source in sources if isinstance(source, CaseSource)} - {""}
    if rater == ALL_RATERS or not means_several(rater) or not there:
        return
    for part in rater_parts(rater):
        if not any(is_meant(name, part) for name in there):
            raise EngineError("no-label", f"No case has a label of rater {part}; there are {', '.join(sorted(there))}.")


def held_out_for_test(
    folder: Path | str | None = None,
    list: Path | str | None = None,
    items: Iterable[Mapping[str, Any]] | None = None,
    image: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
) -> int:
    """How many cases the split "learn" leaves out. Raises the same errors as `find_cases`."""
    found = without(_found(folder, list, items, _names(image)), _names(exclude))
    return len(found) - len(part(found, "learn"))


class _Divided(Protocol):
    @property
    def split(self) -> str: ...


Divided = TypeVar("Divided", bound=_Divided)


def part(cases: Sequence[Divided], split: str) -> Sequence[Divided]:
    """Those of the cases that `split` means, as `find_cases` does."""
    if split == "learn":
        called_train = [case for case in cases if case.split == "train"]
        return called_train or [case for case in cases if case.split != "test"]
    return [case for case in cases if split in ("all", case.split)]


def without(found: Sequence[FoundCase], exclude: Sequence[str]) -> Sequence[FoundCase]:
    """The cases that none of these names or patterns means. Raises EngineError("unknown-case", "no-cases")."""
    for name in exclude:
        if not any(fnmatchcase(case.name, name) or case.name == name for case in found):
            near = get_close_matches(name, [case.name for case in found], 1)
            hint = f"the nearest is {near[0]}." if near else f"the first is called {found[0].name}."
            raise EngineError("unknown-case", f"No case to leave out is called {name}; {hint}")
    kept = [case for case in found if not any(fnmatchcase(case.name, name) or case.name == name for name in exclude)]
    if found and not kept:
        raise EngineError("no-cases", f"All {len(found)} cases are left out; leave out fewer of them.")
    return kept


def _names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    parts = names.split(",") if isinstance(names, str) else names or ()
    return tuple(part.strip() for part in parts if part.strip())


def _found(
    folder: Path | str | None, list_file: Path | str | None, items: Any, image: Sequence[str]
) -> list[FoundCase]:
    if sum(given is not None for given in (folder, list_file, items)) != 1:
        raise EngineError("cases-unnamed", "Name the cases by a folder, a list or one by one; exactly one of these.")
    if folder is not None:
        return cases_of(Path(folder), image)
    if list_file is not None:
        return cases_in_list(Path(list_file))
    cases = cases_of_items(items)
    if not cases:
        raise EngineError("no-cases", "The list of cases is empty; name at least one.")
    return cases


class _Roles(NamedTuple):
    """As `give_raters` takes them."""

    image: Sequence[str]
    label: str
    reference: str
    seed: int
    rater: str


def _sources(case: FoundCase, roles: _Roles) -> Sequence[CaseSource | UnusableCase]:
    try:
        with naming(case.name):
            sources = give_raters(case, *roles)
            for source in sources:
                _check_files(source)
    except EngineError as problem:
        if problem.code == "raters-unclear":
            raise
        return [UnusableCase(case.name, case.split, problem)]
    return sources


def _check_files(source: CaseSource) -> None:
    for path in (
        *source.images,
        source.label,
        source.trusted,
        source.confidence,
        source.reference,
        source.arrays,
        *source.class_files.values(),
    ):
        if path is not None:
            check_exists(path)
