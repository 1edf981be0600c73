"""The noise kinds: how the labels of the training cases are spoiled, seeded by case, and by how much they then err.

Sizes are relative to the lesion: a share of the radius that its largest object would have as a ball.
"""

from __future__ import annotations

import zlib

import numpy as np

from DALESegmentLib.engine.metrics.simulated_annotators import simulate_annotator

from .loading import Sample
from .spatial_noise import spatial_label

BASIC = ("none", "morph", "affine", "markov", "missed", "biased", "raters")
SPATIAL = ("sr", "se", "sde")
"""Those of Yao et al., for comparison with figures of others."""
KINDS = (*BASIC, *SPATIAL)
_IN_PICTURES = {"morph": 0.6, "affine": 0.5, "markov": 0.35, "biased": 0.3, "sr": 0.15, "se": 0.2, "sde": 0.3}
_IN_VOLUMES = {"morph": 0.35, "affine": 0.3, "markov": 0.25, "biased": 0.2, "sr": 0.12, "se": 0.12, "sde": 0.2}
"""Share of the radius. The same shift of an outline costs a volume more overlap than an area: with these, labels
agree with the truth about as well in either (Dice 0.6 to 0.75)."""
MISSED = 0.3
"""Chance an object is overlooked; where a case has a single one, the chance that its label is empty."""
_ANNOTATORS = {"affine": "shift", "markov": "walk", "missed": "miss", "biased": "biased"}


def level_of(kind: str, volumes: bool) -> float | None:
    """The strength a noise kind has in the benchmark; None for raters, who are as they are."""
    if kind in ("none", "raters"):
        return 0.0 if kind == "none" else None
    return MISSED if kind == "missed" else (_IN_VOLUMES if volumes else _IN_PICTURES)[kind]


def case_random(seed: int, name: str) -> np.random.Generator:
    """Chance that depends on the seed and the case alone, whatever other cases there are."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def noisy_label(sample: Sample, kind: str, level: float | None, seed: int) -> np.ndarray:
    """(*grid), the truth as this annotator would have drawn it.

    morph: each case eroded or dilated by its own amount, up to the level (with one amount for all, the
    posterior would be flat across the true outline, and nobody could find it); affine: shifted in a random direction;
    markov: a contour that wanders (correlated Gaussian steps along it); missed: whole objects left out; biased: always
    the same bias, too large and leaning; raters: one of the real raters, drawn by case; sr, se, sde: `spatial_noise`.
    """
    case, rng = sample.case, case_random(seed, sample.case.name)
    assert case.label is not None
    if kind == "none":
        return case.label.copy()
    if kind == "raters":
        if not sample.raters:
            raise ValueError(f"{case.name} has no raters of its own; leave out the noise kind raters")
        return sample.raters[int(rng.integers(len(sample.raters)))].copy()
    assert level is not None
    if kind in SPATIAL:
        return spatial_label(case.label, case.geometry.array_spacing, kind, level, rng)
    if kind == "morph":
        annotator, level = str(rng.choice(["erode", "dilate"])), level * rng.random()
    else:
        annotator = _ANNOTATORS[kind]
    return simulate_annotator(
        case.label, case.geometry.array_spacing, annotator, level, rng, relative=annotator != "miss"
    )
