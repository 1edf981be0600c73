"""One encoding for all label files of a data set: see `label_encoding`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.errors import EngineError
from .label_encoding import AS_STORED, FULL, LabelEncoding, colour_name

NEARLY_WHITE = 200
SMALL = 31
"""Beside classes numbered up to here, white is no class of the same kind."""
LEVEL = 0.05
"""Of what is not black in all files: a grey value with a larger share is no edge."""
LEAST_OBJECTS = 6


@dataclass(frozen=True)
class LabelOptions:
    """What the user says of the labels: values that mean "not annotated", values that are classes in spite of their
    looks; whether numbered objects are one class; whether slices without any label are not annotated."""

    ignore: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    instances_as_one: bool = False
    sparse: bool = False


@dataclass(frozen=True)
class SliceFacts:
    """Along one axis: slices with something labelled, from the first to the last of them, and in how many runs."""

    labelled: int
    extent: int
    runs: int


@dataclass(frozen=True)
class LabelFacts:
    """What a label file holds.

    counts: {value: voxels}, at most `label_facts.MOST` values; whole: whether all values are whole numbers; clear: the
    share of voxels that are nearly black or nearly white; colours: {packed colour: voxels} of
    a coloured mask; named, ignored: values that a dataset.json or a list calls classes, or "ignore"; objects: whether
    (nearly) each value is one connected object, None where that was not looked at.
    """

    case: str
    file: str
    counts: Mapping[int, int] = field(default_factory=dict, hash=False)
    whole: bool = True
    lossy: bool = False
    picture: bool = False
    clear: float = 1.0
    colours: Mapping[int, int] = field(default_factory=dict, hash=False)
    named: frozenset[int] = frozenset()
    ignored: frozenset[int] = frozenset()
    objects: bool | None = None
    slices: tuple[SliceFacts, ...] = ()

    @property
    def values(self) -> set[int]:
        return {value for value in self.counts if value}

    def classes(self, encoding: LabelEncoding) -> set[int]:
        """What the values are read as."""
        if encoding.threshold is not None or encoding.instances:
            return {1}
        read = {encoding.classes.get(value, value) for value in self.values if value not in encoding.ignored}
        return read | set(encoding.colours.values())


def decide(facts: Sequence[LabelFacts], options: LabelOptions, known: Mapping[int, str] | None = None) -> LabelEncoding:
    """One encoding for all these files. known: {value: name} of a model's classes, where there is one.

    Raises EngineError("label-encoding", "label-instances", "label-colours", "label-lossy").
    """
    coloured = [f for f in facts if f.colours]
    facts = [f for f in facts if not f.colours]
    ignored = frozenset(options.ignore).union(*(f.ignored for f in facts))
    said = _ignored_sentence(facts, ignored)
    axis, sparse = _sparse(facts, options)
    if coloured:
        encoding = _of_colours(coloured, facts, known or {})
    else:
        encoding = _of_values([_without(f, ignored) for f in facts], options, known or {})
    return LabelEncoding(
        encoding.classes,
        ignored,
        encoding.threshold,
        encoding.colours,
        encoding.instances,
        axis,
        encoding.names,
        (*encoding.sentences, *said, *sparse),
    )


def _of_values(facts: Sequence[LabelFacts], options: LabelOptions, known: Mapping[int, str]) -> LabelEncoding:
    values = set().union(*(f.values for f in facts)) if facts else set()
    classes = set(options.classes) | set(known) | set().union(*(f.named for f in facts), set())
    if options.instances_as_one:
        return LabelEncoding(instances=True, sentences=("all numbered objects are one class, 1",))
    lossy = [f for f in facts if f.lossy]
    if values <= classes and not lossy:
        return AS_STORED
    white = [value for value in FULL if value in values and value not in classes]
    if lossy or _has_grey(facts, classes):
        return _cut_at_half(facts, max([*white, 255]))
    if not lossy and not values <= classes:
        _check_no_objects(facts, classes)
    if -1 in values:
        _ask(facts, -1, (-1,))
    if not white:
        return AS_STORED
    others = values - set(white) - {1}
    if not others and not any(len(f.values) > 1 for f in facts):
        return _binary(facts, white)
    apart = 1 in values and not any(1 in f.values and f.values & set(white) for f in facts)
    if apart or max(values - set(white)) <= SMALL:
        _ask(facts, white[0], white)
    return LabelEncoding(sentences=(f"labels hold {_listed({0, *values})}, which are classes as they are",))


def _binary(facts: Sequence[LabelFacts], white: Sequence[int]) -> LabelEncoding:
    used = [f for f in facts if f.values]
    kinds = {value: [f for f in used if value in f.values] for value in (1, *white)}
    kinds = {value: found for value, found in kinds.items() if found}
    classes = dict.fromkeys(white, 1)
    if len(kinds) == 1:
        return LabelEncoding(classes, sentences=(f"masks are 0 and {white[0]}: {white[0]} is read as 1",))
    several = ", ".join(f"0 and {value} in {_files(found)}" for value, found in kinds.items())
    return LabelEncoding(classes, sentences=(f"masks are {several}: all are read as 0 and 1",))


def _has_grey(facts: Sequence[LabelFacts], classes: set[int]) -> bool:
    """Whether pictures have greys between black and white that may be the edges of masks: several, not few small ones.
    A drawing program's white may be a little less than white."""
    values = set().union(*(f.values for f in facts if f.picture)) - classes
    between = {v for v in values if 0 < v < NEARLY_WHITE}
    return max(values, default=0) >= NEARLY_WHITE and len(between) > 3 and max(between) > SMALL


