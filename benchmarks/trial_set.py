"""A made-up set on disk, small and always the same, on which every method of the benchmark has something to do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.images import write_image

from .data_set import DataSet, Normalise

NAME = "made-up"
TRAIN, TRUSTED, TEST, FEW = 12, 18, 2, 6
"""How many to learn from: more where a clinician reviewed one place in each, since few places show no bias."""
EMPTY = 4
"""Every so many of the cases to learn from, the rater drew nothing."""
WRONG = (0.7, 1.35)
"""The rater's radius, of the true one; drawn too small and too large in turn, so that a network learns the mean."""
_SHAPES = {"pictures": (40, 40), "slices": (3, 40, 40), "volumes": (10, 24, 24)}
_DIMS = {"pictures": 2, "slices": 2, "volumes": 3}


def kind_of(data: DataSet) -> str:
    """pictures; slices: volumes for a 2D network; volumes: for a 3D network, or for the one that is planned."""
    if not data.volumes:
        return "pictures"
    return "slices" if data.dims == 2 else "volumes"


def trial_set(kind: str, normalise: Normalise | None, trusted: bool = False) -> DataSet:
    """Read, cropped, shrunk, planned and learned as any other set; in seconds. Only in pictures it is learned so long
    that every part of every method has something to do."""
    long = kind == "pictures"
    return DataSet(
        name=NAME,
        raters=("rater",),
        dims=_DIMS[kind],
        volumes=kind != "pictures",
        normalise=normalise,
        crop=_SHAPES[kind][-1] - 2,
        train=(TRUSTED if trusted else TRAIN) if long else FEW,
        test=TEST,
        slim=0.25,
        levels=2,
        batch=4,
        epochs=10 if long else 4,
        steps_per_epoch=4,
    )


def write_trial_set(folder: Path, kind: str) -> None:
    """One folder a case: image, label (the truth) and rater, of bright balls in a grey that is not quite even."""
    shape = _SHAPES[kind]
    dims, ending = len(shape), "png" if kind == "pictures" else "nii.gz"
    identity = tuple(np.eye(dims).ravel().tolist())
    geometry = Geometry(tuple(reversed(shape)), (1.0,) * dims, (0.0,) * dims, identity)
    names = [f"case{n:02d}" for n in range(TRUSTED + TEST)]
    for n, name in enumerate(names):
        image, truth, rater = _case(n, shape)
        for short, array in (("image", image), ("label", truth), ("rater", rater)):
            (folder / NAME / name).mkdir(parents=True, exist_ok=True)
            write_image(folder / NAME / name / f"{short}.{ending}", array, geometry)
    split = {"train": names[:TRUSTED], "test": names[TRUSTED:]}
    (folder / NAME / "split.json").write_text(json.dumps(split), encoding="utf-8")


def _case(n: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, truth and rater's label, all (*grid) uint8."""
    rng = np.random.default_rng([7, n])
    plane = shape[-1]
    middle = [size / 2 + rng.uniform(-0.08, 0.08) * size for size in shape]
    radius = rng.uniform(0.2, 0.28) * plane
    # a thin stack is no ball, but a disc in every slice
    stretch = [1.0 if size == plane else 0.0 if size < plane / 4 else size / plane for size in shape]
    steps = [(axis - m) / s if s else 0.0 for axis, m, s in zip(np.indices(shape), middle, stretch, strict=True)]
    distance = np.sqrt(sum(np.square(step) for step in steps) + np.zeros(shape))
    uneven = ndimage.gaussian_filter(rng.normal(size=shape), 4.0)
    truth = distance < radius
    image = 90 + 70 * truth + 12 * rng.normal(size=shape) + 20 * uneven / np.abs(uneven).max()
    rater = distance < radius * WRONG[n % 2] if n % EMPTY else np.zeros(shape, bool)
    return image.clip(0, 255).astype(np.uint8), truth.astype(np.uint8), rater.astype(np.uint8)
