"""The image that comes with an installed package: an averaged brain, cut into blocks.

nilearn's package holds the ICBM 152 (2009a, symmetric) T1 template with a map of how probable white matter is in
every voxel, so that the truth is known, and how soft it is.
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np

from ..engine.core.errors import EngineError
from ..engine.geometry.distance import Box
from ..engine.geometry.grid import Geometry
from ..engine.io.images import read_image
from .data import DemoData, cut, extension_for, lay_out
from .label_noise import LabelNoise

TEMPLATE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"

# The left half of the brain above the deep nuclei, which on T1 are nearly as bright as white matter. In voxels along
# k, j, i: where it starts, the size of a block, how many blocks.
FIRST, BLOCK, BLOCKS = (86, 26, 26), (16, 45, 72), (4, 4, 1)
LEAST_SHARE = 0.08  # of a block that is white matter; others are left out
HELD_OUT = 4  # every fourth block
WANDER_MM = 1.5

NOTES = (
    "Images: the ICBM 152 template, a T1 image averaged over 152 brains, with the probability of white matter in "
    "every voxel. Both come inside the nilearn package; nothing is downloaded.",
    "Its halves are mirror images of each other, so only the left half is used, above the deep nuclei, in {blocks} "
    "blocks of {size} mm that do not overlap: {train} to learn from, {test} held out for testing. All of them come "
    "from one averaged brain, so the numbers show how the method works, not how well it does in other patients.",
    "Reference: white matter, where its probability exceeds one half. Its boundary is truly soft: in {soft:.0f} % of "
    "the reference's voxels white matter is less than 80 % probable.",
)


def brain_data(folder: Path, seed: int) -> DemoData:
    """Write the blocks under `folder`. Raises EngineError("no-template") where nilearn is not installed."""
    (t1, geometry), (probability, _) = _template("t1"), _template("wm")
    truth = (probability > 127).astype(np.int16)
    boxes = [box for box in _blocks() if truth[box].mean() >= LEAST_SHARE]
    noise = LabelNoise(seed, WANDER_MM)
    train, test = [], []
    for number, box in enumerate(boxes):
        name = f"block{number + 1:02d}"
        (test if number % HELD_OUT == 1 else train).append(name)
        place = cut(geometry, box)
        label = noise.apply(name, truth[box], place)
        lay_out(folder, name, t1[box][None], label, truth[box], place)
    soft = np.concatenate([probability[box][truth[box] > 0] < 0.8 * 255 for box in boxes]).mean()
    size = " × ".join(str(n) for n in reversed(BLOCK))
    facts = {"blocks": len(boxes), "train": len(train), "test": len(test), "soft": 100 * soft, "size": size}
    notes = (*(note.format(**facts) for note in NOTES), noise.note())
    return DemoData(
        folder, extension_for(geometry), tuple(train), tuple(test), {1: "white matter"}, "spoiled label", notes
    )


def _template(what: str) -> tuple[np.ndarray, Geometry]:
    package = find_spec("nilearn")
    if package is None or package.origin is None:
        raise EngineError(
            "no-template",
            "The image of the demonstration comes with the Python package nilearn, which is not installed; "
            "install it with pip, or name a folder of your own images with --data.",
        )
    channels, geometry = read_image(Path(package.origin).parent / "datasets" / "data" / TEMPLATE.format(what))
    return channels[0], geometry


def _blocks() -> list[Box]:
    corners = product(*(range(f, f + n * b, b) for f, b, n in zip(FIRST, BLOCK, BLOCKS, strict=True)))
    return [tuple(slice(c, c + b) for c, b in zip(corner, BLOCK, strict=True)) for corner in corners]
