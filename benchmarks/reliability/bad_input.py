"""The corpus of bad input against one engine process: every piece answered, quickly, and nothing written."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .corpus import bombs, contents, damaged, dicom, headers, kinds, lines, lists, names
from .corpus.entry import Entry, Source, good_pair, reading
from .lines_engine import LinesEngine, NoAnswer

SOURCES: tuple[Source, ...] = (
    damaged.cut_short,
    damaged.changed_bits,
    damaged.other_content,
    damaged.other_format,
    headers.nifti_headers,
    headers.nrrd_headers,
    headers.meta_headers,
    headers.picture_headers,
    bombs.bombs,
    contents.types,
    contents.values,
    contents.places,
    names.names,
    names.not_files,
    names.folders,
    lists.tables,
    lists.decathlons,
    lists.arrays,
    lists.segmentations,
    dicom.series,
    dicom.files,
    dicom.labels,
    kinds.niftis,
    kinds.tiffs,
    kinds.pictures,
    kinds.nrrds,
    lines.no_requests,
    lines.wrong_requests,
    lines.wrong_parameters,
)
PATIENCE = 30.0
_MARKS = re.compile(r"Traceback|\bNone\b|object at 0x|\bITK\b|Error\b")


@dataclass
class Outcome:
    """wrong: what was not as it should be, one line each."""

    entries: int = 0
    refused: int = 0
    right: int = 0
    slowest: float = 0.0
    slowest_processor: float = 0.0
    """Seconds the engine computed, which a busy machine does not lengthen."""
    slowest_name: str = ""
    peak_bytes: int = 0
    wrong: list[str] = field(default_factory=list)


def run(sources: tuple[Source, ...] = SOURCES, every: int = 1) -> Outcome:
    """every: take only each so manieth entry of a source."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as root, LinesEngine() as first:
        engine = first
        _warm(engine, Path(root))
        for source in sources:
            folder = Path(root) / source.__name__
            folder.mkdir()
            for n, entry in enumerate(source(folder)):
                if n % every:
                    continue
                outcome.entries += 1
                if not _try(entry, engine, folder, outcome):
                    outcome.peak_bytes = max(outcome.peak_bytes, engine.peak_bytes() if engine.alive else 0)
                    engine.__exit__(None, None, None)
                    engine = LinesEngine()
                    _warm(engine, Path(root))
        outcome.peak_bytes = max(outcome.peak_bytes, engine.peak_bytes())
        engine.__exit__(None, None, None)
    return outcome


def _warm(engine: LinesEngine, root: Path) -> None:
    """What is measured is the reading, not the first import of torch."""
    image, label = good_pair(root / "good")
    good = reading("good", image, label, "right").request
    assert isinstance(good, dict)
    engine.ask(good["command"], good["parameters"])


def _try(entry: Entry, engine: LinesEngine, folder: Path, outcome: Outcome) -> bool:
    """Whether the engine still answers."""
    before, computed = _files(folder), engine.processor_seconds()
    started = time.monotonic()
    try:
        answer = _answer(entry, engine)
        seconds = time.monotonic() - started
        engine.ask("ping", seconds=PATIENCE)
    except NoAnswer as problem:
        outcome.wrong.append(f"{entry.name}: {problem}")
        return False
    outcome.slowest_processor = max(outcome.slowest_processor, engine.processor_seconds() - computed)
    if seconds > outcome.slowest:
        outcome.slowest, outcome.slowest_name = seconds, entry.name
    outcome.refused += answer["event"] == "error"
    outcome.right += answer["event"] == "result"
    outcome.wrong += [f"{entry.name}: {what}" for what in _faults(entry, answer, str(folder))]
    if _files(folder) != before:
        outcome.wrong.append(f"{entry.name}: something was written")
    return True


def _answer(entry: Entry, engine: LinesEngine) -> dict[str, Any]:
    if isinstance(entry.request, bytes):
        engine.send(entry.request)
    else:
        engine.send(json.dumps({"protocol": 1, "id": "bad", **entry.request}).encode() + b"\n")
    return engine.answer(PATIENCE)


def _faults(entry: Entry, answer: dict[str, Any], folder: str) -> Iterator[str]:
    if answer["event"] == "result":
        if entry.expected == "refused":
            yield "was taken for good"
        return
    code, sentence = answer["code"], answer["sentence"]
    if entry.expected == "right":
        yield f"was refused: {code}, {sentence[:200]}"
    if code == "internal":
        yield f"an error nobody foresaw: {sentence[:200]}"
    if entry.codes and code not in entry.codes:
        yield f"{code} instead of {' or '.join(entry.codes)}"
    if not sentence.endswith(".") or len(sentence) > 700 or _MARKS.search(sentence):
        yield f"no sentence for people: {sentence[:200]!r}"
    if folder in sentence:
        yield "the sentence contains a path"


def _files(folder: Path) -> set[tuple[str, int, int]]:
    found = set()
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(place, name))
            found.add((os.path.join(place, name), status.st_size if name in files else 0, status.st_mtime_ns))
    return found
