"""Real cases in memory, cropped and shrunk as the tier wants them, with the clean label and the raters' labels."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.case import Case, patient_of
from DALESegmentLib.engine.io.case_files import read_case, read_reference
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.metrics.segmentation import mean_dice

from .data_set import DataSet


@dataclass
class Sample:
    """case.label is the clean truth; raters: (*grid) labels of single people, where the set has them; patient: whose
    cases stay together."""

    case: Case
    raters: list[np.ndarray] = field(default_factory=list)
    patient: str = ""

    @property
    def disagreement(self) -> float | None:
        """1 - mean pairwise Dice of the raters."""
        pairs = [mean_dice(a, b) for a, b in combinations(self.raters, 2)]
        known = [d for d in pairs if d is not None]
        return 1.0 - float(np.mean(known)) if known else None


@lru_cache(maxsize=4)
def load(wanted: DataSet, data: Path, split: str, draw: int) -> tuple[Sample, ...]:
    """A draw of the set's training or test samples; a set keeps its patients apart by its own split."""
    threshold = ":" in wanted.truth
    label = {"reference": wanted.truth} if threshold else {"label": "" if wanted.truth == "label" else wanted.truth}
    folder = data / wanted.name
    sources = find_cases(folder, split=split, **label)
    sources.sort(key=lambda s: s.name)
    order = np.random.default_rng([draw, zlib.crc32(f"{wanted.name}/{split}".encode())]).permutation(len(sources))
    raters = [{s.name: s for s in find_cases(folder, split=split, label=r)} for r in wanted.raters]
    samples: list[Sample] = []
    for source in (sources[i] for i in order):
        if len(samples) == (wanted.train if split == "train" else wanted.test):
            break
        case = read_case(source)
        if threshold:
            case.label = read_reference(source, case)
        assert case.label is not None, f"{case.name} has no label"
        drawn = [read_case(of[case.name]).label for of in raters]
        owner = re.match(wanted.patient, source.name) if wanted.patient else None
        sample = Sample(case, [r for r in drawn if r is not None], owner[0] if owner else patient_of(source))
        if case.label.any() and _fits(sample, wanted):
            samples.append(_shrunk(_cropped(sample, wanted.crop), wanted.shrink))
    return tuple(samples)


def _everything(sample: Sample) -> np.ndarray:
    return np.any([sample.case.label > 0, *(r > 0 for r in sample.raters)], axis=0)


def _fits(sample: Sample, wanted: DataSet) -> bool:
    inside = np.argwhere(_everything(sample))
    return not wanted.largest or int((np.ptp(inside, axis=0) + 1)[-2:].max()) <= wanted.largest


def _cropped(sample: Sample, edge: int) -> Sample:
    """A window of edge x edge in the plane of the slices round the middle of the lesion, all slices."""
    if not edge:
        return sample
    inside = np.argwhere(_everything(sample))
    middle = (inside.min(0) + inside.max(0) + 1) // 2
    box = [slice(0, n) for n in sample.case.geometry.array_shape]
    for axis in (-2, -1):
        length = sample.case.geometry.array_shape[axis]
        start = int(np.clip(middle[axis] - edge // 2, 0, max(length - edge, 0)))
        box[axis] = slice(start, min(start + edge, length))
    return _changed(sample, lambda a: a[(..., *box)], [b.start for b in reversed(box)], 1)


def _shrunk(sample: Sample, factor: int) -> Sample:
    """Blocks of factor voxels an axis become one: the image's mean, the label's most frequent class."""
    if factor == 1:
        return sample
    dims = sample.case.geometry.dims
    return _changed(sample, lambda a: _blocks(a, factor, dims), [(factor - 1) / 2] * dims, factor)


def _blocks(array: np.ndarray, factor: int, dims: int) -> np.ndarray:
    if array.dtype.kind != "f":
        values = np.unique(array)
        shares = [_blocks((array == v).astype(np.float32), factor, dims) for v in values]
        return values[np.argmax(shares, axis=0)].astype(array.dtype)
    first = array.ndim - dims
    for axis in range(first, array.ndim):
        length = array.shape[axis] // factor
        kept = np.take(array, range(length * factor), axis)
        array = kept.reshape(*kept.shape[:axis], length, factor, *kept.shape[axis + 1 :]).mean(axis + 1)
    return np.ascontiguousarray(array, np.float32)


def _changed(sample: Sample, change, first_ijk: list[float], factor: int) -> Sample:
    """The sample with `change` done to every array; its new voxel 0 lies at index `first_ijk` of the old grid."""
    case, old = sample.case, sample.case.geometry
    image, label = change(case.image), change(case.label)
    matrix = np.array(old.direction).reshape(old.dims, old.dims) * np.array(old.spacing)
    geometry = Geometry(
        tuple(reversed(label.shape)),
        old.spacing if old.dims == 2 else tuple(s * factor for s in old.spacing),  # a picture has pixels, no mm
        tuple(float(x) for x in np.array(old.origin) + matrix @ np.array(first_ijk)),
        old.direction,
    )
    case = replace(case, image=image, label=np.ascontiguousarray(label), geometry=geometry)
    return replace(sample, case=case, raters=[np.ascontiguousarray(change(r)) for r in sample.raters])
