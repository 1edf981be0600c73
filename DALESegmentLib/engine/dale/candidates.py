"""Suspected voxels grouped into places a person can look at one by one.

How much doubt is usual at a given distance from a boundary, so that only the excess counts.

Every boundary is doubtful: its voxels are shared, and people draw them differently. A list ranked by doubt
alone sends the clinician once round every outline. What is usual is read off the case itself: the median
doubt of the voxels at the same distance from the same class's boundary, on the same side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..core.errors import checkpoint
from ..geometry.distance import Box, boundary_distance, bounding_box, margin_voxels, scaled_mm
from ..geometry.objects import components, equivalent_diameter
from .config import ReviewListConfig

DEFAULT = ReviewListConfig()


@dataclass
class Candidate:
    """One place, before it is ranked. mask: bool on `box`, which is a part of the searched grid; label_class,
    suggested_class: as in a `Region` their values."""

    box: Box
    mask: np.ndarray
    label_class: int
    suspicion: str
    suggested_class: int


@dataclass
class VoxelEvidence:
    """What is known of every voxel of the searched grid; all arrays (*grid).

    label: its class; model: the most probable class; rival: the most probable class other than the label's; excess:
    doubt beyond what is usual there; candidate: suspected voxels; trusted: confirmed voxels; spacing: mm along the
    axes.
    """

    label: np.ndarray
    model: np.ndarray
    rival: np.ndarray
    excess: np.ndarray
    candidate: np.ndarray
    trusted: np.ndarray
    spacing: tuple[float, ...]


def voxel_evidence(
    label: np.ndarray,
    doubt: np.ndarray,
    probabilities: np.ndarray,
    spacing: tuple[float, ...],
    trusted: np.ndarray,
    config: ReviewListConfig = DEFAULT,
) -> VoxelEvidence:
    """What `find_candidates` needs, on the searched part of the grid; probabilities: (K, *grid), the others (*grid)."""
    label = label.astype(np.int16 if len(probabilities) <= 2**15 else np.int32)
    model = most_probable(probabilities, label.dtype)
    excess = np.maximum(doubt - _expected_uncertainty(label, doubt, spacing, trusted, config), 0)
    checkpoint()
    contradicted = (model != label) & (doubt > config.contradicted_doubt)
    candidate = ((excess >= config.excess_doubt) | contradicted) & ~trusted

    checkpoint()
    rival = model.copy()
    agreed = candidate & (model == label)
    rival[agreed] = most_probable(probabilities, label.dtype, agreed, label[agreed])
    return VoxelEvidence(label, model, rival, excess, candidate, trusted, spacing)


def most_probable(
    probabilities: np.ndarray, kind: np.dtype, where: np.ndarray | None = None, without: np.ndarray | None = None
) -> np.ndarray:
    """The most probable class, the first of equals: (K, *grid) to (*grid), or (n,) of the voxels `where`. without: (n,)
    one class of each that is not considered. Class by class: never a copy of all probabilities."""
    inside = ... if where is None else where
    best = np.full_like(probabilities[0][inside], -np.inf)
    found = np.zeros(best.shape, kind)
    for index, own in enumerate(probabilities):
        more = own[inside] > best
        if without is not None:
            more &= without != index
        np.copyto(best, own[inside], where=more)
        found[more] = index
    return found


def _expected_uncertainty(
    label: np.ndarray, doubt: np.ndarray, spacing: tuple[float, ...], trusted: np.ndarray, config: ReviewListConfig
) -> np.ndarray:
    """Usual doubt within reach of the label, where boundaries lie; far from it the median doubt there."""
    reach = scaled_mm(config.boundary_reach_mm, spacing)
    near = bounding_box(label > 0, margin_voxels(reach, spacing))
    expected = np.zeros(label.shape, np.float32)
    if near is None:
        return expected
    checkpoint()
    distance, nearest = boundary_distance(label[near], spacing, reach)
    checkpoint()
    expected[near] = expected_uncertainty(doubt[near], distance, nearest, min(spacing), ~trusted[near], config)
    return expected


def find_candidates(evidence: VoxelEvidence, config: ReviewListConfig = DEFAULT) -> list[Candidate]:
    """Whole objects first ("extra", "missing"), then the parts of outlines ("too large", "too small")."""
    left = evidence.candidate.copy()
    found: list[Candidate] = []
    for suspect in (*_extra_objects(evidence, config), *_missing_objects(evidence)):
        left[suspect.box] &= ~suspect.mask
        found.append(suspect)
    return found + list(_outline_parts(evidence, left, config))


def _extra_objects(e: VoxelEvidence, config: ReviewListConfig) -> Iterator[Candidate]:
    for value in np.unique(e.label[e.candidate & (e.label > 0)]):
        for box, part in components(e.label == value):
            disbelieved = (e.model[box][part] != value).mean() >= config.object_share
            if disbelieved and e.candidate[box][part].any() and not e.trusted[box][part].any():
                yield Candidate(box, part, int(value), "extra", _most_common(e.rival[box][part]))


def _missing_objects(e: VoxelEvidence) -> Iterator[Candidate]:
    """What the model sees of a class and what is labelled of it, taken together, in pieces without any
    label."""
    proposed = e.candidate & (e.label == 0)
    for value in np.unique(e.rival[proposed]):
        wanted = proposed & (e.rival == value)
        claimed = (e.label == value) | (e.model == value) | wanted
        for box, part in components(claimed):
            if not wanted[box][part].any() or (e.label[box][part] == value).any():
                continue
            absent = part & (e.label[box] == 0) & ~e.trusted[box]
            yield Candidate(box, absent, int(value), "missing", int(value))


def _outline_parts(e: VoxelEvidence, left: np.ndarray, config: ReviewListConfig) -> Iterator[Candidate]:
    diameters: dict[int, float] = {}
    pairs = set(zip(e.label[left].tolist(), e.rival[left].tolist(), strict=True))
    for given, rival in sorted(pairs):
        value = given or rival
        if value not in diameters:
            diameters[value] = equivalent_diameter(int((e.label == value).sum()), e.spacing)
        size = piece_size(diameters[value], e.spacing, config)
        suspicion = "too large" if given else "too small"
        for box, part in components(left & (e.label == given) & (e.rival == rival)):
            for inner, piece in split_region(part, e.excess[box], e.spacing, size):
                yield Candidate(_within(box, inner), piece, value, suspicion, rival)


def piece_size(diameter_mm: float, spacing: Sequence[float], config: ReviewListConfig = DEFAULT) -> float:
    """mm: a third of the lesion, at most 15 mm, but never less than four voxels across, by default."""
    wanted = min(diameter_mm / config.pieces_across, scaled_mm(config.max_piece_mm, spacing))
    return max(wanted, config.min_piece_voxels * min(spacing))


def split_region(
    part: np.ndarray, excess: np.ndarray, spacing: Sequence[float], size_mm: float
) -> list[tuple[Box, np.ndarray]]:
    """Cut a long part, a ring round a lesion for instance, into pieces of about `size_mm`.

    A part that spans less than twice the size stays whole. Otherwise the places with most excess doubt become
    centres, at least `size_mm` apart, and every voxel goes to the nearest. part, excess: (*grid). Returns a
    box and the piece's mask in it, for each piece.
    """
    points = np.argwhere(part) * np.asarray(spacing)
    if np.linalg.norm(np.ptp(points, axis=0)) < 2 * size_mm:
        return [(tuple(slice(0, n) for n in part.shape), part)]
    sigma = [size_mm / 4 / step for step in spacing]
    heat = ndimage.gaussian_filter(np.where(part, excess, 0).astype(np.float32), sigma, mode="constant")[part]
    centres = points[_strongest_apart(points, heat, size_mm)]
    owner = cKDTree(centres).query(points)[1] + 1
    cut = np.zeros(part.shape, np.int32)
    cut[part] = owner
    boxes = enumerate(ndimage.find_objects(cut), start=1)
    return [(box, cut[box] == number) for number, box in boxes if box is not None]


def _strongest_apart(points: np.ndarray, heat: np.ndarray, gap_mm: float) -> list[int]:
    """Points by falling heat, without those within `gap_mm` of one taken before. A tree keeps it near linear, where
    a fresh model doubts half the image."""
    tree = cKDTree(points)
    free = np.ones(len(points), bool)
    taken = []
    for point in np.argsort(-heat, kind="stable").tolist():
        if free[point]:
            checkpoint()
            taken.append(point)
            free[tree.query_ball_point(points[point], gap_mm)] = False
    return taken


def _within(outer: Box, inner: Box) -> Box:
    return tuple(slice(o.start + i.start, o.start + i.stop) for o, i in zip(outer, inner, strict=True))


def _most_common(values: np.ndarray) -> int:
    return int(np.bincount(values).argmax())


_LEVELS = 256


def expected_uncertainty(
    doubt: np.ndarray,
    distance: np.ndarray,
    nearest: np.ndarray,
    width_mm: float,
    counted: np.ndarray,
    config: ReviewListConfig = DEFAULT,
) -> np.ndarray:
    """The doubt to expect of each voxel. All arrays (*grid); doubt in [0, 1], distance signed in mm to the boundary of
    the class `nearest`.

    counted: voxels the expectation is read from. Three rules keep errors from passing as usual: a distance
    with few voxels leans on all classes and both sides together, and these on the distance before (as if
    there were `shrinkage_voxels` more voxels with that doubt); doubt further from the boundary is never more
    usual than nearer to it; and no more is ever usual than where the network leaves the label at even odds.
    """
    bins = (np.abs(distance) / width_mm).astype(np.int32)  # the first voxels lie half a width from the boundary
    depth = int(bins.max()) + 1
    classes = np.unique(nearest)
    group = np.searchsorted(classes, nearest).astype(np.int32)
    group = (2 * group + (distance < 0)) * depth + bins

    level = np.rint(np.clip(doubt[counted], 0, 1) * (_LEVELS - 1)).astype(np.int32)
    size = 2 * len(classes) * depth * _LEVELS
    counts = np.bincount(group[counted] * _LEVELS + level, minlength=size).reshape(-1, depth, _LEVELS)

    pooled = _falling(counts.sum(axis=0), config)
    falling = np.minimum.accumulate(_leaning(counts, pooled, config), axis=1)
    expected = np.minimum(falling, config.max_usual_doubt)
    return expected.astype(np.float32).ravel()[group]


def _median(counts: np.ndarray) -> np.ndarray:
    """Median of histograms (..., levels) over the levels; 0 where there is nothing."""
    cumulative = counts.cumsum(axis=-1)
    half = cumulative[..., -1:] / 2
    return (cumulative < half).sum(axis=-1) / (_LEVELS - 1)


def _falling(counts: np.ndarray, config: ReviewListConfig) -> np.ndarray:
    """Median over the levels at each distance, (distances, levels) -> (distances,), that never rises."""
    curve = np.empty(len(counts))
    usual = config.max_usual_doubt
    for depth, histogram in enumerate(counts):
        usual = curve[depth] = min(usual, float(_leaning(histogram, np.float64(usual), config)))
    return curve


def _leaning(counts: np.ndarray, prior: np.ndarray, config: ReviewListConfig) -> np.ndarray:
    n, more = counts.sum(axis=-1), config.shrinkage_voxels
    return (n * _median(counts) + more * prior) / (n + more)


BOUNDARY_BAND_MM = 10.0
MORE_LIKELY_WRONG = 0.5


def shown_confidence(confidence: np.ndarray, label: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The confidence as a reader should see it, (*grid) float32; what is not to be drawn reads 1.

    Voxels farther than 10 mm from any boundary of the label are drawn only if the label is more likely wrong than
    right there: a missed object shows, a merely uncertain background does not. spacing: mm along the array's axes.
    """
    shown = np.clip(confidence, 0.0, 1.0).astype(np.float32)
    band = scaled_mm(BOUNDARY_BAND_MM, spacing)
    distance, _nearest = boundary_distance(label, spacing, band)
    shown[(np.abs(distance) >= band) & (shown >= MORE_LIKELY_WRONG)] = 1.0
    return shown
