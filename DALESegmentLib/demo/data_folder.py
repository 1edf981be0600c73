"""A folder of the user's own: with several raters the labels are theirs, without them noise is added."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..engine.core.errors import EngineError
from ..engine.geometry.distance import Box, bounding_box
from ..engine.io.case import Case, CaseSource
from ..engine.io.case_files import read_case, read_label_on
from ..engine.io.checks import label_values
from ..engine.io.find_cases import find_cases
from ..engine.io.folders import cases_of
from ..engine.metrics.segmentation import mean_dice
from .data import DemoData, cut, extension_for, lay_out
from .label_noise import LabelNoise

RATER = re.compile(r"(rater|reader|annotator|observer|r)_?\d+(_\w+)?")
TRAIN_CASES, TEST_CASES = 40, 20
TRAIN_VOXELS, TEST_VOXELS = 6_000_000, 3_000_000  # more would not fit into the time
TEST_SHARE = 0.2
MARGIN_MM = 14.0
WANDER = 0.15  # of the object's radius


@dataclass
class _Read:
    """What reading the cases one by one found out. dice: labels as given against the reference."""

    names: dict[str, list[str]] = field(default_factory=lambda: {"train": [], "test": []})
    class_names: dict[int, str] = field(default_factory=dict)
    extension: str = ""
    cropped: bool = False
    scaled_slices: bool = True
    dice: list[float] = field(default_factory=list)


def folder_data(source: Path, folder: Path, seed: int, image: str | None = None) -> DemoData:
    """Read the cases of `source` and write them under `folder`, cut to what was drawn.

    image: short names of the image files, one a channel, where they are not plain to see.

    Raises EngineError("too-few-cases", "no-label") and what finding and reading cases raises.
    """
    raters = _raters(source, image)
    noise = LabelNoise(seed, WANDER, relative=True)
    found = _Read()
    for split, sources in _split(_sources(source, bool(raters), seed, image), seed).items():
        room = TRAIN_VOXELS if split == "train" else TEST_VOXELS
        for case_source in sources:
            room -= _lay_out_case(case_source, split, raters.get(case_source.name), folder, noise, found)
            if room < 0:
                break
    names = found.class_names
    if set(names.values()) == {"class 1"}:
        names = {1: "object"}
    return DemoData(
        folder,
        found.extension,
        tuple(found.names["train"]),
        tuple(found.names["test"]),
        names,
        "one rater's label" if raters else "spoiled label",
        tuple(_notes(source, raters, seed, found, noise)),
        "slice" if found.scaled_slices else None,
    )


def _raters(source: Path, image: str | None) -> dict[str, list[Path]]:
    """Case -> the labels of its raters; empty where not every case has at least two."""
    cases = cases_of(source, image.split(",") if image else ())
    raters = {c.name: [p for n, p in sorted(c.files.items()) if RATER.fullmatch(n)] for c in cases}
    return raters if all(len(paths) >= 2 for paths in raters.values()) else {}


def _sources(source: Path, raters: bool, seed: int, image: str | None) -> list[CaseSource]:
    names = {n for c in cases_of(source) for n in c.files if RATER.fullmatch(n)} if raters else set()
    return find_cases(source, image=image, label=",".join(sorted(names)) or None, rater_seed=seed)


def _split(sources: list[CaseSource], seed: int) -> dict[str, list[CaseSource]]:
    """Which cases are learned from and which are held out, at most so many of each, in an order that is drawn."""
    order = np.random.default_rng(seed).permutation(len(sources))
    shuffled = [sources[int(n)] for n in order]
    parts = {split: [s for s in shuffled if s.split == split] for split in ("train", "test")}
    if not (parts["train"] and parts["test"]):
        count = max(1, round(TEST_SHARE * len(shuffled)))
        parts = {"train": shuffled[count:], "test": shuffled[:count]}
    if not parts["train"]:
        raise EngineError(
            "too-few-cases", "The demonstration needs at least two cases, one to learn from and one to test with."
        )
    return {"train": parts["train"][:TRAIN_CASES], "test": parts["test"][:TEST_CASES]}


def _lay_out_case(
    source: CaseSource, split: str, raters: list[Path] | None, folder: Path, noise: LabelNoise, found: _Read
) -> int:
    """Write one case and note what it is like; returns its number of voxels."""
    case = read_case(source)
    if case.label is None:
        raise EngineError(
            "no-label", f"{source.name} has no label; the demonstration needs one for every case in the folder."
        )
    found.scaled_slices &= _every_slice_alike(case)
    truth, drawn = np.asarray(case.label), np.asarray(case.label) > 0
    if raters:
        truth, drawn = _vote(raters, case)
    box = _around(drawn, case)
    place, truth = cut(case.geometry, box), truth[box]
    label = np.asarray(case.label)[box] if raters else noise.apply(source.name, truth, place)
    lay_out(folder, source.name, case.image[np.index_exp[:] + box], label, truth, place)
    found.names[split].append(source.name)
    found.class_names |= case.class_names
    found.extension = extension_for(place)
    found.cropped |= place.size != case.geometry.size
    found.dice += [d for d in [mean_dice(label, truth)] if d is not None]
    return int(truth.size)


def _vote(raters: list[Path], case: Case) -> tuple[np.ndarray, np.ndarray]:
    """What at least half of the raters drew, and what any of them drew; both (*grid)."""
    drawn = [read_label_on(path, case.geometry, case.name, None)[0] for path in raters]
    truth = np.zeros(case.geometry.array_shape, np.result_type(*drawn))
    for value in sorted({value for label in drawn for value in label_values(label) if value}):
        votes = sum((label == value).astype(np.int16) for label in drawn)
        truth[2 * votes >= len(drawn)] = value
    return truth, np.any([label > 0 for label in drawn], axis=0)


def _around(drawn: np.ndarray, case: Case) -> Box:
    """The part of a volume within MARGIN_MM of what was drawn; a plain picture, which has no mm, stays whole."""
    margin = [math.ceil(MARGIN_MM / step) for step in case.geometry.array_spacing]
    box = bounding_box(drawn, margin) if case.geometry.dims == 3 else None
    return box or tuple(slice(0, n) for n in drawn.shape)


def _every_slice_alike(case: Case) -> bool:
    """Every slice runs over exactly the same brightness: each was scaled on its own, and they do not compare."""
    if case.geometry.dims != 3 or case.geometry.size[2] < 2:
        return False
    ends = (case.image.min(axis=(0, 2, 3)), case.image.max(axis=(0, 2, 3)))
    return all(bool((values == values[0]).all()) for values in ends)


def _notes(source: Path, raters: dict[str, list[Path]], seed: int, found: _Read, noise: LabelNoise) -> Iterable[str]:
    train, test = (len(found.names[split]) for split in ("train", "test"))
    yield f"Images: {train + test} cases of {source.resolve().name}, {train} to learn from and {test} held out."
    if raters:
        count = max(len(paths) for paths in raters.values())
        yield (
            f"Labels: nothing was spoiled. Up to {count} people outlined each case; its label is that of one of "
            f"them, chosen by lot (seed {seed}), and the reference is what at least half of them drew. "
            f"Dice of these labels against the reference: {np.mean(found.dice):.3f}."
        )
    else:
        yield "Reference: the labels that came with the images, whatever their own faults."
        yield noise.note()
    if found.cropped:
        yield (
            f"The images were cut to {MARGIN_MM:g} mm around what anyone drew: outlining what was found is the "
            "task here, searching the whole image is not."
        )
    if found.scaled_slices:
        yield (
            "Every slice was scaled by itself, so brightness is normalised slice by slice, and the network looks at "
            "one slice at a time."
        )
