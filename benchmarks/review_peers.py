"""Other orders in which a reviewer could look at the band, of the active learning of segmentations.

Foreground-aware random: any voxel near what is labelled or predicted as an object, as likely as any other.

ClaSP PE (Lüth, Traub et al., TMLR 2026, arXiv 2601.13677): class-stratified, scheduled power predictive entropy. Blocks
are asked for, by the mean entropy H of the model's prediction. Noise makes a choice diverse,

    log H + G / β,   G from the standard Gumbel distribution     (power acquisition, Kirsch et al., TMLR 2023)

and falls from round to round, as β grows from 1 to 100 on a log scale. Two thirds of a round's voxels are shared out
among the classes, for each of which H counts where the class is predicted; the others go to the highest H of all.

Written from the abstract; blocks, rounds, β and the share of two thirds are ours. Between rounds the model would learn
from what was reviewed; here it stays, as it does for every other order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from DALESegmentLib.engine.geometry.distance import grow_mm
from DALESegmentLib.engine.review.reviewed_voxels import REVIEWED_MARGIN

from .scored_label import ScoredLabel
from .trusted_voxels import BAND_MM, foreground_band

SHARE = 0.1
"""Of the band, that is reviewed."""
BLOCK_MM = 2 * BAND_MM
ROUNDS = 5
BETAS = np.geomspace(1.0, 100.0, ROUNDS)
STRATIFIED = 2 / 3


def band_of(scored: ScoredLabel) -> np.ndarray:
    """(*grid) bool, where label errors are looked for."""
    return foreground_band(scored.label, scored.geometry.array_spacing, scored.probabilities.argmax(0))


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """-Σ p log p over the classes; (K, *grid) to (*grid)."""
    p = np.clip(probabilities, 1e-12, 1.0)
    return -(p * np.log(p)).sum(0)


def near_foreground(scored: ScoredLabel) -> np.ndarray:
    """(*grid) bool: labelled or predicted as an object, with the margin of a review around it."""
    spacing = scored.geometry.array_spacing
    return grow_mm((scored.label > 0) | (scored.probabilities.argmax(0) > 0), spacing, REVIEWED_MARGIN * min(spacing))


def random_share(first: np.ndarray, wrong: np.ndarray, share: float = SHARE) -> float:
    """Expected share of the wrong among the `share` of all voxels, where those of `first` come first and chance decides
    among equals. first, wrong: (n,) bool."""
    budget = int(share * len(wrong))
    found = 0.0
    for part in (first, ~first):
        taken = min(budget, int(part.sum()))
        found += taken * float(wrong[part].mean()) if taken else 0.0
        budget -= taken
    return found / float(wrong.sum())


def clasp_scores(scored: Sequence[ScoredLabel], bands: Sequence[np.ndarray], seeds: Iterable[int]) -> list[np.ndarray]:
    """By seed (n,) scores of the bands' voxels that put the blocks first that are asked for first.

    bands: (*grid) bool a case, see `band_of`.
    """
    blocks = _numbered([_blocks(j) for j in scored], bands)
    h = np.concatenate([entropy(j.probabilities)[b] for j, b in zip(scored, bands, strict=True)])
    predicted = np.concatenate([j.probabilities.argmax(0)[b] for j, b in zip(scored, bands, strict=True)])
    return [-asked_for(blocks, h, predicted, np.random.default_rng(seed))[blocks].astype(float) for seed in seeds]


def asked_for(blocks: np.ndarray, h: np.ndarray, predicted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(blocks,) the place of each block in the order in which they are asked for.

    blocks, h, predicted: (n,) of each voxel of the bands its block from 0 on, its entropy and its predicted class.
    """
    sizes = np.bincount(blocks)
    scores = [np.bincount(blocks, h, len(sizes)) / sizes]
    scores += [np.bincount(blocks, h * (predicted == c), len(sizes)) / sizes for c in np.unique(predicted)]
    shares = [1 - STRATIFIED, *[STRATIFIED / (len(scores) - 1)] * (len(scores) - 1)]
    order: dict[int, None] = {}
    for beta in BETAS:
        for score, share in zip(scores, shares, strict=True):
            noisy = np.log(score + 1e-12) + rng.gumbel(size=len(score)) / beta
            order |= dict.fromkeys(_until(np.argsort(-noisy), sizes, order, share * SHARE * len(h) / ROUNDS))
    order |= dict.fromkeys(np.argsort(-scores[0], kind="stable").tolist())
    place = np.empty(len(sizes), int)
    place[list(order)] = np.arange(len(sizes))
    return place


def _until(ranked: np.ndarray, sizes: np.ndarray, taken: Iterable[int], voxels: float) -> list[int]:
    """The first that are not taken yet, until they hold so many voxels."""
    known, chosen = set(taken), []
    for block in ranked.tolist():
        if voxels <= 0:
            break
        if block not in known:
            chosen.append(block)
            voxels -= sizes[block]
    return chosen


def _blocks(scored: ScoredLabel) -> np.ndarray:
    """(*grid) the number of the block that a voxel lies in."""
    shape = scored.label.shape
    edges = [max(round(BLOCK_MM / step), 1) for step in scored.geometry.array_spacing]
    counts = [-(-n // edge) for n, edge in zip(shape, edges, strict=True)]
    places = [axis // edge for axis, edge in zip(np.indices(shape), edges, strict=True)]
    return np.ravel_multi_index(places, counts)


def _numbered(blocks: Sequence[np.ndarray], bands: Sequence[np.ndarray]) -> np.ndarray:
    """(n,) of the bands' voxels, over all cases from 0 on without gaps."""
    found, start = [], 0
    for each, band in zip(blocks, bands, strict=True):
        found.append(each[band] + start)
        start += int(each.max()) + 1
    return np.unique(np.concatenate(found), return_inverse=True)[1]
