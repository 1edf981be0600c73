"""Hypothesis against the protocol and the readers: any line and any bytes give an answer or an EngineError."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.io.images import read_image, read_label
from DALESegmentLib.engine.io.segmentations import read_segmentation
from DALESegmentLib.engine.review.audit import read_audit
from DALESegmentLib.engine.review.log import read_log
from DALESegmentLib.engine.rpc import protocol

from .corpus.entry import a_label, an_image, write

FORMATS = ("nii", "nii.gz", "nrrd", "mha", "png", "tif", "jpg")
EXAMPLES = 200

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "protocol": st.just(1) | json_values,
        "id": st.text(max_size=5) | json_values,
        "command": st.sampled_from(["train", "ping", "plan"]) | json_values,
        "parameters": json_values,
        "more": json_values,
    },
)
contents = st.binary(max_size=400) | st.text(max_size=200).map(str.encode)
changes = st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6)


@dataclass
class Fuzzed:
    examples: int = 0
    seconds: float = 0.0
    crashes: list[str] = field(default_factory=list)


def run(seconds: float, seed_examples: int = EXAMPLES) -> Fuzzed:
    """Round after round of each target, until the time is over; a crash is noted with its smallest example. In a
    process of its own: where that goes, what it was reading is kept, and another one goes on."""
    total = Fuzzed()
    while total.seconds < seconds:
        started, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="fuzz-"))
        try:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                one = pool.submit(_rounds, folder, seconds - total.seconds, seed_examples).result()
        except BrokenProcessPool:
            one = Fuzzed(crashes=[f"the process went; what it read is in {folder}"])
        else:
            shutil.rmtree(folder)
        total.examples += one.examples
        total.crashes += one.crashes
        total.seconds += time.monotonic() - started
    return total


def _rounds(folder: Path, seconds: float, seed_examples: int) -> Fuzzed:
    outcome, started = Fuzzed(), time.monotonic()
    targets = _targets(folder, outcome)
    while outcome.seconds < seconds:
        for name, target in targets.items():
            try:
                target(seed_examples)
            except Exception as problem:  # what the fuzzing is for
                outcome.crashes.append(f"{name}: {type(problem).__name__}: {str(problem)[:200]}")
            outcome.seconds = time.monotonic() - started
            if outcome.seconds >= seconds:
                break
    return outcome


def _targets(folder: Path, outcome: Fuzzed) -> dict[str, Callable[[int], None]]:
    targets: dict[str, Callable[[int], None]] = {
        "lines of bytes": _of(st.binary(max_size=300), _parse, outcome),
        "lines of JSON": _of(requests.map(lambda r: json.dumps(r).encode()), _parse, outcome),
        "answers": _of(json_values, lambda value: protocol.encode({"value": value}), outcome),
    }
    for extension in FORMATS:
        whole = _whole(folder, extension)
        targets[f"{extension} files"] = _of(changes, _reader(folder / f"fuzzed.{extension}", whole), outcome)
    for name in ("list.csv", "list.json", "audit.csv", "regions.log"):
        targets[name] = _of(contents, _text(folder / name), outcome)
    targets["segmentations"] = _of(changes, _segmentation(folder), outcome)
    return targets


def _of(strategy: st.SearchStrategy[Any], body: Callable[[Any], Any], outcome: Fuzzed) -> Callable[[int], None]:
    def target(examples: int) -> None:
        @settings(
            max_examples=examples,
            deadline=timedelta(seconds=30),
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def one(value: Any) -> None:
            outcome.examples += 1
            try:
                body(value)
            except EngineError as problem:
                if not (problem.code and problem.sentence.endswith(".")):
                    raise ValueError(f"no sentence: {problem.sentence!r}") from problem

        one()

    return target


def _parse(line: bytes) -> None:
    request = protocol.parse_request(line)
    protocol.parse_request(request.line())


def _whole(folder: Path, extension: str) -> bytes:
    array = an_image() if extension not in ("png", "tif", "jpg") else an_image()[0].astype("uint8")
    return write(folder / f"whole.{extension}", array).read_bytes()


def _changed(whole: bytes, places: list[tuple[int, bytes]]) -> bytes:
    """Half of the changes in the first 500 bytes, where the headers are."""
    data = bytearray(whole)
    for place, new in places:
        place %= min(len(data), 500) if place % 2 else len(data)
        data[place : place + len(new)] = new
    return bytes(data)


def _reader(path: Path, whole: bytes) -> Callable[[Any], None]:
    def read(places: list[tuple[int, bytes]]) -> None:
        path.write_bytes(_changed(whole, places))
        for reader in (read_image, read_label):
            reader(path)

    return read


def _text(path: Path) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        path.write_bytes(content)
        if path.suffix == ".log":
            read_log(path)
        elif path.name == "audit.csv":
            read_audit(path)
        else:
            find_cases(list=path)

    return read


def _segmentation(folder: Path) -> Callable[[Any], None]:
    whole = write(folder / "whole.seg.nrrd", a_label(), compressed=False).read_bytes()
    head, _, voxels = whole.partition(b"\n\n")
    entries = b"\nSegment0_ID:=S\nSegment0_Name:=lesion\nSegment0_Layer:=0\nSegment0_LabelValue:=1"
    return lambda places: _read_segmentation(folder / "f.seg.nrrd", _changed(head + entries + b"\n\n" + voxels, places))


def _read_segmentation(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    read_segmentation(path)