def _cut_at_half(facts: Sequence[LabelFacts], top: int) -> LabelEncoding:
    """Raises EngineError("label-lossy") where greys are more than edges."""
    half = top / 2
    together: Counter[int] = Counter()
    for f in facts:
        together.update({} if f.lossy else f.counts)
    for f in facts:
        if f.lossy and f.clear < 0.95:
            raise EngineError(
                "label-lossy",
                f"{f.file} is a JPEG with more than black and white; save the mask as PNG instead.",
            )
        if not f.lossy and ((f.clear < 0.95 and _between(f.counts, top) > 0.5) or (f.values and max(f.values) <= half)):
            raise _neither(f)
    levels = [v for v, n in together.items() if v and n > LEVEL * (together.total() - together[0])]
    if any(top / 8 < v < 7 * top / 8 for v in levels):
        raise _neither(max(facts, key=lambda f: _between(f.counts, top)))
    what = "JPEG masks" if all(f.lossy for f in facts) else "masks have edges of grey"
    text = f"{what} between 0 and {top}: what is above {half:g} is read as 1"
    return LabelEncoding(threshold=half, sentences=(text,))


def _between(counts: Mapping[int, int], top: int) -> float:
    """The share of what is not black that is neither nearly black nor nearly white."""
    inside = sum(count for value, count in counts.items() if value)
    return sum(n for v, n in counts.items() if top / 8 < v < 7 * top / 8) / max(inside, 1)


def _neither(facts: LabelFacts) -> EngineError:
    return EngineError(
        "label-encoding",
        f"{facts.file} of {facts.case} has greys ({_listed(sorted(facts.values)[:6])}) that are neither the edges of a "
        "mask of black and white nor the few values of classes; save each mask with one value a class.",
    )


def _check_no_objects(facts: Sequence[LabelFacts], classes: set[int]) -> None:
    """Raises EngineError("label-instances")."""
    looked = [f for f in facts if f.values - classes]
    if not looked or not all(f.objects in (True, None) for f in looked) or not any(f.objects for f in looked):
        return
    most = max(looked, key=lambda f: len(f.values))
    counts = {len(f.values) for f in looked}
    numbered = all(max(f.values) == len(f.values) for f in looked)
    many = len(most.values) > 20 and (most.objects or False)
    varying = numbered and len(counts) >= 3 and max(counts) >= LEAST_OBJECTS
    if many or varying:
        raise EngineError(
            "label-instances",
            f"The masks look like numbered objects: {most.file} of {most.case} has {len(most.values)} values, each of "
            "one connected object; type --instances-as-one to learn them as one class, or name the classes in a "
            "dataset.json.",
        )


def _ask(facts: Sequence[LabelFacts], value: int, white: Iterable[int]) -> None:
    """Raises EngineError("label-encoding") that says both options."""
    having = [f for f in facts if value in f.values]
    others = sorted(set().union(*(f.values for f in facts)) - set(white))
    without = [f for f in facts if f.values & set(others)]
    beside = f" beside {_listed(others)} in {_files(without)}" if others else ""
    if value < 0:
        advice = f"type --ignore-label={value} where it means not annotated, or number the classes from 1 on"
    else:
        advice = (
            f"type --ignore-label {value} where it means not annotated, or --class-label {value} where it is a class"
        )
    raise EngineError("label-encoding", f"Labels have the value {value} in {_files(having)}{beside}; {advice}.")


