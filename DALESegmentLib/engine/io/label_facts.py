"""What label files hold, read once before the encoding of a data set is decided."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.errors import EngineError, checkpoint
from .case import CaseSource, extension_of, is_picture
from .checks import count_values
from .class_names import described_labels, has_segments, means_not_annotated
from .images import read_stored
from .label_decision import LabelFacts, LabelOptions, SliceFacts, decide, suggested_sparse
from .label_encoding import LabelEncoding, packed_colours, whole_numbers

MOST = 4096
"""Different values that are looked at in a file; one with more is an image."""
FEW_OBJECTS, LARGEST = 5, 50_000_000
"""Values from which on, and voxels up to which, it is looked at whether each value is one object."""
_KEPT = 20_000

Tick = Callable[[int, int], None]


_seen: dict[tuple[Path, int, int], LabelFacts] = {}


@dataclass(frozen=True)
class LabelsOfSet:
    """The encoding of a set's labels; unreadable: what is wrong with files that could not be read, by case; hint: what
    to type where labels look drawn on few slices only, or nothing."""

    encoding: LabelEncoding
    unreadable: Mapping[str, EngineError]
    hint: str = ""


def labels_of(
    sources: Sequence[CaseSource],
    options: LabelOptions,
    known: Mapping[int, str] | None = None,
    tick: Tick | None = None,
) -> LabelsOfSet:
    """Look at all labels and references of the cases and decide what their values mean.

    known: {value: name} of a model's classes; tick: is told how many cases of how many were looked at.
    Raises EngineError as `decide` does. A file that cannot be read decides nothing; reading its case says why.
    """
    facts: list[LabelFacts] = []
    unreadable: dict[str, EngineError] = {}
    for n, source in enumerate(sources):
        checkpoint()
        if tick is not None:
            tick(n, len(sources))
        try:
            facts += list(facts_of(source))
        except EngineError as error:
            unreadable[source.name] = error
    return LabelsOfSet(decide(facts, options, known), unreadable, "" if options.sparse else suggested_sparse(facts))


def encoding_of(source: CaseSource) -> LabelEncoding:
    """As it was decided for the set; of a case that is read on its own, as its files have it. Raises EngineError as
    `decide` does."""
    return decide(list(facts_of(source)), LabelOptions()) if source.encoding is None else source.encoding


def facts_of(source: CaseSource) -> Iterator[LabelFacts]:
    """Of the case's label and its reference, as far as their headers do not name what they hold."""
    reference = None if source.reference_threshold is not None else source.reference
    for path in (source.label, reference):
        if path is None or has_segments(path):
            continue
        described = described_labels(path)
        names = source.class_names if path is source.label else {}
        ignored = described.ignored | {value for value, name in names.items() if means_not_annotated(name)}
        named = frozenset({*described.names, *names}) - ignored
        yield replace(file_facts(path, source.name), named=named, ignored=ignored)


def classes_in(sources: Sequence[CaseSource]) -> set[int]:
    """The values that labels and references of label maps are read as."""
    return {value for source in sources for facts in facts_of(source) for value in facts.classes(encoding_of(source))}


def value_of_ignored(sources: Sequence[CaseSource], names: Mapping[int, str]) -> int:
    """What "not annotated" is written as in labels of these cases: as it was read, else a value that none of them has.

    names: {value: name} of the classes.
    """
    ignored = {value for source in sources if source.encoding is not None for value in source.encoding.ignored}
    as_read = [value for value in ignored if value > 0]
    return min(as_read) if as_read else max({*names, *classes_in(sources)}, default=0) + 1


def file_facts(path: Path, case: str) -> LabelFacts:
    """Raises what `read_stored` raises."""
    status = path.stat()
    key = path, status.st_mtime_ns, status.st_size
    if key not in _seen:
        if len(_seen) >= _KEPT:
            _seen.clear()
        _seen[key] = _looked_at(path)
    return replace(_seen[key], case=case)


def _looked_at(path: Path) -> LabelFacts:
    """Of no case yet."""
    lossy = extension_of(path) in (".jpg", ".jpeg")
    facts = LabelFacts("", path.name, lossy=lossy, picture=is_picture(path))
    stored = read_stored(path)[0]
    if stored.ndim == 3 and len(stored) == 3 and not (stored == stored[0]).all():
        packed = packed_colours(stored)
        return replace(facts, colours=_some(count_values(packed)), solid=_solid(packed))
    label = whole_numbers(stored[0])
    if not label.size or (label.dtype.kind == "f" and not bool((label == np.rint(label)).all())):
        return replace(facts, whole=not label.size)
    if label.dtype.kind == "f":
        label = label.astype(np.int64)
    counts = _some(count_values(label))
    top = 65535 if max(counts) > 255 else 255
    clear = sum(n for v, n in counts.items() if v <= top // 8 or v >= top - top // 8) / label.size
    return replace(facts, counts=counts, clear=clear, objects=_are_objects(label, counts), slices=_slices(label))


def _some(counts: Mapping[int, int]) -> dict[int, int]:
    return dict(itertools.islice(counts.items(), MOST))


def _solid(packed: np.ndarray) -> frozenset[int]:
    """The values that some pixel shares with its four neighbours. packed: (j, i)."""
    inner = packed[1:-1, 1:-1]
    around = (packed[:-2, 1:-1], packed[2:, 1:-1], packed[1:-1, :-2], packed[1:-1, 2:])
    alike = np.logical_and.reduce([inner == other for other in around])
    return frozenset(np.unique(inner[alike]).tolist())


def _are_objects(label: np.ndarray, counts: Mapping[int, int]) -> bool | None:
    """Whether nine of ten values are one connected object each."""
    values = [v for v in counts if v > 0]
    if len(values) < FEW_OBJECTS or label.size > LARGEST or max(values) > 65535 or min(counts) < 0:
        return None
    from scipy import ndimage

    whole = 0
    boxes = ndimage.find_objects(label if label.dtype.kind in "iu" else label.astype(np.int32))
    for value in values:
        box = boxes[value - 1]
        _, parts = ndimage.label(label[box] == value, np.ones((3,) * label.ndim))
        whole += parts == 1
    return whole >= 0.9 * len(values)


def _slices(label: np.ndarray) -> tuple[SliceFacts, ...]:
    if label.ndim != 3 or min(label.shape) < 2:
        return ()
    drawn = label > 0
    found = []
    for axis in range(3):
        used = drawn.any(axis=tuple({0, 1, 2} - {axis}))
        places = np.flatnonzero(used)
        extent = int(places[-1] - places[0]) + 1 if places.size else 0
        runs = int(np.count_nonzero(np.diff(places) > 1)) + bool(places.size)
        found.append(SliceFacts(int(places.size), extent, runs))
    return tuple(found)
