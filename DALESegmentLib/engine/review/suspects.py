"""Suspected voxels grouped into places a person can look at one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..cancel import checkpoint
from ..geometry.distance import Box
from ..geometry.objects import components, equivalent_diameter

OBJECT_SHARE = 0.8  # an object is "extra" when the model would not draw this share of it


@dataclass
class Suspect:
    """One place, before it is ranked. mask: bool on `box`, which is a part of the searched grid; label_class,
    suggested_class: as in a `Region` their values."""

    box: Box
    mask: np.ndarray
    label_class: int
    suspicion: str
    suggested_class: int


@dataclass
class Evidence:
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


def find_suspects(evidence: Evidence) -> list[Suspect]:
    """Whole objects first ("extra", "missing"), then the parts of outlines ("too large", "too small")."""
    left = evidence.candidate.copy()
    found: list[Suspect] = []
    for suspect in (*_extra_objects(evidence), *_missing_objects(evidence)):
        left[suspect.box] &= ~suspect.mask
        found.append(suspect)
    return found + list(_outline_parts(evidence, left))


def _extra_objects(e: Evidence) -> Iterator[Suspect]:
    for value in np.unique(e.label[e.candidate & (e.label > 0)]):
        for box, part in components(e.label == value):
            disbelieved = (e.model[box][part] != value).mean() >= OBJECT_SHARE
            if disbelieved and e.candidate[box][part].any() and not e.trusted[box][part].any():
                yield Suspect(box, part, int(value), "extra", _most_common(e.rival[box][part]))


def _missing_objects(e: Evidence) -> Iterator[Suspect]:
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
            yield Suspect(box, absent, int(value), "missing", int(value))


def _outline_parts(e: Evidence, left: np.ndarray) -> Iterator[Suspect]:
    diameters: dict[int, float] = {}
    pairs = set(zip(e.label[left].tolist(), e.rival[left].tolist(), strict=True))
    for given, rival in sorted(pairs):
        value = given or rival
        if value not in diameters:
            diameters[value] = equivalent_diameter(int((e.label == value).sum()), e.spacing)
        size = piece_size(diameters[value], e.spacing)
        suspicion = "too large" if given else "too small"
        for box, part in components(left & (e.label == given) & (e.rival == rival)):
            for inner, piece in compact_pieces(part, e.excess[box], e.spacing, size):
                yield Suspect(_within(box, inner), piece, value, suspicion, rival)


def piece_size(diameter_mm: float, spacing: Sequence[float]) -> float:
    """A third of the lesion, at most 15 mm, but never less than four voxels across."""
    return max(min(diameter_mm / 3, 15.0), 4 * min(spacing))


def compact_pieces(
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
