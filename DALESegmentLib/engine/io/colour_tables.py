"""Tables beside labels that say what their values are called: Slicer's colour table (.ctbl) and FreeSurfer's, which has
the same columns, ITK-SNAP's label descriptions, and CSV."""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from pathlib import Path

from .case import stem_of
from .csv_files import decode_text, parse_csv

ENDINGS = (".ctbl", ".label", ".txt", ".csv", ".tsv")
_ABOUT = re.compile(r"label|lut|colou?r|class|segment|structure", re.I)
_LARGEST = 4 << 20
_MOST_DIGITS = 9
"""Of a label value."""
_COLOURS = re.compile(r"\s*(\d+)\s+(\S+(?:\s\S+)*?)((?:\s+\d+){3,4})\s*")
_ITK_SNAP = re.compile(r'\s*(\d+)(?:\s+[\d.]+){6}\s+"(.*)"\s*')
_VALUES = ("labelvalue", "value", "labelid", "id", "index", "number", "intensity", "label")
_NAMES = ("name", "labelname", "classname", "structure", "class", "label", "segment", "description")
_NO_NAME = ("(none)", "clear label")


def names_beside(label_path: Path) -> dict[int, str]:
    """{value: name} of the table that is called as the label, or of the only one, or the one called `labels`, in its
    folder or the one above; empty without one."""
    for folder in (label_path.parent, label_path.parent.parent):
        for ending in ENDINGS:
            own = folder / f"{stem_of(label_path)}{ending}"
            if own.is_file() and (names := read_table(own)):
                return names
        try:
            found = _tables_in(folder)
        except OSError:
            continue
        called = [names for stem, names in found if stem == "labels"] or [names for _, names in found]
        if called and all(names == called[0] for names in called):
            return dict(called[0])
    return {}


def _tables_in(folder: Path) -> list[tuple[str, dict[int, str]]]:
    """(stem, {value: name}) of the files of a folder whose names have to do with labels."""
    likely = _likely_tables(folder, folder.stat().st_mtime_ns)
    found = ((path, path.stat()) for path in likely)
    read = ((path.stem.casefold(), _read_once(path, about.st_mtime_ns, about.st_size)) for path, about in found)
    return [(stem, names) for stem, names in read if names]


@lru_cache(maxsize=256)
def _likely_tables(folder: Path, _changed: int) -> tuple[Path, ...]:
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()
    ]
    return tuple(path for path in files if path.suffix.lower() == ".ctbl" or _ABOUT.search(path.stem))


@lru_cache(maxsize=256)
def _read_once(path: Path, _changed: int, _size: int) -> dict[int, str]:
    return read_table(path)


def read_table(path: Path) -> dict[int, str]:
    """{value: name}; empty where the file is no such table."""
    try:
        if path.stat().st_size > _LARGEST:
            return {}
        raw = path.read_bytes()
    except OSError:
        return {}
    text = decode_text(raw)
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for pattern in (_ITK_SNAP, _COLOURS):
        rows = [pattern.fullmatch(line) for line in lines]
        if rows and all(rows):
            return _named([(row[1], row[2]) for row in rows if row])
    return _of_columns(lines)


def _of_columns(lines: list[str]) -> dict[int, str]:
    """Of a CSV with a column of whole numbers and one of names."""
    if len(lines) < 2 or "\0" in lines[0]:
        return {}
    try:
        rows = parse_csv("\n".join(lines))
    except (ValueError, csv.Error):
        return {}
    columns = {re.sub(r"[\W_]", "", str(column)).casefold(): str(column) for column in rows[0]}
    for value in _VALUES:
        numbers = [(row.get(columns.get(value, "")) or "").strip() for row in rows]
        name = next((columns[n] for n in _NAMES if n in columns and n != value), None)
        called = [(row.get(name) or "").strip() for row in rows] if name is not None else []
        distinct = [len(set(column)) == len(rows) for column in (numbers, called)]
        if all(number.isdecimal() for number in numbers) and all(distinct):  # else it is a list of cases
            return _named(list(zip(numbers, called, strict=True)))
    return {}


def _named(pairs: list[tuple[str, str]]) -> dict[int, str]:
    if any(len(value) > _MOST_DIGITS for value, _ in pairs):
        return {}
    names = {int(value): name.strip() for value, name in pairs}
    return {value: name for value, name in names.items() if name and name.casefold() not in _NO_NAME}
