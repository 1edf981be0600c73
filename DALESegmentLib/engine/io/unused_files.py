"""Files of a data folder that no case uses, in groups, with what to type to use them."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .case import SEGMENTATION, CaseSource, extension_of, stem_of
from .loose_files import PACKED, RECORD, RESULTS, unpack
from .name_pairs import is_label_name, is_rater_name
from .public_layouts import PARTS

MOST_FILES = 200_000
LOOKS_SO = "looks like a label"
_LABEL_FOLDERS = {"masks", "labels", *(labels for _, labels, _ in PARTS)}
_RESULTS = {"run.json", "checkpoint.json"}


@dataclass(frozen=True)
class UnusedFiles:
    """Files of one kind. where: their folder from the data's folder on, with `*` for a case's; kind: what their names
    have in common, with `*` for a case's; example: a path from the data's folder on; why: and what to type."""

    where: str
    kind: str
    files: int
    example: str
    why: str

    def as_dict(self) -> dict[str, str | int]:
        return dict(vars(self))


def find_unused_files(folder: Path, sources: Sequence[CaseSource], unclear: Collection[str] = ()) -> list[UnusedFiles]:
    """Image files and packed scenes below the folder that are part of no case, the most numerous kind first. unclear:
    names of cases that are not understood, whose own problem says so."""
    folder = Path(os.path.abspath(folder))
    used, folders = _used(sources)
    names = sorted({source.name for source in sources}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, names)) or r"(?!)")
    own = {path.parent for source in sources for path in source.images}
    groups: dict[tuple[str, str], list[Path]] = {}
    for path in _files(folder):
        if stem_of(path) in RESULTS and path.parent not in own:
            continue
        if path in used or any(parent in folders or parent.name in unclear for parent in path.parents):
            continue
        place = path.relative_to(folder).parent.as_posix()
        groups.setdefault((pattern.sub("*", place), _kind(path, pattern)), []).append(path)
    found = [
        UnusedFiles(where, kind, len(paths), paths[0].relative_to(folder).as_posix(), _why(paths[0], kind, sources))
        for (where, kind), paths in groups.items()
    ]
    return sorted(found, key=lambda group: -group.files)


def _used(sources: Iterable[CaseSource]) -> tuple[set[Path], set[Path]]:
    """Files, and folders of which all is used."""
    files: set[Path] = set()
    for s in sources:
        files |= {path for path in (*s.images, s.label, s.trusted, s.confidence, s.reference, s.arrays) if path}
        files |= set(s.class_files.values())
    return files, {path for path in files if path.is_dir()}


def _files(folder: Path) -> Iterable[Path]:
    seen = 0
    for place, inside, files in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        if _RESULTS & set(files) or RECORD in files:
            inside[:] = []
            continue
        for name in sorted(files):
            path = Path(place) / name
            if not name.startswith(".") and (extension_of(path) or path.suffix.lower() in PACKED):
                seen += 1
                yield path
        if seen > MOST_FILES:
            return


def _kind(path: Path, names: re.Pattern[str]) -> str:
    stem = stem_of(path)
    shown = names.sub("*", stem)
    return (shown if shown != stem else re.sub(r"\d+", "*", stem)) + path.name[len(stem) :]


def _why(path: Path, kind: str, sources: Sequence[CaseSource]) -> str:
    """The option --label where a case knows the file under a short name, else what may be done."""
    for source in sources:
        for name in source.candidates:
            if stem_of(path) in (name, f"{source.name}_{name}", f"{source.name}-{name}") or path.parent.name == name:
                return f"may be the label: type --label {shlex.quote(name)}"
    stem, packed = stem_of(path), PACKED.get(path.suffix.lower())
    if packed:
        return f"{packed}, which is not looked into; {unpack(_typed(path))}"
    here = [s for s in sources if s.label is not None and any(image.parent == path.parent for image in s.images)]
    looks_so = is_label_name(stem) or is_rater_name(stem) or extension_of(path) == SEGMENTATION
    if looks_so and len(here) == 1 and here[0].label is not None:
        name = stem.removeprefix(here[0].name).strip("_-")
        taken = here[0].label.name
        return f"a label beside {taken}, which is taken; type --label {shlex.quote(name)} where every case has it"
    if path.parent.name in _LABEL_FOLDERS or is_label_name(stem) or is_rater_name(stem):
        return f"{LOOKS_SO}, but no image has its name; rename it, or name both in a CSV and type --list"
    if any(path.parent in {image.parent for image in s.images} for s in sources):
        short = stem
        for source in sources:
            if stem.startswith(source.name) and stem != source.name:
                short = stem[len(source.name) :].strip("_-")
        return f"no image or label of a case; type --image {shlex.quote(short)} to use it instead"
    return "no part of a case; name the cases in a CSV and type --list to use it"


def _typed(path: Path) -> str:
    """The path from the working directory on, where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
