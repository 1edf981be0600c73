"""The label errors found by reviewing a tenth of the foreground band: in our order, in others', and at best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from DALESegmentLib.engine.dale.agreement import class_agreement
from DALESegmentLib.engine.dale.candidates import DEFAULT, expected_uncertainty
from DALESegmentLib.engine.dale.issues import find_regions, rank_regions
from DALESegmentLib.engine.dale.review_list import find_surroundings, make_review_list
from DALESegmentLib.engine.geometry.distance import boundary_distance, bounding_box, margin_voxels

from .review_peers import SHARE, band_of, clasp_scores, entropy, near_foreground, random_share
from .scored_label import ScoredLabel

LOW_CONFIDENCE = 0.2
SEEDS = range(5)
"""Of the noise of ClaSP PE; the mean is taken."""


def review_found(scored: Sequence[ScoredLabel]) -> dict[str, Any]:
    """Shares of all wrong band voxels found in the first tenth of the band, over all cases together.

    review_found_10pct: region after region as the review lists them, then excess doubt; ..._doubt: excess doubt alone;
    ..._entropy: the model's entropy; ..._random: foreground-aware random; ..._clasp_pe: see `review_peers`; ..._best:
    all that a tenth of the band can hold. In a fixed random order among equals.
    """
    bands = [band_of(j) for j in scored]
    wrong = np.concatenate([(j.label != j.truth)[b] for j, b in zip(scored, bands, strict=True)])
    if not wrong.any():
        return {}

    def inside(maps: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([m[b] for m, b in zip(maps, bands, strict=True)])

    def pooled(maps: list[np.ndarray]) -> float:
        return found_share(inside(maps), wrong)

    excess = [excess_doubt(j) for j in scored]
    return {
        "review_found_10pct": pooled(review_order(scored, excess)),
        "review_found_10pct_doubt": pooled(excess),
        "review_found_10pct_entropy": pooled([entropy(j.probabilities) for j in scored]),
        "review_found_10pct_random": random_share(inside([near_foreground(j) for j in scored]), wrong),
        "review_found_10pct_clasp_pe": float(
            np.mean([found_share(score, wrong) for score in clasp_scores(scored, bands, SEEDS)])
        ),
        "review_found_10pct_best": min(1.0, int(SHARE * len(wrong)) / int(wrong.sum())),
    }


def found_share(score: np.ndarray, wrong: np.ndarray, share: float = SHARE) -> float:
    """Share of the wrong among the `share` of all voxels with the highest scores. score, wrong: (n,)."""
    shuffled = np.random.default_rng(0).permutation(len(score))
    order = shuffled[np.argsort(-score[shuffled], kind="stable")]
    return float(wrong[order[: int(share * len(order))]].sum() / wrong.sum())


def excess_doubt(scored: ScoredLabel) -> np.ndarray:
    """(*grid) doubt of the label beyond what is usual at that distance from a boundary; 0 or less where trusted."""
    spacing = scored.geometry.array_spacing
    doubt = 1.0 - scored.confidence
    trusted = np.zeros(doubt.shape, bool) if scored.trusted is None else scored.trusted
    excess = doubt.copy()
    reach = DEFAULT.boundary_reach_mm
    near = bounding_box(scored.label > 0, margin_voxels(reach, spacing))
    if near is not None:
        distance, nearest = boundary_distance(scored.label[near], spacing, reach)
        excess[near] -= expected_uncertainty(doubt[near], distance, nearest, min(spacing), ~trusted[near])
    excess[trusted] = -1.0
    return excess


def review_order(scored: Sequence[ScoredLabel], excess: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Scores that put listed regions first, in the order of the list over all cases, and excess doubt after them."""
    listed, maps = [], []
    for j in scored:
        names = {c: f"class {c}" for c in range(1, len(j.probabilities))}
        regions, where = find_regions(j.name, j.label, j.confidence, j.probabilities, j.geometry, names, j.trusted)
        listed.append(regions)
        maps.append(where)
    place = {j.name: np.zeros(21) for j in scored}
    ranked = rank_regions(listed)
    for region in ranked:
        place[region.case][region.region_id] = 2.0 + len(ranked) - region.rank
    return [place[j.name][m] + np.where(m > 0, 0.0, e) for j, m, e in zip(scored, maps, excess, strict=True)]


def real_rows(scored: Sequence[ScoredLabel]) -> dict[str, Any]:
    """Of the first 20 rows of the list over all cases: review_expected_20, how many it expects to be real label errors,
    and review_real_20, how many are: at least half of their voxels are wrong; review_low_confidence: rows of the whole
    list, a case, whose mean confidence is below `LOW_CONFIDENCE`."""
    found, real = [], {}
    for j in scored:
        names = {c: f"class {c}" for c in range(1, len(j.probabilities))}
        regions, where = find_regions(j.name, j.label, j.confidence, j.probabilities, j.geometry, names, j.trusted)
        for region in regions:
            inside = where == region.region_id
            real[j.name, region.region_id] = bool((j.label != j.truth)[inside].mean() >= 0.5)
        assert j.image is not None
        found.append(find_surroundings(regions, where, j.image, j.label, class_agreement(j.label, j.probabilities)))
    listed = make_review_list(found, {})
    first = [region for region in listed.regions[: DEFAULT.first_rows] if not region.recurs_in_cases]
    return {
        "review_expected_20": listed.expected_real,
        "review_real_20": sum(real[region.case, region.region_id] for region in first),
        "review_low_confidence": sum(region.mean_confidence < LOW_CONFIDENCE for region in listed.regions)
        / len(scored),
    }
