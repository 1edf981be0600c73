"""A DALE training on large volumes: its memory over what its cases take, and what its checkpoints cost.

The job is the engine's own, in a process of its own, monitored from outside (`monitored_training`). Three trainings:

- small: a few small volumes, for what any training with this network has: imports, weights, activations;
- large: so many large volumes, with the defaults, but few epochs and none held out, whose prediction takes minutes;
- sparse: some of the large ones with one patch an epoch, so that one case's map changes between two checkpoints.

The cache's own memory is what is held when all cases are prepared and nothing has been learned: whether cases lie in
memory or in files is the cache's decision, not what is measured. The last sample before that may miss the last case.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.images import write_image

from ..reliability.lines_engine import LinesEngine
from .models import IDENTITY
from .monitored_training import MonitoredTraining
from .rows import Given, Measured, Measurements
from .timing import middle

Size = tuple[int, int, int]
SPACING = (0.8, 0.8, 1.0)
"""mm; all volumes have it, so the plan has, and nothing is resampled."""
SMALL: Size = (64, 64, 32)
"""Larger than a patch, so that the plan is the large volumes'."""
MOST_BYTES, MOST_GB, MOST_TIME = 6.0, 8.0, 0.1
LONGEST = 6 * 3600.0


@dataclass(frozen=True)
class Sizes:
    """steps: an epoch of the large training; sparse: how many volumes the training with one patch an epoch has."""

    count: int = 20
    size: Size = (512, 512, 200)
    epochs: int = 40
    steps: int = 50
    sparse: int = 8
    sparse_epochs: int = 4

    @property
    def voxels(self) -> int:
        return self.count * int(np.prod(self.size))


QUICK = Sizes(count=6, size=(128, 128, 64), epochs=4, steps=4, sparse=4, sparse_epochs=3)


def measure(given: Given) -> Measurements:
    return measured(QUICK if given.quick else Sizes(), given.work)


def measured(sizes: Sizes, work: Path) -> Measurements:
    """The volumes lie in a folder in `work` that is removed: 2 bytes a voxel, and the trainings' files."""
    with tempfile.TemporaryDirectory(dir=work, prefix="large-") as name:
        folder = Path(name)
        first = _folder_of_volumes(folder / "first", range(sizes.sparse), sizes.size)
        second = _folder_of_volumes(folder / "second", range(sizes.sparse, sizes.count), sizes.size)
        few = _folder_of_volumes(folder / "few", range(sizes.count, sizes.count + 3), SMALL)
        asked = {"epochs": sizes.epochs, "steps_per_epoch": sizes.steps}
        small = _train(few, folder / "small-run", asked)
        large = _train([*first, *second], folder / "large-run", asked)
        one_patch = {"epochs": sizes.sparse_epochs, "steps_per_epoch": 1, "batch_size": 1}
        sparse = _train(first, folder / "sparse-run", one_patch)
    return _memory(small, large, sizes) | _checkpoints(large, sparse, sizes)


def _memory(small: MonitoredTraining, large: MonitoredTraining, sizes: Sizes) -> Measurements:
    over = [_over_the_cache(monitored) for monitored in (large, small)]
    voxels = sizes.voxels - 3 * int(np.prod(SMALL))
    each = (over[0] - over[1]) / voxels
    peak = large.most() / 1e9
    cache = (_with_cache(large) - _with_cache(small)) / voxels
    words = (
        f"over the cache {over[0] / 1e9:.2f} GB, of them {over[1] / 1e9:.2f} GB in a training on 3 volumes of "
        f"{_times(SMALL)} too; the cache itself takes {cache:.1f} bytes a voxel outside of files; "
        f"{sizes.count} volumes of {_times(sizes.size)}, {sizes.epochs} epochs of {sizes.steps} steps"
    )
    return {
        "training_memory": Measured(each, each <= MOST_BYTES, words),
        "training_peak": Measured(peak, peak <= MOST_GB, "the whole process, without what is mapped from files"),
    }


def _with_cache(monitored: MonitoredTraining) -> int:
    """Bytes when all cases are prepared."""
    return monitored.least(monitored.reports("reading")[-1], monitored.reports("training")[0])


def _over_the_cache(monitored: MonitoredTraining) -> int:
    return monitored.most(since=monitored.reports("reading")[-1]) - _with_cache(monitored)