def _of_colours(coloured: Sequence[LabelFacts], grey: Sequence[LabelFacts], known: Mapping[int, str]) -> LabelEncoding:
    """Black is background; the colours get classes in the order of their numbers, or those that `known` gives them."""
    colours = sorted(set().union(*(f.colours for f in coloured)) - {0})
    example = max(coloured, key=lambda f: len(f.colours))
    if len(colours) > SMALL or not any(0 in f.colours for f in coloured):
        problem = "no black background" if len(colours) <= SMALL else f"{len(colours)} colours, as edges have them"
        raise EngineError(
            "label-colours",
            f"{example.file} is a coloured mask, and the masks together have {problem}; save each with one grey value "
            "for each class.",
        )
    odd = next((f for f in grey if f.values), None)
    if odd is not None:
        raise EngineError(
            "label-colours",
            f"{example.file} is a coloured mask, but {odd.file} of {odd.case} is grey; save all of them in one way.",
        )
    by_name = {name: value for value, name in known.items()}
    free = iter(range(max(known, default=0) + 1, 10_000))
    classes = {c: by_name[colour_name(c)] if colour_name(c) in by_name else next(free) for c in colours}
    names = {value: colour_name(colour) for colour, value in classes.items()}
    told = ", ".join(f"{name} is {value}" for value, name in names.items())
    return LabelEncoding(colours=classes, names=names, sentences=(f"masks are in colours: {told}",))


def _without(facts: LabelFacts, ignored: frozenset[int]) -> LabelFacts:
    if not ignored & set(facts.counts):
        return facts
    counts = {value: count for value, count in facts.counts.items() if value not in ignored}
    return replace(facts, counts=counts)


def _ignored_sentence(facts: Sequence[LabelFacts], ignored: frozenset[int]) -> tuple[str, ...]:
    voxels = sum(f.counts.get(value, 0) for f in facts for value in ignored)
    if not ignored or not voxels:
        return ()
    total = sum(sum(f.counts.values()) for f in facts)
    share = 100 * voxels / total
    return (
        f"{_listed(sorted(ignored))} means not annotated: {voxels:,} voxels ({share:.2g} %) are neither learned from "
        "nor scored",
    )


def _sparse(facts: Sequence[LabelFacts], options: LabelOptions) -> tuple[int | None, tuple[str, ...]]:
    solid = [f for f in facts if f.slices]
    if not options.sparse or not solid:
        return None, ()
    axis = _gaps(solid)[0]
    drawn = sum(f.slices[axis].labelled for f in solid)
    return axis, (f"slices without any label are not annotated; {drawn:,} slices have one",)


def _gaps(facts: Sequence[LabelFacts]) -> tuple[int, list[LabelFacts]]:
    """The axis along which most slices between labelled ones have no label, and the files where they are most of
    them, drawn one at a time."""

    def gaps(axis: int) -> int:
        return sum(f.slices[axis].extent - f.slices[axis].labelled for f in facts)

    axis = max(range(3), key=lambda a: (gaps(a), -a))
    few = [
        f
        for f in facts
        if f.slices[axis].runs >= 2
        and f.slices[axis].runs >= 0.8 * f.slices[axis].labelled
        and 2 * f.slices[axis].labelled <= f.slices[axis].extent + 1
    ]
    return axis, few


def suggested_sparse(facts: Sequence[LabelFacts]) -> str:
    """Where labels look drawn on few slices only, a sentence that says so; else nothing."""
    solid = [f for f in facts if f.slices and f.values]
    if not solid:
        return ""
    few = _gaps(solid)[1]
    if 2 * len(few) < len(solid):
        return ""
    return (
        f"In {len(few)} of {len(solid)} labels single slices are drawn, with empty ones between them; type "
        "--sparse-labels where these are not annotated."
    )


def _files(facts: Sequence[LabelFacts]) -> str:
    if len(facts) > 4:
        return f"{len(facts)} files ({facts[0].file} of {facts[0].case}, ...)"
    return ", ".join(f.file if f.file.startswith(f.case) else f"{f.file} of {f.case}" for f in facts)


def _listed(values: Iterable[int]) -> str:
    words = [str(value) for value in sorted(values)]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
