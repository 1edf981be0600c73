"""Simulated label noise, for data with only one label a case, and the sentence that says so in the report."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.metrics.segmentation import mean_dice
from DALESegmentLib.engine.metrics.simulated_annotators import simulate_annotator


@dataclass
class LabelNoise:
    """Moves each outline smoothly in and out by `amount` (standard deviation).

    amount: mm, or with `relative` a share of the radius of each case's largest object.
    """

    seed: int
    amount: float
    relative: bool = False
    dice: list[float] = field(default_factory=list)

    def apply(self, name: str, truth: np.ndarray, geometry: Geometry) -> np.ndarray:
        """The noisy label (*grid); depends on the seed and the case's name alone."""
        random = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        label = simulate_annotator(truth, geometry.array_spacing, "walk", self.amount, random, relative=self.relative)
        agreement = mean_dice(label, truth)
        if agreement is not None:
            self.dice.append(agreement)
        return label

    def note(self) -> str:
        size = f"{100 * self.amount:.0f} % of the object's radius" if self.relative else f"{self.amount:g} mm"
        return (
            "Labels: the reference, spoiled on purpose. The outline of every case wanders smoothly in and out "
            f"(simulated annotator “walk”, standard deviation {size}, seed {self.seed}), as somebody in a hurry "
            f"might draw it. Dice of these labels against the reference: {np.mean(self.dice):.3f}."
        )