def _checkpoints(large: MonitoredTraining, sparse: MonitoredTraining, sizes: Sizes) -> Measurements:
    taken = [seconds for epoch in range(1, sizes.epochs) if (seconds := _seconds(large, epoch))]
    taken = taken or [0.0]
    reports = large.reports("training")
    share = sum(taken) / (reports[-1] - reports[0])
    again = written_again(sparse, sizes.sparse_epochs)
    goal = 2 / sizes.sparse
    words = (
        f"{len(taken)} checkpoints of {middle(taken):.2f} s in {sizes.epochs} epochs of {sizes.steps} steps, "
        f"{reports[-1] - reports[0]:.0f} s; up to {_whole(large):.3g} GB each"
    )
    one = f"one patch an epoch in one of {sizes.sparse} cases; all is {_whole(sparse):.3g} GB"
    return {
        "checkpoint_time": Measured(share, share <= MOST_TIME, words),
        "checkpoint_bytes": Measured(again, again <= goal, one),
    }


def _seconds(monitored: MonitoredTraining, epoch: int) -> float:
    """Of the checkpoint after this epoch, 0 without one. A report comes a tenth of a second late at most."""
    ended, begins = monitored.reports("training", epoch)[-1], monitored.reports("training", epoch + 1)[0]
    return max((write.at for write in monitored.writes if ended <= write.at <= begins), default=ended) - ended


def written_again(monitored: MonitoredTraining, epochs: int) -> float:
    """Bytes a checkpoint after the first writes, of those that a whole one has."""
    whole = 1e9 * _whole(monitored)
    return (sum(write.size for write in monitored.writes) / whole - 1.0) / (epochs - 1)


def _whole(monitored: MonitoredTraining) -> float:
    """GB of a checkpoint, all its files; their names end with the number of the checkpoint that wrote them."""
    return sum({re.sub(r"-\d+(?=\.)", "", write.path): write.size for write in monitored.writes}.values()) / 1e9


def _train(cases: list[dict[str, Any]], run: Path, asked: Mapping[str, Any]) -> MonitoredTraining:
    common = {"cases": {"items": cases}, "out": str(run), "validation": 0.0, "device": "cpu"}
    with LinesEngine() as engine, MonitoredTraining(engine, run) as monitored:
        engine.ask("train", {**common, **asked}, LONGEST)
    return monitored


def _folder_of_volumes(folder: Path, seeds: range, size: Size) -> list[dict[str, Any]]:
    """The items of a request."""
    items = []
    for seed in seeds:
        there = folder / f"case{seed:02d}"
        there.mkdir(parents=True)
        image, label = ct_like(size, seed)
        geometry = Geometry(size, SPACING, (0.0, 0.0, 0.0), IDENTITY)
        image_path, label_path = there / "image.nii", there / "label.nii.gz"
        write_image(image_path, image, geometry)
        write_image(label_path, label, geometry)
        items.append({"name": there.name, "images": [str(image_path)], "label": str(label_path)})
    return items


def ct_like(size: Size, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (k, j, i) int16 in HU: a body in air, five brighter ellipsoids in it, noise; and label uint8, theirs."""
    random = np.random.default_rng(seed)
    shape = size[::-1]
    body = _ellipsoid(shape, [n / 2 for n in shape], [shape[0], 0.42 * shape[1], 0.42 * shape[2]])
    label = np.zeros(shape, np.uint8)
    for _ in range(5):
        radii = [random.uniform(0.06, 0.14) * n for n in shape]
        middle_of = [random.uniform(0.3, 0.7) * n for n in shape]
        label[_ellipsoid(shape, middle_of, radii)] = 1
    image = np.where(body, 40, -1000).astype(np.int16)
    image += 60 * label.astype(np.int16)
    for slice_ in image:  # noise of a slice at a time, in a quarter of the memory
        slice_ += random.normal(0, 20, slice_.shape).astype(np.int16)
    return image, label


def _ellipsoid(shape: tuple[int, ...], middle_of: list[float], radii: list[float]) -> np.ndarray:
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum(((a - m) / r) ** 2 for a, m, r in zip(axes, middle_of, radii, strict=True)) <= 1.0


def _times(size: Size) -> str:
    return "x".join(map(str, size))
